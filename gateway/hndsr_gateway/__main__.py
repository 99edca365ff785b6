"""`hndsr-gateway`: read the settings, serve until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version
from typing import NoReturn

from hndsr_gateway.configuration import read_settings
from hndsr_gateway.errors import StartupError
from hndsr_gateway.identity.command import add_keys
from hndsr_gateway.processes import Order, running_processes
from hndsr_gateway.server import Gateway, running_gateway, serving_tritons
from hndsr_gateway.settings import ENVIRONMENT_PREFIX, Settings
from hndsr_gateway.strips import STRIP_BYTES
from hndsr_gateway.telemetry.logs import set_up_logs
from hndsr_gateway.telemetry.setup import telemetry
from hndsr_gateway.triton.errors import TritonLostError

EXIT_CONFIGURATION = 2
EXIT_STARTUP = 3
EXIT_TRITON_DIED = 4

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
LARGE_BLOCK_BYTES = 2 * STRIP_BYTES
KEPT_BYTES = 4 * LARGE_BLOCK_BYTES
"""What the end of a heap may keep for the next strips."""

logger = logging.getLogger("hndsr_gateway")


def main() -> None:
    """Entry point; exits with 0, 2 (settings), 3 (cannot start) or 4 (Triton died and does not start any more)."""
    arguments = _parser().parse_args()
    if arguments.run is not None:
        _run_command(arguments)
    if arguments.child:
        _start_child()
    try:
        settings = _settings(arguments)
    except StartupError as error:
        _fail(error, EXIT_CONFIGURATION)
    if settings.processes > 1:
        _start(settings, running_processes(settings), nullcontext(), managed=arguments.managed)
    _start(settings, running_gateway(settings), telemetry(settings.metrics_listen), managed=arguments.managed)


def _run_command(arguments: argparse.Namespace) -> NoReturn:
    """Do what a subcommand is for, instead of serving."""
    try:
        arguments.run(arguments)
    except StartupError as error:
        _fail(error, EXIT_CONFIGURATION)
    sys.exit(0)


def _start_child() -> NoReturn:
    """Do what the parent says in the first line of standard input; nothing if it is gone by now."""
    if not (line := sys.stdin.buffer.readline()):
        sys.exit(0)
    order = Order.read(line)
    _start(order.settings, _share(order), telemetry(order.settings.metrics_listen), managed=True)


def _start(
    settings: Settings,
    gateway: AbstractAsyncContextManager[Gateway],
    listeners: AbstractContextManager[None],
    *,
    managed: bool,
) -> NoReturn:
    give_back_memory()
    set_up_logs(settings.log_level, settings.log_format, with_process=settings.processes > 1)
    try:
        with listeners:
            status = asyncio.run(_serve(gateway, managed=managed))
    except StartupError as error:
        _fail(error, EXIT_STARTUP)
    sys.exit(status)


@asynccontextmanager
async def _share(order: Order) -> AsyncIterator[Gateway]:
    """One of several processes, whose parent keeps Triton."""
    async with serving_tritons(order.settings, control_headers=order.control_headers) as address:
        yield Gateway(address)


def give_back_memory() -> None:
    """Have glibc give large blocks back to the system as soon as they are free; elsewhere nothing is changed.

    Left to itself it keeps ever larger blocks in the heap of each thread that took one, and tiles are large. Strips are
    not: blocks that came new from the system for each of them would cost as much again as everything else about it.

    Source: mallopt(3), M_MMAP_THRESHOLD and M_TRIM_THRESHOLD.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK_BYTES)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(
        f"  {ENVIRONMENT_PREFIX}{name.upper()}={field.default!r}\n      {field.description}"
        for name, field in Settings.model_fields.items()
    )
    parser = argparse.ArgumentParser(
        prog="hndsr-gateway",
        description="Serve super-resolution over gRPC, with an embedded Triton unless HNDSR_TRITON_ENDPOINTS is set.",
        epilog=f"settings (environment variables) and their defaults:\n{rows}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="same as HNDSR_LISTEN")
    parser.add_argument(
        "--managed",
        action="store_true",
        help='once ready print {"address": "HOST:PORT"} on stdout, and stop when stdin is closed',
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=version("hndsr"))
    parser.set_defaults(run=None)
    add_keys(parser.add_subparsers(title="commands instead of serving", metavar="[COMMAND]"))
    return parser


def _settings(arguments: argparse.Namespace) -> Settings:
    return read_settings(os.environ, **({"listen": arguments.listen} if arguments.listen else {}))


def _fail(error: StartupError, code: int) -> NoReturn:
    for line in str(error).splitlines():
        sys.stderr.write(f"hndsr-gateway: error: {line}\n")
    sys.exit(code)


async def _serve(gateway: AbstractAsyncContextManager[Gateway], *, managed: bool) -> int:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if managed:
        await asyncio.get_running_loop().connect_read_pipe(lambda: _StopAtEnd(stop), sys.stdin)
    run = asyncio.create_task(_run(gateway, managed=managed))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({run, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    run.cancel()
    try:
        return await run
    except asyncio.CancelledError:
        return 0


class _StopAtEnd(asyncio.Protocol):
    """Watches a pipe for its end."""

    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._stop.set()


async def _run(starting: AbstractAsyncContextManager[Gateway], *, managed: bool) -> int:
    async with starting as gateway:
        if managed:
            sys.stdout.write(json.dumps({"address": gateway.address}) + "\n")
            sys.stdout.flush()
        try:
            await gateway.wait()
        except TritonLostError as error:
            logger.error("%s", error)  # noqa: TRY400 - its message is whole without a traceback
    return EXIT_TRITON_DIED


if __name__ == "__main__":
    main()
