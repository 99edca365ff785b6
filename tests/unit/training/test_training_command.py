"""The command: its parts, its help without torch, its errors."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hndsr_ensemble.training.command import main

SUBCOMMANDS = ["prepare", "run", "search", "evaluate", "release", "verify", "promote", "rollback", "fetch"]


def test_help_lists_every_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    listed = capsys.readouterr().out
    assert [name for name in SUBCOMMANDS if name not in listed] == []


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_help_of_every_subcommand_needs_no_torch(name: str) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from hndsr_ensemble.training.command import main\n"
        f"main(['{name}', '--help'])"
    )
    finished = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")


def test_error_is_one_line_and_exits_with_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--into", str(tmp_path / "run"), "--config", str(tmp_path / "absent.toml")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_unknown_stage_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["run", "--into", str(tmp_path), "--stages", "prior,colour"])
    assert exit_.value.code == 2
    assert "colour is none of autoencoder, prior, diffusion" in capsys.readouterr().err
