"""An issuer of tokens: keys that it signs with, tokens that are right until a test changes them, and its web server."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ISSUER, AUDIENCE = "https://issuer.example", "hndsr"

KINDS: Mapping[str, Callable[[], Any]] = {
    "RS": lambda: rsa.generate_private_key(65537, 2048),
    "PS": lambda: rsa.generate_private_key(65537, 2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "ES512": lambda: ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


class Key:
    """One key pair of an issuer."""

    def __init__(self, algorithm: str = "ES256", key_id: str = "first") -> None:
        self.algorithm, self.key_id = algorithm, key_id
        self.private = KINDS[algorithm if algorithm in KINDS else algorithm[:2]]()

    def public(self, **changed: Any) -> dict[str, Any]:
        """As a JWKS lists it."""
        told = jwt.get_algorithm_by_name(self.algorithm).to_jwk(self.private.public_key(), as_dict=True)
        return {**told, "kid": self.key_id, "use": "sig", **changed}

    def token(self, headers: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """A token; claims that are changed to None are left out."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": time.time() + 600,
            "scope": "openid info upscale",
            **changed,
        }
        told = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(told, self.private, self.algorithm, headers={"kid": self.key_id, **(headers or {})})


def jwks(*keys: Key | dict[str, Any]) -> bytes:
    """A set of keys."""
    return json.dumps({"keys": [key.public() if isinstance(key, Key) else key for key in keys]}).encode()


class Web:
    """What a web server answers: documents by their paths, which a test may change, and how often it was asked."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.documents: dict[str, bytes] = {}
        self.redirects: dict[str, str] = {}
        self.asked: list[str] = []


@contextlib.contextmanager
def web() -> Iterator[Web]:
    """A web server on the loopback address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append(self.path)
            content = found.documents.get(self.path)
            target = found.redirects.get(self.path)
            self.send_response(302 if target else 404 if content is None else 200)
            if target:
                self.send_header("Location", target)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Web(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
