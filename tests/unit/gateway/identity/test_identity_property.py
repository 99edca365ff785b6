"""Whatever is sent, it is a caller's own credentials or it is refused; nothing else comes of it."""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
from functools import cache
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from issuers import AUDIENCE, ISSUER, Key, jwks

from hndsr_gateway.caller import ALL_SCOPES
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.identity import Identity
from hndsr_gateway.identity.issuer import FileKeys
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import ApiKeys, KeyQuotas
from hndsr_gateway.identity.tokens import Tokens


@cache
def known() -> tuple[Identity, str, str]:
    """One who knows a key and a token, which come with him."""
    with tempfile.TemporaryDirectory() as folder:
        keys, signing = Path(folder) / "keys.json", Key()
        text, _ = KeyStore(keys).create("alice", scopes=ALL_SCOPES, expires=None, quotas=KeyQuotas())
        (Path(folder) / "jwks.json").write_bytes(jwks(signing))
        tokens = Tokens(issuer=ISSUER, audience=AUDIENCE, keys=FileKeys(Path(folder) / "jwks.json", every_s=3600))
        return Identity(keys=ApiKeys(keys, every_s=3600), tokens=tokens), text, signing.token()


def part(content: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
JSON = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=4), each))
NAMES = st.sampled_from(["alg", "kid", "crit", "b64", "jwk", "typ", "zip"])
HEADERS = st.dictionaries(NAMES, JSON | st.sampled_from(["none", "ES256", "HS256", "first", ["b64"]]), max_size=5)
TOKENS = st.builds(
    lambda header, claims, end: f"{part(header)}.{part(claims)}.{end}", HEADERS, JSON, st.text(max_size=90)
)


@st.composite
def changed(draw: st.DrawFn) -> str:
    """What counts, but for one character."""
    text = known()[draw(st.sampled_from([1, 2]))]
    place = draw(st.integers(0, len(text) - 2))  # the last one may have bits that do not count
    other = draw(st.characters(max_codepoint=127).filter(lambda character: character not in {text[place], " "}))
    return text[:place] + other + text[place + 1 :]


def refused(text: str) -> bool:
    try:
        asyncio.run(known()[0].identify([("authorization", f"Bearer {text}")], {}, ""))
    except UnauthenticatedError:
        return True
    return False


@given(st.text() | TOKENS | st.builds("hndsr_{}_{}".format, st.text(), st.text()))
@settings(deadline=None)
def test_identity_refuses_whatever_is_made_up(text: str) -> None:
    assert refused(text)


@given(changed())
@settings(deadline=None)
def test_identity_refuses_what_is_changed_in_one_character(text: str) -> None:
    assert refused(text)
