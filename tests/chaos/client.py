"""A user of the SDK in a process of its own: one .npy file into another, and a line for every tile that is done."""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from hndsr_client import Client, Progress

FILE_EVENTS = frozenset({"open", "os.link", "os.remove", "os.rename", "os.truncate"})
"""What Python says before it asks the system for it: sys.addaudithook."""


def main() -> None:
    """Upscale what is asked for; begun before, it is gone on with."""
    arguments = _arguments()
    if arguments.sink.exists() and not arguments.sink.with_name(f"{arguments.sink.name}.hndsr-journal").exists():
        return  # it ended between its last act and its exit
    if arguments.die_at:
        _die_at(arguments.die_at, arguments.sink.parent)

    def tell(progress: Progress) -> None:
        print(progress.tiles_done, flush=True)  # noqa: T201 - for whoever started this process
        time.sleep(arguments.pace_s)

    with Client(arguments.address) as client:
        client.upscale_array(
            arguments.source,
            arguments.sink,
            mask=arguments.mask,
            mask_sink=None if arguments.mask_sink is None else np.load(arguments.mask_sink, mmap_mode="r+"),
            model=arguments.model,
            scale=arguments.scale,
            steps=arguments.steps,
            cores_per_tile=arguments.cores,
            on_progress=tell,
        )


def _die_at(number: int, folder: Path) -> None:
    """End without a farewell just before a file in a folder is opened, named or removed for the n-th time."""
    left = itertools.count(number - 1, -1)

    def hear(event: str, facts: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(facts[0]).startswith(f"{folder}/") and next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hear)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("source", type=Path)
    parser.add_argument("sink", type=Path)
    parser.add_argument("--mask", type=Path)
    parser.add_argument("--mask-sink", type=Path, help="a .npy file of the target's size")
    parser.add_argument("--model", default="bicubic")
    parser.add_argument("--scale", default="4")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cores", type=int, default=1)
    parser.add_argument("--pace-s", type=float, default=0.0, help="how long to do nothing after each tile")
    parser.add_argument("--die-at", type=int, default=0, help="operation on a file beside the sink, from 1; 0: none")
    return parser.parse_args()


if __name__ == "__main__":
    main()
