"""Who may open a stream, and who has to make way."""

from __future__ import annotations

import contextlib

import pytest
from in_process import run

from hndsr_gateway.caller import Caller, called_by
from hndsr_gateway.errors import OverloadedError
from hndsr_gateway.scheduling import OpenStream, StreamRoom
from hndsr_gateway.settings import Settings

MIB = 2**20


class Room:
    """A room, and the streams in it."""

    def __init__(self, *, max_streams: int = 4, max_mib: int = 100) -> None:
        settings = Settings(max_streams=max_streams, max_stream_bytes=max_mib * MIB, stream_tiles=1)
        self.room = StreamRoom(settings)
        self._held: list[contextlib.ExitStack] = []

    def open(self, caller: str, *, mib: int = 1) -> tuple[OpenStream, contextlib.ExitStack]:
        """A stream of a tile of so many MiB."""
        with called_by(Caller(id=caller)), contextlib.ExitStack() as stack:
            stream = stack.enter_context(self.room.stream())
            stack.enter_context(self.room.tiles(stream, mib * MIB, 1))
            self._held.append(stack.pop_all())
            return stream, self._held[-1]

    def is_refused(self, caller: str, *, mib: int = 1) -> bool:
        """Whether a stream is; it is closed at once where it is not."""
        try:
            self.open(caller, mib=mib)[1].close()
        except OverloadedError:
            return True
        return False


def test_lone_caller_may_have_all_streams() -> None:
    async def test() -> None:
        room = Room()
        streams = [room.open("a")[0] for _ in range(4)]
        assert room.is_refused("a")
        assert not any(stream.leaving.is_set() for stream in streams)

    run(test())


def test_newest_stream_of_who_has_most_leaves_when_another_finds_no_room() -> None:
    async def test() -> None:
        room = Room()
        streams = [room.open(caller)[0] for caller in "aaab"]
        assert room.is_refused("c")
        assert [stream.leaving.is_set() for stream in streams] == [False, False, True, False]

    run(test())


def test_one_stream_leaves_however_often_another_asks_meanwhile() -> None:
    async def test() -> None:
        room = Room()
        streams = [room.open("a")[0] for _ in range(4)]
        assert all(room.is_refused("b") for _ in range(3))
        assert sum(stream.leaving.is_set() for stream in streams) == 1

    run(test())


def test_another_stream_leaves_for_each_caller_that_finds_no_room() -> None:
    async def test() -> None:
        room = Room()
        streams = [room.open("a")[0] for _ in range(4)]
        assert all(room.is_refused(caller) for caller in "bcd")
        assert [stream.leaving.is_set() for stream in streams] == [False, True, True, True]

    run(test())


def test_caller_is_refused_when_all_streams_leave_already() -> None:
    async def test() -> None:
        room = Room(max_streams=1)
        stream, _ = room.open("a")
        stream.leaving.set()
        assert room.is_refused("b")

    run(test())


def test_no_stream_leaves_when_another_has_as_many() -> None:
    async def test() -> None:
        room = Room()
        streams = [room.open(caller)[0] for caller in "aabb"]
        assert room.is_refused("b")
        assert not any(stream.leaving.is_set() for stream in streams)

    run(test())


def test_room_is_kept_for_who_found_none() -> None:
    async def test() -> None:
        room = Room()
        opened = [room.open("a") for _ in range(4)]
        assert room.is_refused("b")
        opened[-1][1].close()
        assert room.is_refused("a")
        assert not room.is_refused("b")

    run(test())


def test_room_is_not_kept_any_more_when_its_caller_came() -> None:
    async def test() -> None:
        room = Room()
        opened = [room.open("a") for _ in range(4)]
        assert room.is_refused("b")
        opened[-1][1].close()
        assert not room.is_refused("b")
        assert not room.is_refused("a")

    run(test())


@pytest.mark.parametrize(("mib", "leaving"), [(30, [False, True]), (90, [False, False])])
def test_stream_leaves_when_another_that_needs_less_finds_no_bytes(mib: int, leaving: list[bool]) -> None:
    async def test() -> None:
        room = Room(max_mib=100)
        streams = [room.open("a", mib=40)[0] for _ in range(2)]
        assert room.is_refused("b", mib=mib)
        assert [stream.leaving.is_set() for stream in streams] == leaving

    run(test())
