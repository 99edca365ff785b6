"""A gateway on this machine, started and stopped with its client."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import IO, Any, cast

from hndsr_client.errors import EmbeddedGatewayError, EmbeddedNotInstalledError

PACKAGE = "hndsr_gateway"
ARGUMENTS = ("--managed", "--listen", "127.0.0.1:0")
STRANGERS = (
    "HNDSR_TLS_CERTIFICATE",
    "HNDSR_TLS_KEY",
    "HNDSR_TLS_CLIENT_CA",
    "HNDSR_INSECURE",
    "HNDSR_API_KEYS",
    "HNDSR_JWT_ISSUER",
    "HNDSR_JWT_AUDIENCE",
    "HNDSR_JWT_KEYS",
    "HNDSR_REDIS_URL",
    "HNDSR_REQUESTS_PER_MINUTE",
    "HNDSR_ADDRESS_REQUESTS_PER_MINUTE",
    "HNDSR_TARGET_PX_PER_HOUR",
    "HNDSR_CALLS_PER_CALLER",
    "HNDSR_STREAMS_PER_CALLER",
)
"""Settings that are there for other callers than the gateway's own client."""
LOG_LINES = 20
LOG_TAIL_BYTES = 16384
TERMINATION_S = 5.0


class EmbeddedGateway(contextlib.AbstractContextManager["EmbeddedGateway"]):
    """A gateway process that serves this process alone and ends with it, however it ends.

    The gateway runs in a session of its own, so Ctrl-C reaches the client only. It announces its address on its
    standard output and stops when its standard input closes.

    Attributes:
        address: "127.0.0.1:PORT".
    """

    def __init__(
        self,
        *,
        startup_timeout_s: float = 360.0,
        log: IO[Any] | None = None,
        command: Sequence[str] | None = None,
        cancelled: threading.Event | None = None,
    ) -> None:
        """Start the gateway and wait until it is ready.

        Args:
            startup_timeout_s: Seconds until it must be ready.
            log: Where its log goes, a file with a descriptor; None: a file without a name, for errors to quote.
            command: What to start; None: the gateway that is installed beside this package.
            cancelled: Set by another thread that no longer wants it.

        Raises:
            EmbeddedNotInstalledError: The gateway's package is not installed.
            EmbeddedGatewayError: It ended, was not ready in time, or is no longer wanted.
        """
        command = _installed_command() if command is None else command
        self._log = _open_log() if log is None else None
        try:
            self._process = _start(command, log or self._log)
        except OSError as error:
            self._close_log()
            raise EmbeddedGatewayError(problem=f"cannot be started: {error}") from error
        self._announced: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read_output, name="hndsr-gateway-output", daemon=True)
        self._reader.start()
        try:
            self.address: str = self._wait_for_address(startup_timeout_s, cancelled or threading.Event())
        except BaseException:
            self.close(grace_s=2.0)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self, *, grace_s: float = 30.0) -> None:
        """Stop the gateway and wait until it has ended. Closing twice is fine.

        Args:
            grace_s: Seconds it is given to finish by itself; then it is told to end, and five seconds later killed.
        """
        try:
            cast("IO[bytes]", self._process.stdin).close()
            if not self._ended_within(grace_s):
                self._process.terminate()
                self._ended_within(TERMINATION_S)
        finally:
            self._kill()
            self._reader.join(timeout=1.0)
            self._close_log()

    def check_alive(self) -> None:
        """Say why a call failed, if it failed because the gateway ended.

        Raises:
            EmbeddedGatewayError: The gateway has ended.
        """
        # The connection breaks a moment before the process is seen to end.
        if self._ended_within(0.5):
            raise self._ended()

    def _read_output(self) -> None:
        """Hand over the address and keep the pipe empty, so that the gateway can never block on it."""
        with cast("IO[bytes]", self._process.stdout) as output:
            for line in output:
                address = _announced_address(line)
                if address is not None:
                    self._announced.put(address)

    def _wait_for_address(self, timeout_s: float, cancelled: threading.Event) -> str:
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and not cancelled.is_set():
            ended = self._process.poll() is not None
            with contextlib.suppress(queue.Empty):
                return self._announced.get(timeout=0.05)
            if ended:
                raise self._ended()
        raise EmbeddedGatewayError(problem=f"was not ready within {timeout_s:g} s", log_lines=self._log_lines())

    def _ended(self) -> EmbeddedGatewayError:
        return EmbeddedGatewayError(problem=f"ended, {_ending(self._process.returncode)}", log_lines=self._log_lines())

    def _ended_within(self, timeout_s: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
        return self._process.returncode is not None

    def _kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _log_lines(self) -> list[str]:
        if self._log is None or self._log.closed:
            return []
        # The gateway writes at the position that both share, so it must not be moved.
        start = max(0, os.fstat(self._log.fileno()).st_size - LOG_TAIL_BYTES)
        tail = os.pread(self._log.fileno(), LOG_TAIL_BYTES, start)
        return tail.decode(errors="replace").splitlines()[-LOG_LINES:]

    def _close_log(self) -> None:
        if self._log is not None:
            self._log.close()


async def started(start: Callable[..., EmbeddedGateway]) -> EmbeddedGateway:
    """A gateway that a thread starts; a task that is cancelled meanwhile leaves none behind.

    Raises:
        EmbeddedNotInstalledError: The gateway's package is not installed.
        EmbeddedGatewayError: It ended, or was not ready in time.
    """
    cancelled = threading.Event()
    starting = asyncio.ensure_future(asyncio.to_thread(start, cancelled=cancelled))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        cancelled.set()
        starting.add_done_callback(_stop)
        raise


def _stop(starting: asyncio.Future[EmbeddedGateway]) -> None:
    if not starting.cancelled() and starting.exception() is None:
        starting.get_loop().run_in_executor(None, starting.result().close)


def _open_log() -> IO[bytes]:
    """A file in the folder for temporary files that has no name, so that it cannot outlive its users."""
    return tempfile.TemporaryFile(prefix="hndsr-gateway-", buffering=0)


def _start(command: Sequence[str], log: IO[Any] | None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        list(command),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        start_new_session=True,
        env={name: value for name, value in os.environ.items() if name not in STRANGERS},
    )


def _installed_command() -> list[str]:
    if importlib.util.find_spec(PACKAGE) is None:
        raise EmbeddedNotInstalledError
    return [sys.executable, "-m", PACKAGE, *ARGUMENTS]


def _announced_address(line: bytes) -> str | None:
    """The address in a line, None for lines of other things that share the output."""
    try:
        announcement = json.loads(line)
    except ValueError:
        return None
    address = announcement.get("address") if isinstance(announcement, dict) else None
    return address if isinstance(address, str) else None


def _ending(returncode: int) -> str:
    return f"killed by signal {-returncode}" if returncode < 0 else f"with exit status {returncode}"
