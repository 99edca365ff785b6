"""The embedded Triton against the real server: it serves, names what is wrong, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from tritonclient.grpc import aio
from tritonclient.utils import InferenceServerException

from hndsr_gateway.triton import embedded, guarded
from hndsr_gateway.triton.addresses import Addresses, reserved_addresses
from hndsr_gateway.triton.embedded import EmbeddedTriton, EmbeddedTritonOptions
from hndsr_gateway.triton.errors import ModelLoadError, StartupTimeoutError, TritonDiedError, TritonLostError
from hndsr_gateway.triton.guard import SHARED_MEMORY, hosts_backend, process_ids, unpacking_folders
from hndsr_gateway.triton.supervisor import Supervisor, supervised
from hndsr_gateway.triton.workspace import Workspace

pytest.importorskip("pytriton")

MODELS = Path(__file__).with_name("tiny_models")
OWNER = """
import asyncio, pathlib, sys
from hndsr_gateway.triton.embedded import EmbeddedTriton, EmbeddedTritonOptions

async def main():
    async with EmbeddedTriton(EmbeddedTritonOptions(pathlib.Path(sys.argv[1]), ("reverses",))) as triton:
        print(triton._server.workspace.folder, triton.grpc_address, flush=True)
        await asyncio.sleep(60)

asyncio.run(main())
"""
ANOTHER_USER = """
import os, socket, sys

os.setuid(65534)
try:
    socket.socket(socket.AF_UNIX).connect(sys.argv[1])
except PermissionError:
    print("refused")
"""


def options(*models: str, **more: Any) -> EmbeddedTritonOptions:
    return EmbeddedTritonOptions(model_repository=MODELS, models=models or ("reverses",), exit_timeout_s=5, **more)


def socket_of(grpc_address: str) -> Path:
    return Path(grpc_address.removeprefix("unix:"))


def processes(workspace: Workspace) -> list[psutil.Process]:
    """Server and model processes of a workspace, and what became of them."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(workspace.name in argument for argument in process.cmdline()):
                found.append(process)
    return found


def remains(workspace: Workspace) -> list[str]:
    """Everything that is left of a workspace."""
    folders = [workspace.folder] if workspace.folder.exists() else []
    return [*map(str, processes(workspace)), *map(str, SHARED_MEMORY.glob(f"{workspace.name}*")), *map(str, folders)]


def wait_until(condition: Callable[[], object], *, timeout_s: float) -> None:
    until = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < until:
        time.sleep(0.05)


@pytest.fixture
def workspaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Workspace]]:
    """The workspaces that a test makes; whatever still runs in them when it ends is killed."""
    made: list[Workspace] = []

    def create(owner: int) -> Workspace:
        made.append(create_workspace(owner))
        return made[-1]

    create_workspace = guarded.create_workspace
    monkeypatch.setattr(guarded, "create_workspace", create)
    yield made
    for workspace in made:
        guarded.guard.clear(workspace.name, workspace.folder)


@pytest.fixture(scope="module")
def run() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs coroutines in the loop that the shared server lives in."""
    loop = asyncio.new_event_loop()
    yield loop.run_until_complete
    loop.close()


@pytest.fixture(scope="module")
def triton(run: Callable[[Coroutine[Any, Any, Any]], Any]) -> Iterator[EmbeddedTriton]:
    """One server for the tests that only look at it, started where another `python3` comes first on PATH."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", "/usr/bin:/bin")
        shared = EmbeddedTriton(options())
        run(shared.start())
    yield shared
    run(shared.stop())


@dataclass
class Owner:
    """Another process that runs an embedded Triton."""

    process: subprocess.Popen[bytes]
    workspace: Workspace
    sockets: Path

    def remains(self) -> list[str]:
        """Everything that is left of it."""
        return remains(self.workspace) + [str(self.sockets)] * self.sockets.exists()


@pytest.fixture
def owner(workspaces: list[Workspace]) -> Iterator[Owner]:
    """Another process that runs an embedded Triton, ready."""
    program = [sys.executable, "-c", OWNER, str(MODELS)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            folder, address = process.stdout.readline().decode().split()
            workspaces.append(Workspace(Path(folder)))
            yield Owner(process, workspaces[-1], socket_of(address).parent)
        finally:
            process.kill()


async def reverse(triton: EmbeddedTriton, values: list[int], *, model: str = "reverses") -> list[int]:
    array = np.array(values, np.uint8)
    tensor = aio.InferInput("X", list(array.shape), "UINT8")
    tensor.set_data_from_numpy(array)
    async with aio.InferenceServerClient(triton.grpc_address) as client:
        result = await client.infer(model, [tensor], client_timeout=5)
    return list(result.as_numpy("Y"))


async def start_and_stop(chosen: EmbeddedTritonOptions) -> None:
    async with EmbeddedTriton(chosen):
        pass


# Before the tests that share a server: while another lives, nobody can tell whose these folders are.
@pytest.mark.parametrize("victim", ["server", "guard", "model"])
def test_no_unpacking_folder_is_left_when_a_part_was_killed(victim: str) -> None:
    if any(map(hosts_backend, process_ids())):
        pytest.skip("another server runs on this machine")

    async def killed() -> None:
        triton = EmbeddedTriton(options())
        await triton.start()
        server = psutil.Process(triton.pid)
        pid = {"server": server.pid, "guard": server.ppid(), "model": server.children()[0].pid}[victim]
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TritonDiedError):
            await asyncio.wait_for(triton.wait(), 10)

    older = unpacking_folders()
    asyncio.run(killed())

    assert unpacking_folders() <= older


def test_embedded_triton_starts_when_a_shell_would_misread_the_folder_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a b").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a b"))
    asyncio.run(start_and_stop(options(startup_timeout_s=20.0)))


def test_embedded_triton_serves_its_models(triton: EmbeddedTriton, run: Any) -> None:
    assert run(reverse(triton, [1, 2, 3])) == [3, 2, 1]


def test_embedded_triton_loads_named_models_only(triton: EmbeddedTriton, run: Any) -> None:
    async def ready() -> bool:
        async with aio.InferenceServerClient(triton.grpc_address) as client:
            return bool(await client.is_model_ready("refuses"))

    assert not run(ready())


def test_embedded_triton_serves_metrics(triton: EmbeddedTriton) -> None:
    with urllib.request.urlopen(f"http://{triton.metrics_address}/metrics", timeout=5) as answer:
        assert b"nv_inference_request_success" in answer.read()


def test_embedded_triton_listens_on_tcp_for_metrics_only(triton: EmbeddedTriton) -> None:
    listening = [c.laddr for c in psutil.Process(triton.pid).net_connections() if c.status == psutil.CONN_LISTEN]
    addresses = {f"{address.ip.removeprefix('::ffff:')}:{address.port}" for address in listening}

    assert addresses == {triton.metrics_address}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes another user")
def test_embedded_triton_is_out_of_reach_of_other_users(triton: EmbeddedTriton) -> None:
    program = [sys.executable, "-I", "-S", "-c", ANOTHER_USER, str(socket_of(triton.grpc_address))]
    said = subprocess.run(program, check=True, stdout=subprocess.PIPE, text=True).stdout

    assert (said, socket_of(triton.grpc_address).is_socket()) == ("refused\n", True)


def test_embedded_triton_is_out_of_reach_of_the_terminal(triton: EmbeddedTriton) -> None:
    assert os.getsid(triton.pid) != os.getsid(0)


def test_embedded_triton_refuses_to_load_models_for_callers_that_know_the_secret(
    triton: EmbeddedTriton, run: Any
) -> None:
    async def load() -> None:
        async with aio.InferenceServerClient(triton.grpc_address) as client:
            await client.load_model("reverses", headers=triton.control_headers, client_timeout=5)

    with pytest.raises(InferenceServerException, match="not allowed"):
        run(load())


async def shared_memory_status(triton: EmbeddedTriton, headers: Mapping[str, str]) -> object:
    async with aio.InferenceServerClient(triton.grpc_address) as client:
        return await client.get_system_shared_memory_status(headers=dict(headers), client_timeout=5)


def test_embedded_triton_lends_shared_memory_to_callers_that_know_the_secret(triton: EmbeddedTriton, run: Any) -> None:
    assert run(shared_memory_status(triton, triton.control_headers)) is not None


def test_embedded_triton_lends_no_shared_memory_to_others(triton: EmbeddedTriton, run: Any) -> None:
    with pytest.raises(InferenceServerException, match="restricted"):
        run(shared_memory_status(triton, {}))


def test_two_embedded_tritons_do_not_disturb_each_other(
    triton: EmbeddedTriton, run: Any, workspaces: list[Workspace]
) -> None:
    run(start_and_stop(options()))

    assert (run(reverse(triton, [1, 2])), remains(workspaces[0])) == ([2, 1], [])


@pytest.mark.parametrize(
    ("model", "cause"), [("refuses", "ValueError: the weights are missing"), ("dies_early", "")], ids=str
)
def test_start_names_the_model_that_does_not_load(workspaces: list[Workspace], model: str, cause: str) -> None:
    began = time.monotonic()
    with pytest.raises(ModelLoadError, match=f"{model}: .*{cause}"):
        asyncio.run(start_and_stop(options("never_ready", model)))

    assert (time.monotonic() - began < 10, remains(workspaces[0])) == (True, [])


def test_start_ends_in_time_when_a_model_is_never_ready(workspaces: list[Workspace]) -> None:
    with pytest.raises(StartupTimeoutError, match="still waiting for never_ready;"):
        asyncio.run(start_and_stop(options("never_ready", startup_timeout_s=1.0)))

    assert remains(workspaces[0]) == []


def test_start_that_is_cancelled_leaves_nothing(workspaces: list[Workspace]) -> None:
    async def cancelled() -> None:
        await asyncio.wait_for(start_and_stop(options("never_ready")), 0.5)

    with pytest.raises(asyncio.TimeoutError):
        asyncio.run(cancelled())

    assert remains(workspaces[0]) == []


def test_start_takes_other_addresses_when_a_port_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def served() -> list[int]:
        async with EmbeddedTriton(options()) as triton:
            return await reverse(triton, [1, 2])

    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = Addresses(tmp_path, metrics_port=taken.getsockname()[1])
        chosen = iter([contextlib.nullcontext(first), reserved_addresses()])
        monkeypatch.setattr(embedded, "reserved_addresses", lambda **_: next(chosen))
        assert asyncio.run(served()) == [2, 1]


def test_wait_names_the_model_whose_process_died(workspaces: list[Workspace]) -> None:
    async def until_it_dies() -> None:
        async with EmbeddedTriton(options("dies")) as triton:
            with contextlib.suppress(InferenceServerException):
                await reverse(triton, [1], model="dies")
            await asyncio.wait_for(triton.wait(), 10)

    with pytest.raises(TritonDiedError, match=r"the process of model '(dies|\?)' died"):
        asyncio.run(until_it_dies())

    assert remains(workspaces[0]) == []


def test_wait_returns_when_the_server_is_stopped() -> None:
    async def stopped() -> None:
        triton = EmbeddedTriton(options())
        await triton.start()
        waiting = asyncio.create_task(triton.wait())
        await asyncio.sleep(0)
        await triton.stop()
        await asyncio.wait_for(waiting, 1)

    asyncio.run(stopped())


def known(triton: EmbeddedTriton) -> tuple[str, str, Mapping[str, str]]:
    """What callers know of a server."""
    return triton.grpc_address, triton.metrics_address, triton.control_headers


@pytest.mark.parametrize("victim", ["server", "guard"])
def test_start_follows_at_the_same_addresses_when_a_part_was_killed(workspaces: list[Workspace], victim: str) -> None:
    async def killed_and_started_again() -> None:
        triton = EmbeddedTriton(options())
        await triton.start()
        before = known(triton)
        pid = triton.pid if victim == "server" else psutil.Process(triton.pid).ppid()
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(TritonDiedError):
            await asyncio.wait_for(triton.wait(), 10)
        left = remains(workspaces[0])
        async with triton:
            assert (left, known(triton), await reverse(triton, [1, 2])) == ([], before, [2, 1])
            assert await shared_memory_status(triton, before[-1]) is not None

    asyncio.run(killed_and_started_again())


def port_of(address: str) -> int:
    return int(address.rpartition(":")[2])


async def until(condition: Callable[[], object]) -> None:
    while True:
        if condition():
            return
        await asyncio.sleep(0.02)


def test_supervisor_starts_a_server_once_its_port_is_free_again(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        async with EmbeddedTriton(options()) as triton, supervised(triton):
            os.kill(triton.pid, signal.SIGKILL)
            await until(lambda: not triton.pid)
            with socket.create_server(("127.0.0.1", port_of(triton.metrics_address))):
                await until(lambda: "took a port" in caplog.text)
            await until(lambda: triton.pid)
            assert await reverse(triton, [1, 2]) == [2, 1]

    asyncio.run(asyncio.wait_for(test(), 60))


def test_port_of_a_server_that_died_is_not_given_to_others() -> None:
    async def test() -> None:
        async with EmbeddedTriton(options()) as triton:
            os.kill(triton.pid, signal.SIGKILL)
            with pytest.raises(TritonDiedError):
                await asyncio.wait_for(triton.wait(), 10)
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port_of(triton.metrics_address)))

    asyncio.run(test())


def test_supervisor_gives_up_when_a_model_does_not_load_any_more(tmp_path: Path) -> None:
    async def test() -> None:
        async with EmbeddedTriton(EmbeddedTritonOptions(model_repository=tmp_path)) as triton:
            (tmp_path / "reverses/1/model.py").write_text("raise ValueError('the weights are missing')")
            os.kill(triton.pid, signal.SIGKILL)
            with pytest.raises(TritonLostError, match="the weights are missing"):
                await asyncio.wait_for(Supervisor(triton, first_pause_s=0.0).run(), 60)

    shutil.copytree(MODELS / "reverses", tmp_path / "reverses")
    asyncio.run(test())


def test_nothing_is_left_when_the_owner_is_killed(owner: Owner) -> None:
    assert len(processes(owner.workspace)) == 2
    owner.process.kill()
    wait_until(lambda: not owner.remains(), timeout_s=10)

    assert owner.remains() == []


def test_next_start_clears_what_is_left_when_owner_and_guard_are_killed(owner: Owner) -> None:
    server = next(process for process in processes(owner.workspace) if process.name() == "tritonserver")
    owner.process.send_signal(signal.SIGSTOP)
    os.kill(server.ppid(), signal.SIGKILL)
    owner.process.kill()
    owner.process.wait()
    wait_until(lambda: not server.is_running(), timeout_s=5)
    left = (owner.workspace.folder.exists(), owner.sockets.exists())
    assert (server.is_running(), left) == (False, (True, True))
    embedded.clear_leftovers()
    wait_until(lambda: not owner.remains(), timeout_s=5)

    assert owner.remains() == []
