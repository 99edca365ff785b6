"""How a worker process comes into being: its environment, its socket, its standard error."""

from __future__ import annotations

import contextlib
import os
from asyncio.subprocess import DEVNULL, Process, create_subprocess_exec
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hndsr_gateway.images.complaints import Complaints
from hndsr_gateway.images.exchange import Channel

INHERITED = ("LD_LIBRARY_PATH", "TMPDIR", "TZ")
ENVIRONMENT = {
    "LC_ALL": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PROJ_NETWORK": "OFF",
}
"""All that a worker needs: texts in UTF-8, one thread, no network; GDAL has options of its own."""


@dataclass(frozen=True, slots=True)
class Launched:
    """A process, and what the gateway holds of it."""

    process: Process
    channel: Channel
    complaints: Complaints


async def launch(command: Sequence[str]) -> Launched:
    """Start a program with one end of a socket as its standard input.

    Raises:
        OSError: it cannot be started.
    """
    ours, theirs = Channel.pair()
    with theirs.socket, contextlib.ExitStack() as undo:
        undo.callback(ours.socket.close)
        ours.socket.setblocking(False)
        reading_end, writing_end = os.pipe()
        complaints = Complaints(reading_end)
        undo.callback(complaints.close)
        with os.fdopen(writing_end, "wb") as standard_error:
            process = await create_subprocess_exec(
                *command,
                stdin=theirs.socket.fileno(),
                stdout=DEVNULL,
                stderr=standard_error,
                cwd="/",
                env=_environment(os.environ),
                start_new_session=True,  # a terminal's Ctrl-C is the gateway's, also while the worker starts
            )
        undo.pop_all()
    return Launched(process, ours, complaints)


def _environment(inherited: Mapping[str, str]) -> dict[str, str]:
    return {**{name: inherited[name] for name in INHERITED if name in inherited}, **ENVIRONMENT}
