"""Who calls, as the metadata, the certificate and the address say."""

from __future__ import annotations

from pathlib import Path

import pytest
from in_process import run
from issuers import AUDIENCE, ISSUER, Key, jwks

from hndsr_gateway.caller import ALL_SCOPES, Caller, Scope
from hndsr_gateway.errors import UnauthenticatedError
from hndsr_gateway.identity.identity import Identity, credentials
from hndsr_gateway.identity.key_store import KeyStore
from hndsr_gateway.identity.keys import UNKNOWN, KeyQuotas
from hndsr_gateway.identity.tls import NAMES
from hndsr_gateway.settings import Settings

PEER = "ipv4:10.0.0.1:4711"


def identified(identity: Identity, *sent: str, **certificate: str) -> Caller:
    """Who calls that has sent this, with these names in the certificate."""
    auth_context = {kind: [name.encode()] for kind, name in certificate.items()}
    found: list[Caller] = []

    async def ask() -> None:
        found.append(await identity.identify([("authorization", one) for one in sent], auth_context, PEER))

    run(ask())
    return found[0]


@pytest.fixture
def key(tmp_path: Path) -> str:
    made = KeyStore(tmp_path / "keys.json").create("alice", scopes=[Scope.INFO], expires=None, quotas=KeyQuotas())
    return made[0]


def test_identity_is_the_address_where_nobody_need_say_who_he_is() -> None:
    caller = identified(Identity(), "Bearer whatever")
    assert (caller.id, caller.scopes) == ("address:10.0.0.1", ALL_SCOPES)


def test_identity_is_the_certificates_without_keys() -> None:
    caller = identified(Identity(), x509_common_name="alice", peer_dns="alice.example")
    assert (caller.id, caller.name, caller.scopes) == ("certificate:dns:alice.example", "alice.example", ALL_SCOPES)


def test_identity_tells_names_of_different_kinds_apart() -> None:
    name = "spiffe://example.org/alice"
    callers = [identified(Identity(), **{kind: name}) for kind in NAMES]
    assert len({caller.id for caller in callers}) == len(NAMES)
    assert {caller.name for caller in callers} == {name}


def test_identity_is_the_keys_beside_a_certificate(tmp_path: Path, key: str) -> None:
    identity = Identity.of(Settings(api_keys=str(tmp_path / "keys.json")))
    assert identified(identity, f"Bearer {key}", peer_dns="bob.example").name == "alice"


def test_identity_wants_a_key_whatever_the_certificate_says(tmp_path: Path, key: str) -> None:
    identity = Identity.of(Settings(api_keys=str(tmp_path / "keys.json")))
    with pytest.raises(UnauthenticatedError, match="does not say who makes it"):
        identified(identity, peer_dns="alice.example")


def test_identity_takes_keys_and_tokens_side_by_side(tmp_path: Path, key: str) -> None:
    signing = Key()
    (tmp_path / "jwks.json").write_bytes(jwks(signing))
    files = {"api_keys": str(tmp_path / "keys.json"), "jwt_keys": str(tmp_path / "jwks.json")}
    identity = Identity.of(Settings(jwt_issuer=ISSUER, jwt_audience=AUDIENCE, **files))
    callers = [identified(identity, f"Bearer {text}").id for text in (key, signing.token())]
    assert callers == [f"key:{key.split('_')[1]}", "token:alice"]


def test_identity_knows_no_token_where_there_are_keys_alone(tmp_path: Path, key: str) -> None:
    identity = Identity.of(Settings(api_keys=str(tmp_path / "keys.json")))
    with pytest.raises(UnauthenticatedError, match=UNKNOWN):
        identified(identity, f"Bearer {Key().token()}")


@pytest.mark.parametrize("sent", ["Bearer KEY", "bearer KEY", "BEARER   KEY "])
def test_credentials_stand_behind_bearer(sent: str) -> None:
    assert credentials([("x-other", "1"), ("authorization", sent)]) == "KEY"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ([], "does not say who makes it"),
        (["Bearer s3cret", "Bearer s3cret"], "more than one"),
        (["Basic s3cret"], "not of the form"),
        (["s3cret"], "not of the form"),
        (["Bearer"], "not of the form"),
        (["Bearer "], "not of the form"),
        ([""], "not of the form"),
    ],
)
def test_credentials_are_refused_otherwise_without_repeating_them(sent: list[str], said: str) -> None:
    with pytest.raises(UnauthenticatedError, match=said) as refusal:
        credentials([("authorization", one) for one in sent])
    assert "s3cret" not in str(refusal.value)
