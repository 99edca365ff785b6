"""`make bench`: measure on this machine and write docs/benchmarks.{json,md} and docs/images/benchmarks-*.svg.

Ratios are of runs that took turns in one process; a figure without its machine and date says nothing.
"""

from __future__ import annotations

import argparse
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import machine

DOCS = Path(__file__).resolve().parents[1] / "docs"
SECTIONS: Mapping[str, str] = {
    "stack": "stack",
    "alternatives": "alternatives",
    "roofline": "roofline",
    "latency": "latency",
    "growth": "growth",
    "gateway": "gateway_alone",
    "seams": "seams",
    "concurrency": "concurrency",
    "overload": "overload",
    "watched": "watched",
    "refusals": "refusals",
    "install": "install",
    "scale": "scale",
    "rasters": "rasters",
    "gpu": "gpu",
    "precisions": "precisions",
}
"""The module that measures each; it is imported when it is asked for, since some want PyTorch."""
ALONE = {"scale", "rasters", "gpu", "precisions"}
"""What takes so long, or wants so much, that it is measured only where it is asked for."""


def main() -> None:
    """Measure what is asked for, keep the other sections as they were."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=SECTIONS, action="append", help="measure this part alone; may be repeated")
    parser.add_argument("--small", action="store_true", help="tiny sizes where a part has them, to try the code")
    parser.add_argument("--into", type=Path, default=DOCS, help="the folder of the page, the numbers and the images")
    arguments = parser.parse_args()
    facts = machine.facts()  # before the pages change, which would make the commit look changed
    for name in arguments.only or [name for name in SECTIONS if name not in ALONE]:
        publish(arguments.into, name, {"machine": facts, **_measured(SECTIONS[name], small=arguments.small)})
    print((arguments.into / "benchmarks.md").read_text(encoding="utf-8"))


def publish(folder: Path, name: str, result: dict[str, Any]) -> None:
    """Write a section into the numbers, and the page and the images anew."""
    import pages  # noqa: PLC0415 - it wants the modules of the sections
    import plots  # noqa: PLC0415 - drawing is not to disturb what is measured first

    path = folder / "benchmarks.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    # As it is read back: keys that are numbers become words.
    results = json.loads(json.dumps({**results, name: result}))
    path.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    (folder / "benchmarks.md").write_text(pages.page(results), encoding="utf-8")
    (folder / "images").mkdir(exist_ok=True)
    plots.draw(results, folder / "images")


def _measured(module: str, *, small: bool) -> dict[str, Any]:
    section = importlib.import_module(module)
    if small and hasattr(section, "SMALL"):
        return dict(section.measure(section.SMALL))
    return dict(section.measure())


if __name__ == "__main__":
    main()
