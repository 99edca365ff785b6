"""Several processes at one address: their shares, their order, and that each is there for as long as it is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from fakes import FakeBackend
from in_process import connected, run, served

from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway.processes import KeptProcess, Order, ProcessStartError, keeping, reserved_address, share
from hndsr_gateway.server import ListenError
from hndsr_gateway.settings import Settings

GRACE_S = 20.0
READY = """
import os, socket, sys
order = sys.stdin.readline()
with socket.socket(socket.AF_UNIX) as witness:
    witness.connect(sys.argv[1])
    witness.sendall(f"{os.getpid()} {order}".encode())
print('{"address": "here"}', flush=True)
"""
"""A stand-in for a process that serves: it tells a witness its id and what it was told, and then its parent."""

UNTIL_STOPPED = READY + "sys.stdin.read()"
DEAF = READY + "sys.stdin.close(); import time; time.sleep(600)"


class Witness:
    """Hears of every process that is ready."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "witness")
        self._heard: asyncio.Queue[tuple[int, str]] = asyncio.Queue()

    async def next(self) -> tuple[int, str]:
        """The id of the next one, and its order."""
        return await self._heard.get()

    def kept(self, program: str, *, grace_s: float = GRACE_S) -> KeptProcess:
        """A stand-in that is to be kept."""
        command = (sys.executable, "-I", "-S", "-c", program, self.path)
        return KeptProcess(b"the order\n", grace_s=grace_s, command=command, first_pause_s=0.01)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Hear of them from now on."""
        async with await asyncio.start_unix_server(self._hear, self.path):
            yield

    async def _hear(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        pid, _, order = (await reader.read()).decode().partition(" ")
        writer.close()
        self._heard.put_nowait((int(pid), order))


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    """Hears of the test's processes."""
    return Witness(tmp_path)


def exists(pid: int) -> bool:
    """Whether there is such a process."""
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize(
    ("name", "whole", "part"),
    [
        ("max_concurrent_requests", 8, 2),
        ("max_concurrent_requests", 3, 1),
        ("max_queue_depth", 130, 32),
        ("max_queue_depth", 0, 0),
        ("max_queue_bytes", 2**30, 2**28),
        ("image_workers", 2, 1),
        ("max_inflight_tiles", 8, 2),
        ("max_inflight_tiles", 1, 1),
        ("max_inflight_tiles", 0, 0),
        ("max_streams", 16, 4),
        ("max_stream_bytes", 2**30, 2**28),
        ("max_stream_bytes", 2**20, 2**20),
        ("stream_bytes", 2**28, 2**28),
        ("max_message_bytes", 2**28, 2**28),
    ],
)
def test_share_of_four_is_a_quarter_of_what_is_for_all(name: str, whole: int, part: int) -> None:
    assert getattr(share(Settings(processes=4, **{name: whole}), "here:1", 0), name) == part


def test_share_keeps_the_address_that_was_bound() -> None:
    assert share(Settings(listen="127.0.0.1:0", processes=2), "127.0.0.1:4711", 0).listen == "127.0.0.1:4711"


@pytest.mark.parametrize(
    ("whole", "parts"),
    [
        ("", ["", ""]),
        ("127.0.0.1:9464", ["127.0.0.1:9464", "127.0.0.1:9465"]),
        ("[::1]:9464", ["[::1]:9464", "[::1]:9465"]),
        ("127.0.0.1:0", ["127.0.0.1:0", "127.0.0.1:0"]),
    ],
)
def test_share_has_a_port_for_its_metrics(whole: str, parts: list[str]) -> None:
    settings = Settings(metrics_listen=whole, processes=2)
    assert [share(settings, "here:1", number).metrics_listen for number in range(2)] == parts


def test_order_is_read_as_it_was_written() -> None:
    order = Order(share(Settings(processes=2, default_model="bicubic"), "127.0.0.1:4711", 0), {"key": "secret"})
    assert Order.read(order.line()) == order


def test_order_leaves_open_what_was_left_open() -> None:
    order = Order(Settings(processes=2, default_steps=3), {})
    assert Order.read(order.line()).settings.model_fields_set == {"processes", "default_steps"}


def test_reserved_address_has_a_port_that_nobody_else_can_take() -> None:
    with reserved_address("127.0.0.1:0") as address, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", int(address.rpartition(":")[2])))


def test_reserved_address_is_refused_when_it_is_none_of_this_machine() -> None:
    with pytest.raises(ListenError), reserved_address("no.such.host.invalid:1"):
        pass


def test_servers_share_an_address_when_there_are_several() -> None:
    async def test() -> None:
        with reserved_address("127.0.0.1:0") as address:
            settings = Settings(listen=address, processes=2, drain_grace_s=0)
            async with served(FakeBackend(), settings) as one, served(FakeBackend(), settings) as other:
                assert (one, other) == (address, address)
            async with served(FakeBackend(), settings), connected(address) as client:
                assert (await client.upscale.GetModelInfo(pb.GetModelInfoRequest())).models

    run(test())


def test_kept_process_is_told_its_order(witness: Witness) -> None:
    async def test() -> None:
        async with witness.listening(), keeping([witness.kept(UNTIL_STOPPED)]):
            assert (await witness.next())[1] == "the order\n"

    run(test())


def test_keeping_begins_when_all_are_ready(witness: Witness) -> None:
    async def test() -> None:
        kept = [witness.kept(UNTIL_STOPPED) for _ in range(2)]
        async with witness.listening(), keeping(kept):
            assert all(process.ready.is_set() for process in kept)

    run(test())


def test_keeping_leaves_no_process(witness: Witness) -> None:
    async def test() -> None:
        async with witness.listening():
            async with keeping([witness.kept(UNTIL_STOPPED) for _ in range(2)]):
                pids = [(await witness.next())[0] for _ in range(2)]
            assert not any(map(exists, pids))

    run(test())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_kept_process_is_started_again_when_it_was_ended(witness: Witness, number: signal.Signals) -> None:
    async def test() -> None:
        async with witness.listening(), keeping([witness.kept(UNTIL_STOPPED)]):
            first, _ = await witness.next()
            os.kill(first, number)
            second, _ = await witness.next()
            assert (second != first, exists(first)) == (True, False)

    run(test())


def test_kept_process_is_started_again_and_again(witness: Witness) -> None:
    async def test() -> None:
        async with witness.listening(), keeping([witness.kept(READY)]):
            assert len({(await witness.next())[0] for _ in range(4)}) == 4

    run(test())


def test_kept_process_is_killed_when_it_does_not_stop(witness: Witness) -> None:
    async def test() -> None:
        async with witness.listening():
            async with keeping([witness.kept(DEAF, grace_s=0.05)]):
                pid, _ = await witness.next()
            assert not exists(pid)

    run(test())


def test_keeping_fails_when_a_process_ends_before_it_is_ready(witness: Witness) -> None:
    async def test() -> None:
        async with witness.listening():
            with pytest.raises(ProcessStartError, match="exit status 3"):
                async with keeping([witness.kept(UNTIL_STOPPED), witness.kept("raise SystemExit(3)")]):
                    pass

    run(test())


def test_keeping_fails_when_a_process_cannot_be_started() -> None:
    async def test() -> None:
        with pytest.raises(ProcessStartError, match="could not be started"):
            async with keeping([KeptProcess(b"", grace_s=GRACE_S, command=["/no/such/program"])]):
                pass

    run(test())


def test_keeping_leaves_no_process_when_another_did_not_start(witness: Witness) -> None:
    async def test() -> None:
        late = f"import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect({witness.path + '.go'!r}); s.recv(1)"
        started: asyncio.Queue[int] = asyncio.Queue()

        async def fail_after_the_other(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            started.put_nowait((await witness.next())[0])
            writer.close()

        async with witness.listening(), await asyncio.start_unix_server(fail_after_the_other, witness.path + ".go"):
            with contextlib.suppress(ProcessStartError):
                async with keeping([witness.kept(UNTIL_STOPPED), witness.kept(late)]):
                    pass
            assert not exists(await started.get())

    run(test())
