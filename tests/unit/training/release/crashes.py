"""Installs a release again and again, each time killed one step later; prints the folders that were left as JSON.

`python crashes.py CANDIDATE CURRENT FOLDER`: CURRENT is copied into FOLDER before each try, unless it does not exist.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from itertools import count
from pathlib import Path

from hndsr_ensemble.training.release.installing import install

STEPS = frozenset({"open", "os.rename", "os.remove", "os.mkdir"})
"""Audit events, each raised just before the step is made."""
KILLED = 9


def install_killed_at(step: int, candidate: Path, repository: Path) -> bool:
    """Install in a child that ends without any clean-up at its `step`-th step; whether it got that far."""
    child = os.fork()
    if child == 0:
        left = step

        def hook(event: str, arguments: tuple) -> None:
            nonlocal left
            left -= event in STEPS
            if left < 0:
                os._exit(KILLED)

        sys.addaudithook(hook)
        install(candidate, repository)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == KILLED


def main() -> None:
    candidate, current, folder = map(Path, sys.argv[1:])
    left = []
    for step in count():
        repository = folder / str(step) / "repository"
        repository.parent.mkdir(parents=True)
        if current.exists():
            shutil.copytree(current, repository)
        was_killed = install_killed_at(step, candidate, repository)
        left.append(str(repository))
        if not was_killed:
            break
    print(json.dumps(left))  # noqa: T201


if __name__ == "__main__":
    main()
