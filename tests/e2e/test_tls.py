"""TLS as the product configures nginx; the long form, with testssl.sh, is tests/security/tls.py."""

import json
import re
import socket
import ssl
import subprocess

import pytest

from examples import APPLICATION

SUITES = {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"}
REFUSED = (ssl.SSLError, ConnectionResetError)

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def owner(stack):
    return stack.user()


def handshake(stack, version, ciphers="ALL"):
    """Shakes hands with a client that takes anything; the version and the cipher suite that were agreed on."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_ciphers(ciphers + ":@SECLEVEL=0")
    with socket.create_connection(("127.0.0.1", stack.https_port), 5) as plain:
        with context.wrap_socket(plain) as sock:
            return sock.version(), sock.cipher()[0]


def s_client(stack, *options, typed=""):
    """What openssl s_client says of a connection on which this is typed."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{stack.https_port}", "-servername", "localhost",
               "-CAfile", stack.path("tls.crt"), "-verify_hostname", "localhost", *options]
    done = subprocess.run(command, input=typed.encode(), capture_output=True, timeout=20)
    # Binary where HTTP/2 was agreed on: the server sends its settings.
    return (done.stdout + done.stderr).decode(errors="replace")


def test_versions_1_2_and_1_3_alone(stack):
    assert handshake(stack, ssl.TLSVersion.TLSv1_2)[0] == "TLSv1.2"
    assert handshake(stack, ssl.TLSVersion.TLSv1_3)[0] == "TLSv1.3"
    for old in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(REFUSED):
            handshake(stack, old)


def test_no_older_version_by_a_fallback(stack):
    said = s_client(stack, "-tls1_2", "-fallback_scsv")
    assert "inappropriate fallback" in said, said


def test_suites_have_forward_secrecy_and_authenticated_encryption(stack):
    """Of all suites that there are, one at a time, those are accepted and no other."""
    known = subprocess.run(["openssl", "ciphers", "-tls1_2", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], check=True,
                           capture_output=True, text=True).stdout.strip().split(":")
    suites = [name for name in known if not name.startswith("TLS_")]
    assert len(suites) > 60 and SUITES < set(suites)
    accepted = set()
    for suite in suites:
        try:
            accepted.add(handshake(stack, ssl.TLSVersion.TLSv1_2, suite)[1])
        except REFUSED:
            pass
    assert accepted == SUITES


def test_the_server_chooses_save_for_a_client_without_aes(stack):
    """Who names ChaCha20 first has no AES in its processor; anybody else gets the server's first."""
    aes_256, aes_128, chacha = ("ECDHE-ECDSA-" + name for name in ("AES256-GCM-SHA384", "AES128-GCM-SHA256", "CHACHA20-POLY1305"))
    for wanted, got in (((aes_256, aes_128, chacha), aes_128), ((aes_256, chacha), aes_256), ((chacha, aes_128), chacha)):
        assert handshake(stack, ssl.TLSVersion.TLSv1_2, ":".join(wanted))[1] == got, wanted


@pytest.mark.parametrize("options", [
    ("-tls1_2", "-sigalgs", "ECDSA+SHA1", "-cipher", "ALL:@SECLEVEL=0"),
    ("-tls1_2", "-groups", "secp224r1", "-cipher", "ALL:@SECLEVEL=0"),
], ids=["signed with SHA-1", "a curve of 224 bits"])
def test_weak_signatures_and_curves_are_refused(stack, options):
    said = s_client(stack, *options)
    assert "alert handshake failure" in said and "Cipher is (NONE)" in said, said


def test_the_certificate_holds_for_the_name(stack):
    for version in ("-tls1_2", "-tls1_3"):
        said = s_client(stack, version)
        assert "Verify return code: 0 (ok)" in said, said


def test_no_renegotiation_and_no_compression(stack):
    said = s_client(stack, "-tls1_2", typed="R\n")
    assert "Secure Renegotiation IS supported" in said and "Compression: NONE" in said, said
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said


def test_no_tickets_and_no_early_data(stack):
    """A ticket of TLS 1.2 would be as secret as a key that is never changed; early data could be sent again."""
    assert "TLS session ticket:" not in s_client(stack, "-tls1_2")
    # The connection has to live until the server has sent what it sends after the handshake.
    said = s_client(stack, "-tls1_3", "-ign_eof", typed="GET /healthz HTTP/1.0\r\n\r\n")
    assert "200 OK" in said and "Max Early Data: 0" in said, said
    assert "Max Early Data: 1" not in said


def test_a_session_of_tls_1_2_is_resumed(stack):
    """By its id, out of the memory that nginx shares among its processes: a second handshake costs no signature."""
    session = stack.path("session.pem")
    assert "New, TLSv1.2" in s_client(stack, "-tls1_2", "-sess_out", session)
    assert "Reused, TLSv1.2" in s_client(stack, "-tls1_2", "-sess_in", session)


@pytest.mark.parametrize("offered, chosen", [("h2,http/1.1", "h2"), ("http/1.1,h2", "h2"), ("http/1.1", "http/1.1")])
def test_alpn(stack, offered, chosen):
    assert f"ALPN protocol: {chosen}\n" in s_client(stack, "-alpn", offered)


def test_alpn_of_neither_is_refused(stack):
    assert "no application protocol" in s_client(stack, "-alpn", "spdy/3.1")


def test_http_2_over_tls(stack, owner):
    def curl(*options):
        command = ["curl", "-sS", "--cacert", stack.path("tls.crt"), "--http2", "-o", stack.path("curl.out"),
                   "-w", "%{http_version} %{http_code}", *options]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    base = f"https://localhost:{stack.https_port}"
    assert curl(base + "/") == "2 200"
    assert curl("-H", "Authorization: Bearer " + owner.token, base + "/api/v1/me") == "2 200"
    assert json.loads(stack.read("curl.out"))["id"] == owner.id
    assert curl("-H", "Authorization: Bearer " + owner.token, "-H", "Content-Type: application/json", "-d",
                json.dumps(APPLICATION), base + "/api/v1/applications") == "2 201"
    assert curl(base + "/api/v1/me") == "2 401"
    assert curl("-X", "FOO", base + "/api/v1/me") == "2 405"
    assert curl("-H", "Authorization: Bearer " + "A" * 60_000, base + "/api/v1/me") == "2 401"


def test_plain_http_on_the_https_port_is_sent_to_https(stack):
    with socket.create_connection(("127.0.0.1", stack.https_port), 5) as sock:
        sock.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        received = sock.recv(65536)
    assert re.match(rb"HTTP/1.1 (308|400) ", received), received
