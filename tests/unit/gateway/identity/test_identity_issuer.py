"""Keys over the network: when an issuer is asked, what it may answer, and what holds while it does not."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from in_process import run
from issuers import Key, Web, jwks, web

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.identity.errors import IssuerError
from hndsr_gateway.identity.issuer import (
    LEAST_PAUSE_S,
    MAX_BYTES,
    PAUSE_AFTER_FAILURE_S,
    REFRESH_S,
    RemoteKeys,
    discovered_keys,
    fetch_keys,
    is_trustworthy,
)
from hndsr_gateway.identity.signing_keys import SigningKeys

CONFIGURATION = "/.well-known/openid-configuration"


@pytest.fixture
def site() -> Iterator[Web]:
    with web() as found:
        yield found


class Remote:
    """Keys from a site, by a clock that stands still."""

    def __init__(self, site: Web, *keys: Key) -> None:
        self.now_s = 0.0
        self._site = site
        site.documents["/jwks"] = jwks(*keys)
        self.keys = RemoteKeys(lambda: fetch_keys(f"{site.address}/jwks"), now_s=lambda: self.now_s)

    def change(self, *keys: Key) -> None:
        """Have the site answer with other keys; with none, not at all."""
        if keys:
            self._site.documents["/jwks"] = jwks(*keys)
        else:
            del self._site.documents["/jwks"]

    async def has(self, key_id: str) -> bool:
        """Whether there is a key of that id."""
        return await self.keys.find(key_id) is not None


def test_remote_keys_are_asked_for_once(site: Web) -> None:
    async def test() -> None:
        remote = Remote(site, Key())
        assert [await remote.has("first") for _ in range(3)] == [True] * 3
        assert site.asked == ["/jwks"]

    run(test())


def test_remote_keys_are_asked_for_again_when_one_is_unknown_but_not_too_often(site: Web) -> None:
    async def test() -> None:
        remote = Remote(site, Key())
        await remote.has("first")
        remote.change(Key(key_id="second"))
        too_soon = [await remote.has("second") for _ in range(3)]
        remote.now_s = LEAST_PAUSE_S
        assert (too_soon, await remote.has("second"), len(site.asked)) == ([False] * 3, True, 2)

    run(test())


def test_remote_keys_are_refreshed_beside_the_calls(site: Web) -> None:
    async def test() -> None:
        remote = Remote(site, Key())
        await remote.has("first")
        remote.change(Key(key_id="second"))
        remote.now_s = REFRESH_S
        still = await remote.has("first")
        await remote.keys.refresh()
        assert (still, await remote.has("first")) == (True, False)

    run(test())


def test_remote_keys_go_on_when_the_issuer_is_down(site: Web, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        remote = Remote(site, Key())
        await remote.has("first")
        remote.change()
        remote.now_s = REFRESH_S
        await remote.keys.refresh()
        assert await remote.has("first")

    run(test())
    assert "keys of tokens cannot be asked for" in caplog.text


def test_remote_keys_that_were_never_had_make_the_call_unavailable_until_they_are(site: Web) -> None:
    async def test() -> None:
        remote = Remote(site, Key())
        remote.change()
        with pytest.raises(UnavailableError):
            await remote.has("first")
        remote.change(Key())
        remote.now_s = PAUSE_AFTER_FAILURE_S
        assert await remote.has("first")

    run(test())


def test_remote_keys_are_left_alone_for_a_while_after_any_failure() -> None:
    async def test() -> None:
        asked: list[int] = []

        def load() -> SigningKeys:
            asked.append(1)
            raise RecursionError

        keys = RemoteKeys(load, now_s=lambda: 0.0)
        with pytest.raises(RecursionError):
            await keys.find("first")
        with pytest.raises(UnavailableError):
            await keys.find("first")
        assert len(asked) == 1

    run(test())


def test_discovery_leads_to_the_keys(site: Web) -> None:
    told = {"issuer": site.address, "jwks_uri": f"{site.address}/keys"}
    site.documents |= {CONFIGURATION: json.dumps(told).encode(), "/keys": jwks(Key())}
    assert discovered_keys(site.address).find("first") is not None


@pytest.mark.parametrize(
    "told",
    [
        {"issuer": "https://other.example", "jwks_uri": "SITE/keys"},
        {"issuer": "SITE"},
        {"issuer": "SITE", "jwks_uri": "http://10.0.0.1/keys"},
        {"issuer": "SITE", "jwks_uri": "file:///etc/passwd"},
        [],
    ],
    ids=["other_issuer", "no_keys", "plain", "file", "no_object"],
)
def test_discovery_is_refused_when_it_leads_elsewhere(site: Web, told: object) -> None:
    site.documents[CONFIGURATION] = json.dumps(told).replace("SITE", site.address).encode()
    site.documents["/keys"] = jwks(Key())
    with pytest.raises(IssuerError):
        discovered_keys(site.address)


def test_fetch_keys_follows_no_redirect(site: Web) -> None:
    site.documents["/keys"] = jwks(Key())
    site.redirects["/moved"] = f"{site.address}/keys"
    with pytest.raises(IssuerError, match=r"does not answer: .*302"):
        fetch_keys(f"{site.address}/moved")


@pytest.mark.parametrize(
    ("content", "said"), [(b"{}", "is no JWKS"), (b"<html>", "Expecting value"), (b" " * (MAX_BYTES + 1), "more than")]
)
def test_fetch_keys_refuses_what_is_no_set_of_keys(site: Web, content: bytes, said: str) -> None:
    site.documents["/keys"] = content
    with pytest.raises(IssuerError, match=said):
        fetch_keys(f"{site.address}/keys")


@pytest.mark.parametrize(
    ("address", "may"),
    [
        ("https://issuer.example/keys", True),
        ("http://127.0.0.1:8080/keys", True),
        ("http://localhost/keys", True),
        ("http://[::1]/keys", True),
        ("http://issuer.example/keys", False),
        ("http://localhost.example/keys", False),
        ("http://127.0.0.1@issuer.example/keys", False),
        ("ftp://127.0.0.1/keys", False),
        ("https://", False),
        ("http://[", False),
    ],
)
def test_issuers_are_asked_over_https_alone_but_on_this_machine(address: str, may: bool) -> None:  # noqa: FBT001 - a case
    assert is_trustworthy(address) == may
