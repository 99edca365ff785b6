"""Whatever happens while an image is upscaled: it is finished, it is the right one, and nothing is left."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from chaos.proxy import Faults, proxied
from chaos.round import CLIENT_PROGRAM, Round
from chaos.scenario import Scenario
from chaos.scenarios import SCENARIOS
from chaos.script import Script
from chaos.stage import play
from in_process import run, scene
from oracle import upscale

from hndsr_client import Client

SEED = os.environ.get("CHAOS_SEED", "0")
ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(ROUNDS))
def test_upscale_array_ends_well_when_processes_are_killed(number: int, tmp_path: Path) -> None:
    script = Script.drawn(f"{SEED}/{number}")
    outcome = Round(script, tmp_path).play()
    print(f"{script}: {outcome}")  # noqa: T201 - a line for each round, which says how to play it again
    assert outcome.faults == []
    assert outcome.killed


QUICK = frozenset({"kill_process"})
"""Played by `make test`."""
LONG = frozenset({"kill_gateway", "half_open", "cut_network", "turned_bits", "lost_packets", "clock_jump"})
"""Played by `make chaos` alone."""
PLAYED = [
    pytest.param(scenario, id=scenario.name, marks=() if scenario.name in QUICK else pytest.mark.slow)
    for scenario in SCENARIOS
    if scenario.name not in LONG
]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "robustness.md"


@pytest.mark.parametrize("scenario", PLAYED)
def test_callers_see_what_they_should_when_something_breaks(scenario: Scenario, tmp_path: Path) -> None:
    if missing := scenario.missing():
        pytest.skip(f"needs {missing}")
    assert play(scenario, tmp_path).faults == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_page_says_what_came_of_every_scenario(scenario: Scenario) -> None:
    assert f"{scenario.fault} | " in PAGE.read_text(encoding="utf-8")


def client(address: str, folder: Path, *more: str) -> int:
    """The exit code of a process that upscales a file into another."""
    images = [str(folder / name) for name in ("source.npy", "target.npy")]
    command = [sys.executable, str(CLIENT_PROGRAM), address, *images, "--scale", "2", *more]
    return subprocess.run(command, check=False).returncode


def wrong_after_death_at(operation: int, address: str, folder: Path) -> list[str] | None:
    """What is wrong when another process went on after one died before its n-th operation; None: it did not die."""
    folder.mkdir()
    pixels = scene((60, 150))
    np.save(folder / "source.npy", pixels)
    if client(address, folder, "--die-at", str(operation)) != -signal.SIGKILL:
        return None
    if client(address, folder) != 0:
        return [f"{operation}: cannot be gone on with"]
    left = {path.name for path in folder.iterdir()} - {"source.npy", "target.npy"}
    right = np.array_equal(np.load(folder / "target.npy"), upscale(pixels, model="bicubic", scale="2").pixels)
    return [f"{operation}: {name} is left" for name in left] + ["wrong pixels"] * (not right)


def test_upscale_array_ends_well_whatever_operation_on_a_file_its_process_died_before(
    address: str, tmp_path: Path
) -> None:
    wrong: list[str] = []
    for operation in range(1, 100):
        found = wrong_after_death_at(operation, address, tmp_path / str(operation))
        if found is None:
            break
        wrong += found
    assert operation > 5
    assert wrong == []


def test_upscale_array_ends_well_over_a_way_that_breaks_and_garbles(address: str, tmp_path: Path) -> None:
    pixels, target = scene((400, 500), "uint16"), tmp_path / "target.npy"
    faults = Faults(delay_s=0.002, cuts_per_mib=0.1, half_closes_per_mib=0.1, flips_per_mib=0.2)

    def by_sdk(way: str) -> int:
        with Client(way) as client:
            result = client.upscale_array(pixels, target, model="bicubic", scale="3.14", cores_per_tile=2)
        return result.reconnections

    async def test() -> None:
        async with proxied(address, faults, seed=1) as (way, happened):
            reconnections = await asyncio.to_thread(by_sdk, way)
        assert happened
        assert reconnections
        np.testing.assert_array_equal(np.load(target), upscale(pixels, model="bicubic", scale="3.14").pixels)

    run(test())
