"""The guard, around small programs in the server's place."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hndsr_gateway.triton import guard

SLEEPS = "import time; time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); {SLEEPS}"
HOSTS_A_BACKEND = """
import mmap, sys, time
with open(sys.argv[1], "r+b") as library:
    mapped = mmap.mmap(library.fileno(), 0)
print(flush=True)
time.sleep(60)
"""
LEAVES_AN_ORPHAN = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {DEAF!r}], start_new_session=True)
print(child.pid, file=open(sys.argv[1], "w"), flush=True)
{SLEEPS}
"""


class Guarded:
    """A guard, what it runs, and where that leaves its traces."""

    def __init__(self, folder: Path) -> None:
        self.work_folder, self.owners_folder = folder / "work", folder / "owners"
        self.work_folder.mkdir()
        self.owners_folder.mkdir()
        self.note = folder / "note"
        program = [sys.executable, "-I", "-S", guard.__file__]
        self.process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, code: str, owner: int | None = None) -> psutil.Process:
        """Have it run Python code in the server's place, for this process or another."""
        assert self.process.stdin
        assert self.process.stdout
        order = {
            "arguments": [sys.executable, "-c", code, str(self.note)],
            "environment": {},
            "name": "hndsr_test_guard",
            "work_folder": str(self.work_folder),
            "owner": os.getpid() if owner is None else owner,
            "owners_folder": str(self.owners_folder),
            "exit_timeout_s": 0,
            "unpacking_folders": sorted(guard.unpacking_folders()),
        }
        self.process.stdin.write(json.dumps(order).encode() + b"\n")
        self.process.stdin.flush()
        return psutil.Process(json.loads(self.process.stdout.readline())["pid"])

    def stop(self) -> int:
        """Close its input; the exit code."""
        assert self.process.stdin
        self.process.stdin.close()
        return self.process.wait(timeout=10)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    """A guard that waits for its order; everything below it is gone when the test is over."""
    made = Guarded(tmp_path)
    with made.process:
        yield made
        below = psutil.Process(made.process.pid).children(recursive=True) if made.process.poll() is None else []
        for process in (*below, made.process):
            process.kill()


def wait_until(condition: Callable[[], object]) -> None:
    until = time.monotonic() + 5
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)


def test_guard_without_an_order_ends(guarded: Guarded) -> None:
    assert guarded.stop() == 0


def test_guard_ends_with_the_servers_exit_code(guarded: Guarded) -> None:
    guarded.run("raise SystemExit(7)")
    assert guarded.process.wait(timeout=10) == 7


def test_guard_asks_the_server_to_end_when_its_input_ends(guarded: Guarded) -> None:
    guarded.run(SLEEPS)
    assert guarded.stop() == 128 + signal.SIGTERM


def test_guard_asks_the_server_to_end_when_it_is_asked_itself(guarded: Guarded) -> None:
    guarded.run(SLEEPS)
    guarded.process.terminate()
    assert guarded.process.wait(timeout=10) == 128 + signal.SIGTERM


def test_guard_kills_a_server_that_does_not_end_in_time(guarded: Guarded) -> None:
    guarded.run(DEAF)
    assert guarded.process.stderr
    guarded.process.stderr.readline()
    assert guarded.stop() == 128 + signal.SIGKILL


def test_guard_kills_what_the_server_leaves_behind(guarded: Guarded) -> None:
    guarded.run(LEAVES_AN_ORPHAN)
    wait_until(lambda: guarded.note.exists() and guarded.note.read_text())
    orphan = psutil.Process(int(guarded.note.read_text()))
    guarded.stop()

    assert not orphan.is_running()


def test_guard_removes_the_work_folder(guarded: Guarded) -> None:
    guarded.run("pass")
    guarded.process.wait(timeout=10)

    assert not guarded.work_folder.exists()


@pytest.mark.parametrize(("owner", "kept"), [(None, True), (0, False)], ids=["lives", "is gone"])
def test_guard_removes_the_owners_folder_when_its_owner_is_gone(
    guarded: Guarded, owner: int | None, *, kept: bool
) -> None:
    guarded.run("pass", owner)
    guarded.process.wait(timeout=10)

    assert guarded.owners_folder.exists() == kept


def test_server_dies_with_the_guard(guarded: Guarded) -> None:
    server = guarded.run(DEAF)
    guarded.process.kill()
    wait_until(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE)

    assert not server.is_running() or server.status() == psutil.STATUS_ZOMBIE


def test_clear_removes_the_shared_memory_of_the_name_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "SHARED_MEMORY", tmp_path)
    for name in ("mine_1", "mine_2", "other_1"):
        (tmp_path / name).touch()
    guard.clear("mine", tmp_path / "none")

    assert [path.name for path in tmp_path.iterdir()] == ["other_1"]


@contextlib.contextmanager
def model_process(folder: Path, code: str) -> Iterator[subprocess.Popen[bytes]]:
    """A child of this process under the name and with the arguments of a model's process."""
    stub = folder / guard.STUB
    stub.write_text(f"#!/bin/sh\n{code}\n")
    stub.chmod(0o755)
    with subprocess.Popen([stub, "/models/fno/1/model.py"]) as process:
        yield process
        process.kill()


def test_model_watch_names_the_model_whose_process_died(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "REAPED_S", 0.0)
    monkeypatch.setattr(guard, "arguments", lambda _: [guard.STUB, "/models/fno/1/model.py"])
    watch = guard.ModelWatch(os.getpid())
    with model_process(tmp_path, "exec sleep 60") as process:
        alive = watch.dead_model(stopping=False)
        process.kill()
        wait_until(lambda: watch.dead_model(stopping=False))
        dead = watch.dead_model(stopping=False)

    assert (alive, dead) == (None, "fno")


def test_model_watch_notices_a_process_that_died_before_it_was_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "REAPED_S", 0.0)
    watch = guard.ModelWatch(os.getpid())
    with model_process(tmp_path, "exit 3") as process:
        wait_until(lambda: psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE)
        wait_until(lambda: watch.dead_model(stopping=False))
        dead = watch.dead_model(stopping=False)

    assert dead == guard.NAMELESS


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for the library of the Python backend, in a machine's folder of temporary files of its own."""
    monkeypatch.setattr(guard, "TEMPORARY", tmp_path)
    monkeypatch.setattr(guard, "BACKEND", f"{tmp_path.name}_backend.so")
    (tmp_path / guard.BACKEND).write_bytes(b"library")
    return tmp_path / guard.BACKEND


@contextlib.contextmanager
def server_with(library: Path, name: str) -> Iterator[None]:
    """A process that has loaded the library and carries the name of an instance."""
    program = [sys.executable, "-c", HOSTS_A_BACKEND, str(library), name]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as server:
        assert server.stdout
        server.stdout.readline()
        try:
            yield
        finally:
            server.kill()


def folders_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_clear_unpacking_folders_removes_empty_ones_that_appeared(library: Path) -> None:
    (library.parent / "python_env_older").mkdir()
    older = guard.unpacking_folders()
    for name in ("python_env_empty", "python_env_full/file", "other"):
        (library.parent / name).mkdir(parents=True)
    guard.clear_unpacking_folders("mine", older=older)

    assert folders_in(library.parent) == ["other", "python_env_full", "python_env_older"]


@pytest.mark.parametrize(("name", "left"), [("mine", []), ("other", ["python_env_a"])])
def test_clear_unpacking_folders_spares_those_of_other_servers(library: Path, name: str, left: list[str]) -> None:
    with server_with(library, name):
        (library.parent / "python_env_a").mkdir()
        guard.clear_unpacking_folders("mine", older=())

    assert folders_in(library.parent) == left
