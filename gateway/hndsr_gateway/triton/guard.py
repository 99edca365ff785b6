"""Parent of the embedded tritonserver: ends it and clears what it leaves, however the gateway ends.

Runs by its path with the standard library alone, so that it starts in milliseconds and nothing installed can break it.
The first line of standard input says what to run; its end says stop. Standard output tells the gateway what happened,
in lines of JSON; standard error carries the server's log.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

POLL_S = 0.2
REAPED_S = 1.0
REAP_S = 5.0
SLACK_S = 1.0
STUB = "triton_python_backend_stub"
NAMELESS = "?"
"""Stands for a model whose process died so early that nothing tells its name any more."""
SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - not a temporary file: Triton's regions lie here
TEMPORARY = Path("/tmp")  # noqa: S108 - not ours to choose: Triton's Python backend writes here
BACKEND = "libtriton_python.so"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None, use_errno=True).prctl
_stop_asked: list[int] = []


def process_ids() -> Iterator[int]:
    """All processes that /proc shows."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def status(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the state on (state, parent, group, …); empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def arguments(pid: int) -> list[str]:
    """Command line of a process; empty when it is gone or dead."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def program(pid: int) -> str:
    """The first 15 characters of a process's program name, also of a dead one's that is not reaped."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""


def children(parent: int) -> list[int]:
    """Direct children of a process."""
    return [pid for pid in process_ids() if status(pid)[1:2] == [str(parent)]]


def clear(name: str, work_folder: Path) -> None:
    """Kill what still runs under an instance's name, then remove its shared memory and its work folder."""
    for pid in process_ids():
        path, *rest = arguments(pid) or [""]
        if Path(path).name in ("tritonserver", STUB) and any(name in argument for argument in rest):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
    for region in SHARED_MEMORY.glob(f"{name}_*"):
        with contextlib.suppress(OSError):
            region.unlink()
    shutil.rmtree(work_folder, ignore_errors=True)


def unpacking_folders() -> set[str]:
    """Folders that Python backends of this user made to unpack environments in; only a graceful end removes them."""
    found = set()
    for folder in TEMPORARY.glob("python_env_*"):
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.geteuid():
                found.add(str(folder))
    return found


def clear_unpacking_folders(name: str, *, older: Collection[str]) -> None:
    """Remove the empty ones that are not `older` than a dead instance, unless another server lives: it may own them."""
    appeared = unpacking_folders().difference(older)
    if not appeared or any(hosts_backend(pid) and name not in " ".join(arguments(pid)) for pid in process_ids()):
        return
    for folder in appeared:
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


def hosts_backend(pid: int) -> bool:
    """Whether a process of this user is a server, by any name: one that has loaded the Python backend."""
    try:
        return BACKEND in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


class ModelWatch:
    """Notices model processes that died. Triton neither replaces them nor calls itself unready."""

    def __init__(self, server: int) -> None:
        self._server = str(server)
        self._models: dict[int, str] = {}
        self._others: set[int] = set()
        self._dead_since_s: dict[int, float] = {}

    def dead_model(self, *, stopping: bool) -> str | None:
        """Name of a model whose process is dead, and has been for longer than the server takes to reap one.

        A reaped process is dead, too, unless the server is stopping and ends its models itself.
        """
        self._discover()
        now_s = time.monotonic()
        dead = [pid for pid in self._models if self._is_dead(pid, stopping=stopping)]
        self._dead_since_s = {pid: self._dead_since_s.get(pid, now_s) for pid in dead}
        lasting = (pid for pid, since_s in self._dead_since_s.items() if now_s - since_s > REAPED_S)
        return next((self._models[pid] for pid in lasting), None)

    def _is_dead(self, pid: int, *, stopping: bool) -> bool:
        state = status(pid)[:2]
        return state == ["Z", self._server] or (state[1:] != [self._server] and not stopping)

    def _discover(self) -> None:
        current = set(process_ids())
        self._others &= current
        for pid in current - self._others - self._models.keys():
            path, *rest = arguments(pid) or [""]
            state = status(pid)[:2]
            if state[1:] != [self._server]:
                self._others.add(pid)
            elif Path(path).name == STUB:  # until then it is the server's fork or a shell on its way there
                self._models[pid] = Path(rest[0]).parts[-3]
            elif state[0] == "Z" and program(pid) == STUB[:15]:
                self._models[pid] = NAMELESS


def tell(**facts: object) -> None:
    """Write one line of facts to the gateway, if it is still there."""
    with contextlib.suppress(OSError):
        os.write(1, json.dumps(facts).encode() + b"\n")


def launch(order: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Start the server so that it dies with this process."""
    guard = os.getpid()

    def die_with_guard() -> None:
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != guard:
            os._exit(1)

    return subprocess.Popen(
        order["arguments"],
        env=order["environment"],
        stdin=subprocess.DEVNULL,
        stdout=2,
        stderr=2,
        start_new_session=True,
        preexec_fn=die_with_guard,  # noqa: PLW1509 - this process has one thread
        restore_signals=False,  # SIGPIPE stays ignored: the log's reader may be gone before the server
    )


def supervise(server: subprocess.Popen[bytes], *, exit_timeout_s: float) -> None:
    """Return once the server ended: by itself, because the gateway wants it or is gone, or because a model died."""
    gateway, watch = os.getppid(), ModelWatch(server.pid)
    kill_at_s = float("inf")
    while server.poll() is None:
        if dead := watch.dead_model(stopping=kill_at_s < float("inf")):
            tell(dead_model=dead)
            kill_at_s = 0.0
        if time.monotonic() > kill_at_s:
            server.kill()
            server.wait()
        elif kill_at_s < float("inf"):
            time.sleep(POLL_S)
        elif _stop_asked or os.getppid() != gateway or select.select([0], [], [], POLL_S)[0]:
            server.terminate()
            kill_at_s = time.monotonic() + exit_timeout_s + SLACK_S


def end_orphans() -> None:
    """Kill and reap everything that the server started: as subreaper this process has become its parent."""
    until_s = time.monotonic() + REAP_S
    while time.monotonic() < until_s:
        for pid in children(os.getpid()):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG) != (0, 0):
                pass
        except ChildProcessError:
            return
        time.sleep(0.01)


def main() -> int:
    """Run the server to its end; the exit code is the server's, 128 + N when signal N ended it."""
    for ignored in (signal.SIGINT, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _: _stop_asked.append(number))
    line = sys.stdin.buffer.readline()
    if not line:
        return 0
    order = json.loads(line)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        server = launch(order)
        tell(pid=server.pid)
        supervise(server, exit_timeout_s=order["exit_timeout_s"])
    finally:
        end_orphans()
        clear(order["name"], Path(order["work_folder"]))
        clear_unpacking_folders(order["name"], older=order["unpacking_folders"])
        if os.getppid() != order["owner"]:
            shutil.rmtree(order["owners_folder"], ignore_errors=True)
    return server.returncode if server.returncode >= 0 else 128 - server.returncode


if __name__ == "__main__":
    sys.exit(main())
