"""Verification finds whatever is not as it was released."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path

import numpy as np
import pytest
from unit.training.release.released import make_released

from hndsr_ensemble.release import CARD, GOLDEN, RECORD, SEEN, TRAINED, write_record
from hndsr_ensemble.training.release.command import add_parser
from hndsr_ensemble.training.release.golden import MAX_BYTES, onnx_networks, read_golden, write_golden
from hndsr_ensemble.training.release.installing import copy_repository
from hndsr_ensemble.training.release.torch_networks import torch_networks
from hndsr_ensemble.training.release.verification import verify
from hndsr_ensemble.training.seen import Seen, read_seen, write_seen


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of this checkout as a release leaves it."""
    return make_released(tmp_path_factory.mktemp("released") / "repository")


@pytest.fixture
def damaged(released: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    copy_repository(released, tmp_path / "damaged")
    return tmp_path / "damaged"


def faults(repository: Path) -> dict[str, str]:
    return {check.name: check.fault for check in verify(repository) if check.fault}


def verified(*arguments: str) -> int:
    """Exit code of the command."""
    parser = ArgumentParser()
    add_parser(parser.add_subparsers())
    parsed = parser.parse_args(["verify", *arguments])
    return int(parsed.run(parsed))


def test_verify_finds_nothing_in_a_release(released: Path) -> None:
    checks = list(verify(released))
    assert [str(check) for check in checks if not str(check).startswith("ok ")] == []
    assert {"probe of hndsr", "exported graphs against the golden file", "PyTorch modules against the golden file"} <= {
        check.name for check in checks
    }


def test_verify_says_yes_to_this_checkout_with_a_line_for_each_check(
    repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verified(str(repository)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    installation: whole"
    assert len(lines) > 10
    assert all(line.startswith("ok ") for line in lines)


@pytest.mark.parametrize("name", ["unet/1/weights.safetensors", f"{TRAINED}/1/probe.npz", GOLDEN, CARD])
def test_verify_finds_a_file_of_another_content(damaged: Path, name: str) -> None:
    with (damaged / name).open("ab") as file:
        file.write(b"\0")
    assert faults(damaged) == {name: "is not the file that was released"}


@pytest.mark.parametrize("name", ["fno/1/model.onnx", GOLDEN])
def test_verify_finds_a_missing_file(damaged: Path, name: str) -> None:
    (damaged / name).unlink()
    assert faults(damaged) == {name: "is missing"}


def test_verify_says_no_when_something_is_wrong(damaged: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (damaged / CARD).unlink()
    assert verified(str(damaged)) == 1
    assert f"WRONG {CARD}: is missing" in capsys.readouterr().out


def test_verify_finds_a_record_that_was_taken_away(damaged: Path) -> None:
    (damaged / RECORD).unlink()
    assert faults(damaged) == {RECORD: f"is missing, but {GOLDEN}, {SEEN}, {CARD} came with one"}


@pytest.mark.parametrize("content", ["", "[]", '{"format": 2, "files": {}}', '{"format": 1, "files": {"../x": "0"}}'])
def test_verify_finds_a_record_that_is_none(damaged: Path, content: str) -> None:
    (damaged / RECORD).write_text(content)
    assert RECORD in faults(damaged)


def test_verify_finds_a_manifest_that_cannot_be_read(damaged: Path) -> None:
    (damaged / "bicubic/1/manifest.json").write_text("{")
    assert "manifest of bicubic" in faults(damaged)


def test_verify_finds_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    assert "repository" in faults(tmp_path)


def test_verify_finds_a_probe_of_another_model(damaged: Path) -> None:
    probe = damaged / f"{TRAINED}/1/probe.npz"
    with np.load(probe) as arrays:
        np.savez_compressed(probe, source=arrays["source"], windows=255 - arrays["windows"])
    write_record(damaged)
    assert list(faults(damaged)) == ["probe of hndsr"]


def test_verify_finds_what_is_off_the_golden_file_of_graphs_and_of_modules_by_name(damaged: Path) -> None:
    with np.load(damaged / GOLDEN) as arrays:
        kept = {key: arrays[key] for key in arrays.files}
    for name in ("x3p14__prior", "x8__encoded_hr"):
        kept[name].flat[-1] += 2e-4  # a little more than is allowed
    np.savez_compressed(damaged / GOLDEN, **kept)
    write_record(damaged)
    found = {check.split()[0]: fault for check, fault in faults(damaged).items()}
    assert found.keys() == {"exported", "PyTorch"}
    assert "prior by 2.0e-04" in found["exported"]
    assert "encoded_hr by 2.0e-04" in found["PyTorch"]


def test_verify_finds_a_golden_file_without_its_cases(damaged: Path) -> None:
    np.savez_compressed(damaged / GOLDEN, nothing=np.zeros(1))
    write_record(damaged)
    assert [name.split()[0] for name in faults(damaged)] == ["exported", "PyTorch"]


def test_golden_file_is_small(released: Path) -> None:
    assert (released / GOLDEN).stat().st_size <= MAX_BYTES


def test_golden_file_is_the_same_when_made_again(released: Path, tmp_path: Path) -> None:
    write_golden(tmp_path / "again.npz", torch_networks(released))
    first, second = (read_golden(path) for path in (released / GOLDEN, tmp_path / "again.npz"))
    for case, arrays in first.items():
        assert {
            name for name, array in arrays.items() if not np.allclose(array, second[case][name], atol=1e-5)
        } == set()


def test_golden_file_holds_the_served_window_and_uneven_cases(released: Path) -> None:
    cases = read_golden(released / GOLDEN)
    assert {case["prior"].shape for case in cases.values()} == {(1, 64, 64, 64)}
    assert any(case["origin"][0, 0] != case["origin"][0, 1] for case in cases.values())
    assert any(case["lr"].shape[2] != case["lr"].shape[3] for case in cases.values())


def test_exported_networks_lack_the_encoder_alone(released: Path) -> None:
    assert onnx_networks(released).encode is None


def test_what_weights_have_seen_lies_where_a_run_that_begins_with_them_looks(tmp_path: Path) -> None:
    write_seen(tmp_path / SEEN, Seen(frozenset({64 * "a"})))
    assert read_seen(tmp_path).images == {64 * "a"}


def test_record_names_every_released_file(released: Path) -> None:
    files = json.loads((released / RECORD).read_text())["files"]
    assert {GOLDEN, CARD, f"{TRAINED}/1/manifest.json", "decoder/1/weights.safetensors"} <= files.keys()
