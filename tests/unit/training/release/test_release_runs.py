"""What a release knows of the run it is made of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from unit.training.release.conftest import MakeRun

from hndsr_ensemble.manifest import file_digest
from hndsr_ensemble.training.config import STAGES, ConfigError, read_config
from hndsr_ensemble.training.imagery.manifest import MANIFEST, ManifestError, read_manifest
from hndsr_ensemble.training.release.runs import IncompleteRunError, OtherRunError, OutdatedStageError, read_run
from hndsr_ensemble.training.seen import SEEN, Seen, write_seen


def test_run_knows_what_it_was_trained_on(make_run: MakeRun, scenes: Path) -> None:
    run = read_run(make_run(sorted(scenes.glob("town*.png"))))
    assert run.images == {"train": 9, "val": 0, "test": 0}
    assert file_digest(scenes / "town0.png") in run.seen.images
    assert run.seen.is_complete


def test_run_says_what_its_start_had_seen(make_run: MakeRun) -> None:
    folder = make_run()
    write_seen(folder / SEEN, Seen(frozenset({"a" * 64}), "the repository does not say"))
    assert read_run(folder).seen == Seen(frozenset({"a" * 64}), "the repository does not say")


def test_run_that_says_nothing_of_what_it_has_seen_has_still_seen_its_images(make_run: MakeRun, scenes: Path) -> None:
    folder = make_run([scenes / "town0.png"])
    (folder / SEEN).unlink()
    seen = read_run(folder).seen
    assert seen.images == {file_digest(scenes / "town0.png")}
    assert not seen.is_complete


def test_run_says_its_scales_and_degradation(make_run: MakeRun) -> None:
    run = read_run(make_run())
    assert run.scales == "1.7 to 8"
    assert run.degradation == "antialiased bicubic (a = -0.5), rounded to 8 bits"


@pytest.mark.parametrize("name", ["config.toml", "run.json", "weights/unet.safetensors"])
def test_run_is_refused_when_it_is_not_finished(make_run: MakeRun, name: str) -> None:
    folder = make_run()
    (folder / name).unlink()
    with pytest.raises(IncompleteRunError, match=f"{name} is missing"):
        read_run(folder)


def changed(folder: Path, **facts: object) -> Path:
    """The run with other facts of itself."""
    path = folder / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))
    return folder


def test_run_is_refused_when_a_stage_is_not_finished(make_run: MakeRun) -> None:
    with pytest.raises(IncompleteRunError, match="the stage diffusion is missing"):
        read_run(changed(make_run(), stages={"autoencoder": {}, "prior": {}}))


def test_run_is_refused_when_no_stage_is_finished(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "run.json").write_text(json.dumps({"started_from": {}}))
    with pytest.raises(IncompleteRunError, match="a finished stage"):
        read_run(folder)


def test_run_is_refused_when_the_manifest_is_of_other_images(make_run: MakeRun) -> None:
    with pytest.raises(OtherRunError, match="other images than it was trained on"):
        read_run(changed(make_run(), manifest_digest="0" * 64))


@pytest.mark.parametrize("fact", ["weights", "started_from"])
def test_run_is_refused_when_weights_were_changed_afterwards(make_run: MakeRun, fact: str) -> None:
    with pytest.raises(OtherRunError, match="the weights of unet were changed"):
        read_run(changed(make_run(), **{fact: {"unet": "0" * 64}}))


def test_run_may_replace_the_weights_it_began_with(make_run: MakeRun) -> None:
    folder = make_run()
    digests = {"unet": file_digest(folder / "weights/unet.safetensors")}
    run = read_run(changed(folder, weights=digests, started_from={"unet": "0" * 64}))
    assert run.started_from == {"unet": "0" * 64}


@pytest.mark.parametrize("ran", [["autoencoder"], ["prior"], ["autoencoder", "prior"], ["autoencoder", "diffusion"]])
def test_run_is_refused_when_a_later_network_was_fitted_to_other_weights(make_run: MakeRun, ran: list[str]) -> None:
    folder = changed(make_run(), stages=dict.fromkeys(ran))
    only(folder, ran)
    with pytest.raises(OutdatedStageError, match=f"but not {'prior' if 'prior' not in ran else 'diffusion'} after it"):
        read_run(folder)


@pytest.mark.parametrize("ran", [["diffusion"], ["prior", "diffusion"]])
def test_run_may_leave_earlier_stages_out(make_run: MakeRun, ran: list[str]) -> None:
    folder = changed(make_run(), stages=dict.fromkeys(ran))
    only(folder, ran)
    assert read_run(folder).images["train"] == 0


def only(folder: Path, stages: list[str]) -> None:
    """Have the run's configuration leave the other stages out."""
    path = folder / "config.toml"
    path.write_text(read_config(path, [f"{name}.steps=0" for name in STAGES if name not in stages]).to_toml())


def test_run_reads_its_images_where_the_configuration_names_them_if_it_has_no_copy(make_run: MakeRun) -> None:
    folder = make_run()
    elsewhere = folder.parent / MANIFEST
    (folder / MANIFEST).rename(elsewhere)
    path = folder / "config.toml"
    path.write_text(path.read_text().replace("gone.jsonl", str(elsewhere)))
    assert read_run(folder).data.digest == read_manifest(elsewhere).digest


def test_run_is_refused_when_its_images_are_not_known_any_more(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / MANIFEST).unlink()
    with pytest.raises(ManifestError):
        read_run(folder)


def test_run_is_refused_when_its_configuration_is_damaged(make_run: MakeRun) -> None:
    folder = make_run()
    (folder / "config.toml").write_text("steps = ")
    with pytest.raises(ConfigError):
        read_run(folder)
