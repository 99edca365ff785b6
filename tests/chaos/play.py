"""Plays faults against real gateways, a line of JSON for each: `python tests/chaos/play.py -k kill_triton`."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:1] = [str(ROOT / folder) for folder in ("tests", "benchmarks")]
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from chaos import record  # noqa: E402
from chaos.scenario import Outcome  # noqa: E402
from chaos.scenarios import SCENARIOS  # noqa: E402
from chaos.stage import play  # noqa: E402


def main() -> int:
    """Play what is asked for; 1 if anything was not as it must be."""
    arguments = _arguments()
    chosen = [scenario for scenario in SCENARIOS if arguments.k in scenario.name]
    outcomes: dict[str, Outcome | str] = {}
    for scenario in chosen:
        if missing := scenario.missing():
            outcomes[scenario.name] = missing
            print(json.dumps({"name": scenario.name, "missing": missing}), flush=True)  # noqa: T201
            continue
        with contextlib.ExitStack() as stack:
            folder = arguments.keep or stack.enter_context(tempfile.TemporaryDirectory())
            (place := Path(folder, scenario.name)).mkdir(parents=True)
            outcome = outcomes[scenario.name] = play(scenario, place)
        print(json.dumps(asdict(outcome)), flush=True)  # noqa: T201
        if arguments.record:
            record.write("faults", record.faults_section(SCENARIOS, outcomes))
    return 0 if chosen and not any(isinstance(one, Outcome) and one.faults for one in outcomes.values()) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-k", default="", metavar="WORD", help="only those whose names have it in them")
    parser.add_argument("--record", action="store_true", help="write what was seen into docs/robustness.md")
    parser.add_argument("--keep", metavar="FOLDER", help="where logs and images stay (default: nowhere)")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
