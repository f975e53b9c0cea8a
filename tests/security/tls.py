"""
Has testssl.sh look at the HTTPS listener, once with a certificate of each kind of key: nothing may be found above LOW.

usage: ./dev security tls [--keys ec,rsa]        about three minutes for each kind
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import Counter

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

from stack import CLUSTER, Stack  # noqa: E402

# From the least to the worst. DEBUG, INFO and WARN are words of testssl.sh, not findings; what it could not look at is
# a WARN, and is printed.
GOOD, WORDS, BAD = ("OK", "LOW"), ("DEBUG", "INFO", "WARN"), ("MEDIUM", "HIGH", "CRITICAL", "FATAL")
KEYS = {"ec": ("ec", "ec_paramgen_curve:prime256v1"), "rsa": ("rsa", "rsa_keygen_bits:2048")}
DAYS = 90
LONGEST = 1500


class Certified(Stack):
    """The product with a certificate of a private authority, as an operator's would be of a public one."""

    def __init__(self, key, **options):
        super().__init__(**options)
        self.key_type, self.key_option = KEYS[key]

    def openssl(self, *words):
        subprocess.run(["openssl", *words], check=True, cwd=self.dir, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _certificate(self):
        new_key = ("-newkey", self.key_type, "-pkeyopt", self.key_option, "-nodes")
        self.openssl("req", "-x509", *new_key, "-subj", "/CN=Authority of this test", "-days", str(DAYS), "-addext",
                     "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout",
                     "ca.key", "-out", "ca.crt")
        self.openssl("req", *new_key, "-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.csr")
        with open(self.path("extensions"), "w") as file:
            file.write("basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"
                       "extendedKeyUsage=serverAuth\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n"
                       "crlDistributionPoints=URI:http://authority.example/revoked.crl\n")
        self.openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                     str(DAYS), "-extfile", "extensions", "-out", "tls.crt")


def testssl(stack):
    """What it has found: dictionaries with id, severity and finding."""
    program = shutil.which("testssl") or shutil.which("testssl.sh")
    assert program, "testssl.sh is not installed"
    found = stack.path("testssl.json")
    with open(stack.path("testssl.out"), "w") as said:
        done = subprocess.run([program, "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
                               "--add-ca", stack.path("ca.crt"), "--jsonfile", found, f"localhost:{stack.https_port}"],
                              stdin=subprocess.DEVNULL, stdout=said, stderr=said, timeout=LONGEST, cwd=stack.dir)
    try:
        with open(found) as file:
            return json.load(file)
    except (OSError, ValueError):
        raise AssertionError(f"testssl.sh ended with {done.returncode}:\n{stack.read('testssl.out')[-3000:]}") from None


def look(key):
    """Prints what is found with one kind of key; the number of findings above LOW."""
    with Certified(key, plain=True, log_level="warning") as stack:
        findings = testssl(stack)
    counts = Counter(finding["severity"] for finding in findings)
    assert counts["OK"] >= 40, f"it hardly looked: {counts}"
    print(f"{key}: " + ", ".join(f"{counts[severity]} {severity}" for severity in (*WORDS, *GOOD, *BAD) if counts[severity]))
    for finding in findings:
        if finding["severity"] in ("LOW", "WARN", *BAD):
            print(f"    {finding['severity']:8} {finding['id']}: {finding['finding']}", flush=True)
    return sum(counts[severity] for severity in BAD)


def main():
    parser = argparse.ArgumentParser(prog="./dev security tls", description="Has testssl.sh look at the HTTPS listener: "
                                     "nothing may be found above LOW.")
    parser.add_argument("--keys", default="ec,rsa", help="kinds of certificates (default: %(default)s)")
    options = parser.parse_args()
    assert CLUSTER, "./dev security starts this"
    keys = options.keys.split(",")
    assert set(keys) <= set(KEYS), f"the kinds are {', '.join(KEYS)}"
    bad = sum([look(key) for key in keys])
    print(f"found above LOW: {bad}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
