"""The keys that an issuer signs with, as a JWKS tells them. Needs PyJWT, which comes with the extra `jwt`.

Source: RFC 7517 (JSON Web Key), RFC 7518, 3.1 and RFC 8037, 3.1 (algorithms).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jwt

MIN_RSA_BITS = 2048
ALGORITHMS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("RSA", ""): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
"""What may be signed with which kind and curve of key. None of them is symmetric: who can check cannot sign."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """What a signature is checked with, and the algorithms that it may be of: what the token says is not asked."""

    key: Any
    algorithms: tuple[str, ...]


class SigningKeys:
    """All of an issuer's keys that are fit to be used; others in the set are passed over.

    Args:
        content: JWKS, as JSON.

    Raises:
        ValueError: it is none, or none of its keys can be used.
    """

    def __init__(self, content: bytes) -> None:
        document = json.loads(content)
        listed = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(listed, list):
            raise ValueError("is no JWKS: a JSON object with a list 'keys'")  # noqa: TRY004 - what is wrong is its content
        self._keys: dict[str, SigningKey] = dict(_usable(listed))
        if not self._keys:
            raise ValueError("holds no public RSA, EC or Ed25519 key for signatures")

    def find(self, key_id: str | None) -> SigningKey | None:
        """The key of that id, or the only one where none is named."""
        if key_id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)


def _usable(listed: list[Any]) -> Iterator[tuple[str, SigningKey]]:
    for one in listed:
        if not isinstance(one, dict) or "d" in one or one.get("use", "sig") != "sig":
            continue
        kind = str(one.get("kty")), str(one.get("crv", ""))
        algorithms = tuple(name for name in ALGORITHMS.get(kind, ()) if one.get("alg", name) == name)
        if not algorithms:
            continue
        try:
            key = jwt.PyJWK(one, algorithms[0]).key
        except (jwt.PyJWTError, AttributeError, TypeError, ValueError):  # PyJWT 2.10 does not turn all into its own
            continue
        if kind[0] != "RSA" or key.key_size >= MIN_RSA_BITS:
            yield str(one.get("kid", "")), SigningKey(key, algorithms)
