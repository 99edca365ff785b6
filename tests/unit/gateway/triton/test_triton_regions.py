"""Files in shared memory: closed to others, never short of memory, and gone with their owner."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hndsr_gateway.triton import guard, workspace
from hndsr_gateway.triton.regions import clear_regions, create_region, unlink_region

OWNER = """
import os, sys
from pathlib import Path
from hndsr_gateway.triton import guard, regions, workspace
guard.SHARED_MEMORY = Path(sys.argv[1])
region = regions.create_region(workspace.region_name(os.getpid()), 4096)
print(region.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the folder of shared memory, and for that of work folders."""
    monkeypatch.setattr(guard, "SHARED_MEMORY", tmp_path)
    monkeypatch.setattr(workspace, "temporary_folder", lambda: tmp_path)
    return tmp_path


@pytest.fixture
def name() -> str:
    return workspace.region_name(os.getpid())


@pytest.fixture
def owner(place: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that has a region."""
    program = [sys.executable, "-c", OWNER, str(place)]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        yield process
        process.kill()


def elsewhere(place: Path) -> Path:
    """The region of `place` under the name that a gateway of another pid namespace would have given it."""
    (region,) = place.iterdir()
    _, namespace, rest = region.name.split("_", 2)
    return region.rename(place / f"hndsr_{int(namespace) + 1}_{rest}")


def test_region_is_closed_to_other_users(place: Path, name: str) -> None:
    create_region(name, 4096)
    assert stat.S_IMODE((place / name).stat().st_mode) == 0o600


def test_region_has_all_its_memory_from_the_start(place: Path, name: str) -> None:
    create_region(name, 2**20)
    assert (place / name).stat().st_blocks * 512 >= 2**20


def test_region_shows_what_is_written_into_its_file(place: Path, name: str) -> None:
    region = create_region(name, 4096)
    with (place / name).open("r+b") as file:
        file.write(b"abc")
    assert bytes(region.memory[:3]) == b"abc"


def test_region_leaves_no_file_when_there_is_no_room(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    shared_memory = Path("/dev/shm")  # noqa: S108 - shared memory itself, which has an end
    monkeypatch.setattr(guard, "SHARED_MEMORY", shared_memory)
    status = os.statvfs(shared_memory)
    with pytest.raises(OSError, match="No space left"):
        create_region(name, status.f_blocks * status.f_frsize + 2**20)
    assert not (shared_memory / name).exists()


def test_region_takes_no_file_that_exists(place: Path, name: str) -> None:
    (place / name).touch()
    with pytest.raises(FileExistsError):
        create_region(name, 4096)


def test_unlink_region_may_be_repeated(place: Path, name: str) -> None:
    region = create_region(name, 4096)
    unlink_region(region)
    unlink_region(region)
    assert list(place.iterdir()) == []


def test_clear_regions_spares_the_living(place: Path, owner: subprocess.Popen[bytes]) -> None:
    clear_regions()
    assert len(list(place.iterdir())) == 1


def test_clear_regions_spares_the_living_of_other_namespaces(place: Path, owner: subprocess.Popen[bytes]) -> None:
    foreign = elsewhere(place)
    clear_regions()
    assert foreign.exists()


def test_clear_regions_removes_those_of_the_dead(place: Path, owner: subprocess.Popen[bytes]) -> None:
    owner.kill()
    owner.wait()
    clear_regions()
    assert list(place.iterdir()) == []


def test_clear_regions_removes_those_of_the_dead_of_other_namespaces(
    place: Path, owner: subprocess.Popen[bytes]
) -> None:
    elsewhere(place)
    owner.kill()
    owner.wait()
    clear_regions()
    assert list(place.iterdir()) == []


def test_clear_leftovers_removes_those_of_the_dead(place: Path, owner: subprocess.Popen[bytes]) -> None:
    owner.kill()
    owner.wait()
    workspace.clear_leftovers()
    assert list(place.iterdir()) == []


def test_clear_leftovers_spares_the_living(place: Path, owner: subprocess.Popen[bytes]) -> None:
    workspace.clear_leftovers()
    assert len(list(place.iterdir())) == 1


@pytest.mark.parametrize("other", ["hndsr_1_2_3_abcdefgh", "hndsr_1_2_3_abcdefgh_stub", "hndsr_region", "other"])
def test_clear_regions_spares_what_is_none(place: Path, other: str) -> None:
    (place / other).touch()
    clear_regions()
    assert (place / other).exists()
