"""What weights have seen: by content, by ground, and as far as a run's folder tells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from unit.ensemble.evaluation.pictures import scenes

from hndsr_ensemble.evaluation.truths import Grouping, truths_of
from hndsr_ensemble.evaluation.unseen import SeenImageError, in_words, require_unseen, run_manifest, seen_by
from hndsr_ensemble.manifest import model_repository
from hndsr_ensemble.training.imagery.manifest import Image as Record
from hndsr_ensemble.training.imagery.manifest import Manifest, Overlap, Settings, Split, write_manifest
from hndsr_ensemble.training.seen import SEEN, Seen, write_seen

A, B, C, D = (letter * 64 for letter in "abcd")
CONFIG = """
[data]
manifest = "{manifest}"
[autoencoder]
steps = 1
learning_rate = 1e-3
[prior]
steps = 1
learning_rate = 6e-4
[diffusion]
steps = 1
learning_rate = 8e-4
"""


def manifest_of(splits: dict[str, Split], overlaps: Sequence[tuple[str, str]] = ()) -> Manifest:
    records = tuple(
        Record(f"/data/{sha256[0]}.png", 1, "", sha256=sha256, sample_type="uint8", split=split)
        for sha256, split in splits.items()
    )
    found = tuple(Overlap(first, second, "crop", 0.5) for first, second in overlaps)
    return Manifest(Settings((0.8, 0.1, 0.1), "none"), records, found)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Trained on A, of which B is a crop; C was held back."""
    folder = tmp_path / "run"
    (folder / "weights").mkdir(parents=True)
    write_manifest(folder / "manifest.jsonl", manifest_of({A: "train", B: "val", C: "test"}, [(A, B)]))
    write_seen(folder / SEEN, Seen(frozenset({A})))
    return folder


def test_run_has_seen_its_training_images_and_their_ground(run: Path) -> None:
    assert seen_by(run).images == {A, B}
    assert seen_by(run / "weights").images == {A, B}


def test_run_has_seen_what_a_later_manifest_finds_to_share_ground(run: Path) -> None:
    later = manifest_of({A: "test", D: "test", C: "test"}, [(A, D)])
    assert seen_by(run, later).images == {A, B, D}


def test_run_has_seen_what_its_start_had_seen(run: Path) -> None:
    write_seen(run / SEEN, Seen(frozenset({A, C}), "its start says nothing"))
    seen = seen_by(run)
    assert (seen.images, seen.is_complete) == ({A, B, C}, False)


def test_images_that_were_seen_are_refused_by_name(run: Path) -> None:
    images = truths_of(manifest_of({A: "test", C: "test"}), "test", Grouping())
    with pytest.raises(SeenImageError, match=r"on 1 images of the set town, aaaaaaaaaaaa/a\.png among them"):
        require_unseen(images, seen_by(run).images, where="the set town")
    require_unseen(images[1:], seen_by(run).images, where="the set town")


def test_images_without_a_file_are_never_seen() -> None:
    require_unseen(scenes(1), {A}, where="here")


def config_of(folder: Path, manifest: Path, digest: str) -> Path:
    """The folder of a run that kept no copy of its manifest."""
    folder.mkdir()
    (folder / "config.toml").write_text(CONFIG.format(manifest=manifest))
    (folder / "run.json").write_text(json.dumps({"manifest_digest": digest}))
    return folder


def test_run_without_a_copy_is_checked_by_the_manifest_that_it_names(tmp_path: Path) -> None:
    manifest = manifest_of({A: "train"})
    write_manifest(tmp_path / "manifest.jsonl", manifest)
    run = config_of(tmp_path / "old", tmp_path / "manifest.jsonl", manifest.digest)
    assert run_manifest(run) == manifest
    assert seen_by(run).images == {A}


def test_run_without_a_copy_is_not_checked_by_another_manifest(tmp_path: Path) -> None:
    write_manifest(tmp_path / "manifest.jsonl", manifest_of({A: "train"}))
    assert run_manifest(config_of(tmp_path / "old", tmp_path / "manifest.jsonl", "another")) is None


@pytest.mark.parametrize("facts", ["", "[]", "{}", "no json"])
def test_run_whose_facts_tell_nothing_has_no_manifest(tmp_path: Path, facts: str) -> None:
    run = config_of(tmp_path / "old", tmp_path / "nowhere", "")
    (run / "run.json").write_text(facts)
    assert run_manifest(run) is None


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(frozenset({A, B})), "among the 2 that the weights have seen or that share ground with those."),
        (Seen(frozenset({A}), "old says nothing"), "as far as that is known: old says nothing."),
        (Seen(frozenset(), "old says nothing"), "cannot be checked: old says nothing."),
    ],
)
def test_words_say_how_much_is_known(seen: Seen, expected: str) -> None:
    assert in_words(seen).endswith(expected)


def test_repository_without_a_list_cannot_be_checked() -> None:
    assert not seen_by(model_repository()).is_complete
