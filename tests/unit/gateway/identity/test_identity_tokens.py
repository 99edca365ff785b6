"""Tokens: which ones count, and what is said of those that do not."""

from __future__ import annotations

import base64
import hmac
import json
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from in_process import run
from issuers import AUDIENCE, ISSUER, Key, jwks

from hndsr_gateway.caller import Caller, Scope
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.issuer import FileKeys
from hndsr_gateway.identity.keys import UNKNOWN
from hndsr_gateway.identity.signing_keys import SigningKeys
from hndsr_gateway.identity.tokens import Tokens

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


@pytest.fixture(scope="module")
def key() -> Key:
    return Key()


def tokens(folder: Path, *keys: Key | dict[str, Any]) -> Tokens:
    file = folder / "jwks.json"
    file.write_bytes(jwks(*keys))
    return Tokens(issuer=ISSUER, audience=AUDIENCE, keys=FileKeys(file, every_s=0))


def caller_of(checked: Tokens, text: str) -> Caller:
    found: list[Caller] = []

    async def ask() -> None:
        found.append(await checked.caller_of(text))

    run(ask())
    return found[0]


def refused(checked: Tokens, text: str) -> str:
    with pytest.raises(UnauthenticatedError) as refusal:
        caller_of(checked, text)
    return str(refusal.value).partition(";")[0]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_says_who_calls(tmp_path: Path, algorithm: str) -> None:
    key = Key(algorithm)
    caller = caller_of(tokens(tmp_path, key), key.token())
    assert (caller.id, caller.name, caller.scopes) == ("token:alice", "alice", {Scope.INFO, Scope.UPSCALE})


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"scope": "stream"}, {Scope.STREAM}),
        ({"scope": None, "scp": "info stream"}, {Scope.INFO, Scope.STREAM}),
        ({"scope": None, "scp": ["info", "other"]}, {Scope.INFO}),
        ({"scope": None}, set()),
        ({"scope": "openid informal"}, set()),
        ({"scope": 7}, set()),
    ],
)
def test_token_has_the_scopes_that_it_names(
    tmp_path: Path, key: Key, claims: dict[str, Any], scopes: set[Scope]
) -> None:
    assert caller_of(tokens(tmp_path, key), key.token(**claims)).scopes == scopes


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": time.time() - 60}, "the token has expired"),
        ({"exp": None}, "the token lacks one of"),
        ({"sub": None}, "the token lacks one of"),
        ({"aud": None}, "the token lacks one of"),
        ({"iss": None}, "the token lacks one of"),
        ({"nbf": time.time() + 600}, "the token does not count yet"),
        ({"aud": "other"}, "the token is for somebody else"),
        ({"iss": "https://other.example"}, "the token is of another issuer"),
        ({"sub": ""}, "the token's 'sub' is no text"),
        ({"sub": "a" * 256}, "the token's 'sub' is no text"),
        ({"exp": "soon"}, UNKNOWN),
    ],
)
def test_token_of_the_issuer_is_refused_with_what_is_wrong(
    tmp_path: Path, key: Key, claims: dict[str, Any], said: str
) -> None:
    assert refused(tokens(tmp_path, key), key.token(**claims)).startswith(said)


@pytest.mark.parametrize(("claim", "from_now_s"), [("exp", -15), ("nbf", 25)])
def test_token_counts_within_the_difference_of_clocks(tmp_path: Path, key: Key, claim: str, from_now_s: float) -> None:
    assert caller_of(tokens(tmp_path, key), key.token(**{claim: time.time() + from_now_s})).name == "alice"


def test_token_may_be_for_others_as_well(tmp_path: Path, key: Key) -> None:
    assert caller_of(tokens(tmp_path, key), key.token(aud=["other", AUDIENCE])).name == "alice"


def part(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def unsigned(key: Key) -> str:
    head = part(json.dumps({"alg": "none", "kid": key.key_id}).encode())
    return f"{head}.{key.token().split('.')[1]}."


def signed_with_the_public_key(key: Key) -> str:
    """What a checker takes for right that lets the token choose a symmetric algorithm."""
    form = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    head = part(json.dumps({"alg": "HS256", "kid": key.key_id}).encode())
    text = f"{head}.{key.token().split('.')[1]}"
    return f"{text}.{part(hmac.digest(key.private.public_key().public_bytes(*form), text.encode(), 'sha256'))}"


def embedded_key(key: Key) -> str:
    """A token that brings the key to check it with."""
    other = Key()
    return other.token({"jwk": other.public(), "kid": key.key_id})


@pytest.mark.parametrize(
    "forge",
    [
        unsigned,
        signed_with_the_public_key,
        embedded_key,
        lambda _: Key("RS256").token(),
        lambda key: key.token({"kid": "unknown"}),
        lambda key: key.token({"crit": ["exp"]}),
        lambda key: ".".join([*key.token().split(".")[:2], "AAAA"]),
        lambda _: "a.b.c",
        lambda _: "opaque",
        lambda _: "é",
    ],
    ids=["none", "hmac", "embedded", "other_key", "kid", "crit", "signature", "no_json", "opaque", "no_ascii"],
)
def test_token_that_is_none_is_refused_in_one_text(tmp_path: Path, forge: Any) -> None:
    key = Key("RS256")
    assert refused(tokens(tmp_path, key), forge(key)) == UNKNOWN


def test_token_is_refused_when_it_is_signed_otherwise_than_its_key_is_for(tmp_path: Path) -> None:
    key = Key("RS256")
    key.algorithm = "RS512"
    assert refused(tokens(tmp_path, key.public(alg="RS256")), key.token()) == UNKNOWN


def test_token_that_names_no_key_counts_where_there_is_one(tmp_path: Path, key: Key) -> None:
    text = jwt.encode(jwt.decode(key.token(), options={"verify_signature": False}), key.private, "ES256")
    other = Key(key_id="second")
    assert caller_of(tokens(tmp_path, key), text).name == "alice"
    assert refused(tokens(tmp_path, key, other), text) == UNKNOWN


def test_token_counts_by_a_key_that_came_later(tmp_path: Path, key: Key) -> None:
    checked, later = tokens(tmp_path, key), Key(key_id="second")
    tokens(tmp_path, key, later)
    assert caller_of(checked, later.token()).name == "alice"


def test_name_of_a_token_forges_no_line_of_a_log(tmp_path: Path, key: Key) -> None:
    caller = caller_of(tokens(tmp_path, key), key.token(sub="alice\n2026 INFO \x1b[2Jbob\u202e"))
    assert caller.name == "alice?2026 INFO ?[2Jbob?"


def private_numbers(key: Key) -> dict[str, Any]:
    told: dict[str, Any] = jwt.get_algorithm_by_name("ES256").to_jwk(key.private, as_dict=True)
    return told


def weak() -> dict[str, Any]:
    public = rsa.generate_private_key(65537, 1024).public_key()  # noqa: S505 - to be refused
    told: dict[str, Any] = jwt.get_algorithm_by_name("RS256").to_jwk(public, as_dict=True)
    return told


@pytest.mark.parametrize(
    "one",
    [
        {"kty": "oct", "k": "c2VjcmV0"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "RSA"},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "RSA", "n": ["AA"], "e": None},
        {"kty": "EC", "crv": "P-256", "x": 7, "y": {}},
        {"kty": "OKP", "crv": "Ed25519", "x": "A"},
        {"kty": "EC", "crv": "secp256k1"},
        {},
        7,
        weak(),
        private_numbers(Key()),
        Key().public(use="enc"),
        Key().public(alg="HS256"),
    ],
)
def test_signing_keys_pass_over_what_no_signature_may_be_checked_with(one: Any) -> None:
    with pytest.raises(ValueError, match="holds no public RSA, EC or Ed25519 key"):
        SigningKeys(jwks(one))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": {}}', "{"])
def test_keys_of_tokens_are_refused_from_another_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "jwks.json").write_text(content)
    with pytest.raises(UnusableFileError, match="jwks"):
        FileKeys(tmp_path / "jwks.json")
