"""What callers have had, kept in a real Redis: shared, hidden, forgotten in time, and never a reason to refuse."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from in_process import run

from hndsr_gateway.caller import Caller
from hndsr_gateway.errors import QuotaExceededError
from hndsr_gateway.limits import Kind, Limits
from hndsr_gateway.limits.buckets import Bucket, OwnBuckets
from hndsr_gateway.settings import Settings

redis = pytest.importorskip("redis.asyncio")
shared = pytest.importorskip("hndsr_gateway.limits.shared")

ALICE = Caller(id="token:alice", name="alice")
PASSWORD = "a-password-of-redis"  # noqa: S105
SOON_S = 0.05
"""How long Redis is left alone after a failure, here."""
PATIENT_S = 20.0
"""Longest that a loaded machine takes to answer."""


class RedisServer:
    """A redis-server of its own, without anything on disk."""

    def __init__(self, folder: Path, *options: str) -> None:
        found = shutil.which("redis-server")
        if found is None:
            pytest.skip("redis-server is not on PATH (Debian and Ubuntu: apt-get install redis-server)")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        fixed = ("--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder))
        chosen = (part.format(port=self.port) for part in options or ("--port", "{port}"))
        self._command = [found, *fixed, *chosen]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it, and wait until it is there."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert any(b"Ready to accept connections" in line for line in self._process.stdout)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """End it, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.asynccontextmanager
async def buckets(url: str, *, timeout_s: float = PATIENT_S) -> AsyncIterator[Any]:
    """Shared buckets that ask again soon."""
    made = shared.SharedBuckets(url, OwnBuckets(), timeout_s=timeout_s, pause_s=SOON_S)
    try:
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def limits(url: str, *, timeout_s: float = PATIENT_S, **settings: Any) -> AsyncIterator[Limits]:
    """Limits that are kept in such buckets."""
    async with buckets(url, timeout_s=timeout_s) as kept:
        made = Limits(Settings(redis_url=url, **settings), kept)
        await made.start()
        yield made


@contextlib.asynccontextmanager
async def inside(server: RedisServer) -> AsyncIterator[Any]:
    """A plain client of it."""
    client = redis.Redis.from_url(server.url, decode_responses=True)
    try:
        yield client
    finally:
        await client.aclose()


async def call(limits: Limits) -> Caller:
    async with limits.let_in(ALICE, Kind.CALL) as let_in:
        return let_in


def hourly(limit: int) -> Bucket:
    return Bucket("target_px", ALICE.id, limit, 3600)


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """What the log says of Redis: level and first words."""
    lines = [record for record in caplog.records if record.name == shared.__name__]
    return [(line.levelname, "lost" if "does not answer" in line.message else "found") for line in lines]


def test_redis_shares_a_rate_between_gateways(server: RedisServer) -> None:
    async def test() -> None:
        async with limits(server.url, requests_per_minute=2) as one, limits(server.url, requests_per_minute=2) as other:
            await call(one)
            await call(other)
            for each in (one, other):
                with pytest.raises(QuotaExceededError, match="alice has 0 left of 2 requests per minute"):
                    await call(each)

    run(test())


def test_redis_shares_target_pixels_between_gateways(server: RedisServer) -> None:
    async def test() -> None:
        async with (
            limits(server.url, target_px_per_hour=1000) as one,
            limits(server.url, target_px_per_hour=1000) as two,
        ):
            await (await call(one)).allowance.spend_target_px(700)
            with pytest.raises(QuotaExceededError, match=r"alice has 3\d\d left of 1,000 target px per hour"):
                await (await call(two)).allowance.spend_target_px(600)

    run(test())


def test_redis_gives_exactly_what_a_bucket_holds_to_many_at_once(server: RedisServer) -> None:
    async def test() -> None:
        async with buckets(server.url) as one, buckets(server.url) as other:
            taken = await asyncio.gather(*((one, other)[number % 2].take(hourly(60), 1) for number in range(100)))
        assert sum(not one.retry_delay_s for one in taken) == 60

    run(test())


def test_redis_counts_pixels_of_a_large_quota(server: RedisServer) -> None:
    async def test() -> None:
        async with buckets(server.url) as shared_buckets:
            taken = [await shared_buckets.take(hourly(10**13), count) for count in (10**12, 9 * 10**12, 10**12)]
        assert [one.left // 10**11 for one in taken] == [90, 0, 0]
        assert taken[-1].retry_delay_s == pytest.approx(360, abs=60)

    run(test())


def test_redis_keys_are_hashed_and_expire(server: RedisServer) -> None:
    async def test() -> None:
        async with limits(server.url, requests_per_minute=2, target_px_per_hour=1000) as one, inside(server) as client:
            await (await call(one)).allowance.spend_target_px(1000)
            lives = {key: await client.ttl(key) for key in await client.keys("*")}
        assert all(key.startswith("hndsr:") and "alice" not in key for key in lives)
        assert {key.split(":")[-2]: 0 < life <= 3600 for key, life in lives.items()} == {
            "requests": True,
            "target_px": True,
        }

    run(test())


def test_redis_that_is_killed_and_comes_back_is_told_of_once_each(
    server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    async def test() -> None:
        async with buckets(server.url) as shared_buckets:
            await shared_buckets.take(hourly(100), 1)
            server.kill()
            for _ in range(5):
                assert not (await shared_buckets.take(hourly(100), 1)).retry_delay_s
                await asyncio.sleep(SOON_S)
            server.start()
            while len(told(caplog)) < 2:
                await shared_buckets.take(hourly(100), 1)
                await asyncio.sleep(SOON_S)
        assert told(caplog) == [("WARNING", "lost"), ("INFO", "found")]

    run(test())


def test_redis_that_hangs_holds_no_call_up(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with limits(server.url, timeout_s=1, requests_per_minute=3) as one:
            await call(one)
            server.signal(signal.SIGSTOP)
            await asyncio.gather(*(call(one) for _ in range(3)))
            with pytest.raises(QuotaExceededError):  # by what this process counts itself
                await call(one)
        assert (told(caplog), "(TimeoutError)" in caplog.text) == ([("WARNING", "lost")], True)

    try:
        run(test())
    finally:
        server.signal(signal.SIGCONT)


def test_redis_answers_are_not_mixed_up_after_a_timeout(server: RedisServer) -> None:
    async def test() -> None:
        async with buckets(server.url, timeout_s=0.25) as shared_buckets:
            await shared_buckets.take(hourly(1000), 1)
            server.signal(signal.SIGSTOP)
            await asyncio.gather(*(shared_buckets.take(hourly(1000), 10) for _ in range(20)))
            server.signal(signal.SIGCONT)
            await asyncio.sleep(SOON_S)
            limits = range(1000, 1040)
            taken = await asyncio.gather(
                *(shared_buckets.take(Bucket("requests", str(limit), limit, 3600), 1) for limit in limits)
            )
        assert [one.left for one in taken] == [limit - 1 for limit in limits]

    run(test())


def test_redis_that_never_was_there_is_told_of_at_the_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        made = Limits.of(Settings(redis_url=RedisServer(tmp_path).url, requests_per_minute=1))
        await made.start()
        assert told(caplog) == [("WARNING", "lost")]
        await call(made)
        await made.close()

    run(test())


def test_redis_password_is_not_logged(server: RedisServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    async def test() -> None:
        async with limits(server.url.replace("redis://", f"redis://user:{PASSWORD}@"), requests_per_minute=1) as one:
            await call(one)

    run(test())
    assert told(caplog) == [("WARNING", "lost")]
    assert "AuthenticationError" in caplog.text
    assert PASSWORD not in caplog.text


def test_redis_lets_in_who_knows_its_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    server = RedisServer(tmp_path, "--port", "{port}", "--requirepass", PASSWORD)

    async def test() -> None:
        async with limits(server.url.replace("redis://", f"redis://:{PASSWORD}@"), requests_per_minute=1) as one:
            await call(one)

    try:
        server.start()
        run(test())
    finally:
        server.kill()
    assert told(caplog) == []


@pytest.mark.parametrize(("trusts", "lines"), [("its own", []), ("another", [("WARNING", "lost")])])
def test_redis_with_tls_is_asked_only_where_its_certificate_is_trusted(
    trusts: str, lines: list[tuple[str, str]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    authority, issued = trustme.CA(), tmp_path / "server.pem"
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(issued))
    (authority if trusts == "its own" else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    files = ("--tls-cert-file", str(issued), "--tls-key-file", str(issued), "--tls-ca-cert-file", str(issued))
    server = RedisServer(tmp_path, "--port", "0", "--tls-port", "{port}", *files, "--tls-auth-clients", "no")

    async def test() -> None:
        url = f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={tmp_path / 'ca.pem'}"
        async with buckets(url) as shared_buckets:
            await shared_buckets.take(hourly(10), 1)

    try:
        server.start()
        run(test())
    finally:
        server.kill()
    assert told(caplog) == lines
