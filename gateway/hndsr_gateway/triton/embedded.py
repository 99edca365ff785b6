"""The embedded Triton: a real tritonserver from the wheel, on a private socket, for as long as the gateway runs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import final

from hndsr_gateway.triton import requirements, wheel
from hndsr_gateway.triton.addresses import Addresses, reserved_addresses
from hndsr_gateway.triton.command import ServerCommand, control_headers, server_environment
from hndsr_gateway.triton.errors import PortTakenError, StartupTimeoutError
from hndsr_gateway.triton.guarded import GuardedServer
from hndsr_gateway.triton.readiness import wait_until_ready
from hndsr_gateway.triton.workspace import clear_leftovers, fill_workspace, find_models

_PORT_RETRIES = 2


@dataclass(frozen=True)
class EmbeddedTritonOptions:
    """What to serve, and within which bounds."""

    model_repository: Path
    models: tuple[str, ...] = ()
    """Which models to serve, with what they call themselves; an ensemble's steps come along. Empty: all."""
    instance_groups: Mapping[str, str] = field(default_factory=dict)
    """Instance groups of models, as their configurations write one, instead of those that they have."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables for the models, above the inherited ones."""
    startup_timeout_s: float = 300.0
    exit_timeout_s: int = 10
    """How long a stop waits for running requests."""
    required_shared_memory_bytes: int = 0
    """What has to be free in /dev/shm."""
    metrics_port: int = 0
    """Where it serves its own metrics, on the loopback address; 0: at a free one."""
    python_path: tuple[Path, ...] = ()
    """Folders that models put in front of `sys.path`, before those of NumPy and hndsr_ensemble."""


@dataclass(frozen=True)
class _Installation:
    wheel: wheel.TritonWheel
    shared_python: Path
    models: tuple[Path, ...]


@final
class EmbeddedTriton:
    """Starts and stops one tritonserver; `async with` does both. Whatever ends this process also ends the server.

    One that died can be started again: from the first start to the stop its addresses are kept from others, and what
    callers know of it stays true.
    """

    def __init__(self, options: EmbeddedTritonOptions) -> None:
        self._options = options
        self._secret = secrets.token_hex(16)
        self._installation: _Installation | None = None
        self._server: GuardedServer | None = None
        self._addresses: Addresses | None = None
        self._reservation = contextlib.ExitStack()
        self.grpc_address = ""
        """Where inference is served, as `unix:PATH`, to this user alone; empty before the start."""
        self.metrics_address = ""
        """Where Prometheus metrics are served, as `127.0.0.1:PORT`; empty before the start."""
        self.control_headers: Mapping[str, str] = control_headers(self._secret)
        """Metadata that Triton wants with calls that register shared memory or change log and trace settings."""

    @property
    def pid(self) -> int:
        """Process id of tritonserver, 0 while it does not run."""
        return self._server.pid if self._server else 0

    async def start(self) -> None:
        """Start the server and return when all its models are ready.

        Raises:
            EmbeddedTritonError: it cannot run here, a model does not load, or it is not ready in time.
        """
        clear_leftovers()
        # Once only: the gateway's own regions take of the shared memory that has to be free.
        self._installation = self._installation or _check_installation(self._options)
        for _ in range(0 if self._addresses else _PORT_RETRIES):
            with contextlib.suppress(PortTakenError):
                await self._start(self._installation)
                return
        await self._start(self._installation)

    async def _start(self, installation: _Installation) -> None:
        async with contextlib.AsyncExitStack() as undo:
            if self._addresses is None:
                undo.callback(self._release_addresses)
                reserved = reserved_addresses(metrics_port=self._options.metrics_port)
                self._addresses = self._reservation.enter_context(reserved)
            server = await GuardedServer.prepare(exit_timeout_s=self._options.exit_timeout_s)
            undo.push_async_callback(server.abort)
            await self._launch(server, installation, self._addresses)
            await self._wait_until_ready(server, installation, self._addresses)
            self._server = server
            undo.pop_all()

    def _release_addresses(self) -> None:
        self._addresses = None
        self._reservation.close()

    async def _launch(self, server: GuardedServer, installation: _Installation, addresses: Addresses) -> None:
        fill_workspace(
            server.workspace,
            wheel=installation.wheel,
            models=installation.models,
            instance_groups=self._options.instance_groups,
        )
        command = ServerCommand(
            wheel=installation.wheel,
            workspace=server.workspace,
            addresses=addresses,
            secret=self._secret,
            exit_timeout_s=self._options.exit_timeout_s,
        )
        environment = server_environment(
            os.environ,
            libraries=(installation.wheel.libraries, installation.shared_python),
            python_path=wheel.model_python_path(self._options.python_path),
            extra=self._options.environment,
        )
        await server.launch(command.arguments(), environment, sockets=addresses.sockets)
        self.grpc_address, self.metrics_address = addresses.grpc, addresses.metrics

    async def _wait_until_ready(self, server: GuardedServer, installation: _Installation, addresses: Addresses) -> None:
        models = tuple(model.name for model in installation.models)
        ready = wait_until_ready(server, addresses=addresses, models=models)
        timeout_s = self._options.startup_timeout_s
        try:
            await asyncio.wait_for(ready, timeout_s)
        except asyncio.TimeoutError:
            raise StartupTimeoutError(timeout_s=timeout_s, waiting_for=server.log.not_loaded(models)) from None

    async def wait(self) -> None:
        """Return when `stop` is called, raise when the server ends without it.

        Raises:
            TritonDiedError: the server ended, or a model's process died; nothing of it is left, and `start` may follow.
        """
        if (server := self._server) is None:
            return
        died = await server.died()
        if server.stopping:
            return
        if self._server is server:
            self._server = None
        raise died

    async def stop(self) -> None:
        """Let running requests finish within the exit timeout, end the server, and leave nothing of it behind."""
        server, self._server = self._server, None
        if server is not None:
            await server.stop()
        self._release_addresses()

    async def __aenter__(self) -> EmbeddedTriton:
        await self.start()
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()


def _check_installation(options: EmbeddedTritonOptions) -> _Installation:
    requirements.check_machine(requirements.this_machine())
    python = wheel.python_version()
    found = wheel.find_wheel(wheel.package_folder("pytriton"), python=python)
    requirements.check_numpy(requirements.installed_numpy())
    requirements.check_shared_memory(
        required_bytes=options.required_shared_memory_bytes,
        available_bytes=requirements.free_shared_memory_bytes(),
    )
    return _Installation(
        wheel=found,
        shared_python=wheel.find_shared_python(wheel.python_library_name(), wheel.python_library_folders()),
        models=find_models(options.model_repository, options.models),
    )
