"""JSON Web Tokens: whose one is that somebody sends. Needs PyJWT, which comes with the extra `jwt`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import jwt

from hndsr_gateway.caller import Caller, Scope
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.issuer import KeySource
from hndsr_gateway.identity.keys import UNKNOWN
from hndsr_gateway.identity.names import shown

LEEWAY_S = 30
"""How far clocks may differ."""
MAX_SUBJECT = 255
REFUSALS: Final[tuple[tuple[type[Exception], str], ...]] = (
    (jwt.ExpiredSignatureError, "the token has expired"),
    (jwt.ImmatureSignatureError, "the token does not count yet"),
    (jwt.InvalidAudienceError, "the token is for somebody else: its 'aud' is not this server's"),
    (jwt.InvalidIssuerError, "the token is of another issuer than this server's"),
    (jwt.MissingRequiredClaimError, "the token lacks one of 'exp', 'iss', 'aud' and 'sub'"),
)
"""What is said of tokens that the issuer signed; of all others nothing."""


class Tokens:
    """Tells whose a token is.

    Source: RFC 7519; RFC 8725 for what is refused: algorithms that the token chooses, tokens for another audience.

    Args:
        issuer: the claim `iss` that tokens must have.
        audience: one of their claim `aud`.
        keys: knows the issuer's keys.
    """

    def __init__(self, *, issuer: str, audience: str, keys: KeySource) -> None:
        self._issuer, self._audience = issuer, audience
        self._keys = keys

    async def warm_up(self) -> None:
        """Have the issuer's keys at hand before the first call needs them; that it does not answer is only logged."""
        await self._keys.refresh()

    async def caller_of(self, text: str) -> Caller:
        """Who sends this token.

        Raises:
            UnauthenticatedError: nobody whom the issuer vouches for, here and now.
            UnavailableError: the issuer's keys cannot be had.
        """
        try:
            key_id = jwt.get_unverified_header(text).get("kid")
            key = await self._keys.find(key_id)
            if key is None:
                raise UnauthenticatedError(UNKNOWN)
            claims = jwt.decode(
                text,
                key.key,
                algorithms=list(key.algorithms),
                issuer=self._issuer,
                audience=self._audience,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            told = next((text for kind, text in REFUSALS if isinstance(error, kind)), UNKNOWN)
            raise UnauthenticatedError(told) from error
        return _caller(claims)


def _caller(claims: Mapping[str, Any]) -> Caller:
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise UnauthenticatedError("the token's 'sub' is no text of 1 to 255 characters")
    return Caller(f"token:{subject}", shown(subject), _scopes(claims))


def _scopes(claims: Mapping[str, Any]) -> frozenset[Scope]:
    """Those of ours among the token's: `scope` by RFC 8693, or `scp`, text or a list, as some issuers write it."""
    told = claims.get("scope", claims.get("scp", ""))
    names = told.split() if isinstance(told, str) else told if isinstance(told, list) else []
    return frozenset(scope for scope in Scope if scope.value in names)
