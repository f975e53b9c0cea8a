"""Access tokens made by hand: what a client, or somebody who pretends to be one, may send."""

import base64
import hashlib
import hmac
import json
import time

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def part(value):
    return base64url(value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode())


def decode(token):
    """The header and the claims of a token, unverified."""
    return [json.loads(base64.urlsafe_b64decode(text + "==")) for text in token.split(".")[:2]]


def make(key, subject, header=None, claims=None, algorithm="HS256"):
    """
    A token as the product makes it, save what `header` and `claims` change (None leaves a member out); signed with
    `key`, a (kid, secret) pair.
    """
    kid, secret = key
    now = int(time.time())
    head = {"alg": algorithm, "typ": "at+jwt", "kid": kid, **(header or {})}
    body = {"iss": "jobforge", "aud": "jobforge-api", "sub": subject, "iat": now, "exp": now + 600, **(claims or {})}
    head = {name: value for name, value in head.items() if value is not None}
    body = {name: value for name, value in body.items() if value is not None}
    return sign(part(head) + "." + part(body), secret, algorithm)


def sign(text, secret, algorithm="HS256"):
    return text + "." + base64url(hmac.new(secret, text.encode(), HASHES[algorithm]).digest())
