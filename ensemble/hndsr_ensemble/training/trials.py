"""One trial of a search: a run of training in a process of its own, and the figures that it writes down."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hndsr_ensemble.training.space import Space, changes

OUTPUT: Final = "output.txt"
"""In a trial's folder: what its run said."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A run into `folder` with some fields changed."""

    folder: Path
    space: Space
    config: Path
    """What it changes."""
    values: Mapping[str, Any]
    """By field."""
    options: Sequence[str] = ()
    """More of `hndsr-train run`."""

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """Its process, begun anew or where an earlier one stopped; whoever leaves before its end stops it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / OUTPUT).open("ab") as output:
            process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            yield process
        finally:
            # A run leaves nothing half written, however it ends.
            process.kill()
            process.wait()

    def looks(self) -> dict[int, float]:
        """The figure that is sought by step, as the run's looks at the validation images before the last had it."""
        log, found = self.folder / "log.jsonl", dict[int, float]()
        for line in log.read_text(encoding="utf-8").splitlines() if log.is_file() else ():
            entry = _entry(line)
            value = entry.get(f"validation_{self.space.figure}")
            if entry.get("stage") == self.space.stage and value is not None and entry["step"] < entry["steps"]:
                found[entry["step"]] = value
        return found

    def figure(self) -> float | None:
        """The figure that is sought, of the finished run; None where it has none."""
        facts = json.loads((self.folder / "run.json").read_text(encoding="utf-8"))
        return facts["stages"].get(self.space.stage, {}).get("validation", {}).get(self.space.figure)

    def last_words(self) -> str:
        """The last line that the run said."""
        lines = (self.folder / OUTPUT).read_text(encoding="utf-8", errors="replace").splitlines()
        return lines[-1] if lines else ""

    def _command(self) -> list[str]:
        given = [part for change in changes(self.values) for part in ("--set", change)]
        wanted = ["--into", str(self.folder), "--config", str(self.config), "--stages", ",".join(self.space.stages)]
        return [sys.executable, "-m", "hndsr_ensemble.training", "run", *wanted, *self.options, *given]


def _entry(line: str) -> dict[str, Any]:
    """A line of the log; nothing of one that is still being written."""
    try:
        return dict(json.loads(line))
    except ValueError:
        return {}
