"""No group is torn, and adding images moves none but where groups join."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hndsr_ensemble.training.imagery.manifest import Image, Overlap, Settings
from hndsr_ensemble.training.imagery.splits import SettingsError, assign_splits, checked, find_moves, scene_of

SETTINGS = Settings((0.6, 0.2, 0.2), "none")
NUMBERS = st.integers(0, 29)
LINKS = st.sets(st.tuples(NUMBERS, NUMBERS), max_size=25)


def sha(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def images(count: int) -> list[Image]:
    return [Image(f"/images/{number}.png", 1, "1", sha256=sha(number)) for number in range(count)]


def links(pairs: set[tuple[int, int]]) -> list[Overlap]:
    return [Overlap(sha(one), sha(other), "crop", 0.5) for one, other in pairs]


def splits(placed: tuple[Image, ...]) -> dict[str, str]:
    return {image.sha256: str(image.split) for image in placed}


@given(LINKS)
def test_splits_never_part_images_that_overlap(pairs: set[tuple[int, int]]) -> None:
    of = splits(assign_splits(images(30), links(pairs), SETTINGS, {}))
    assert all(of[sha(one)] == of[sha(other)] for one, other in pairs)


@given(LINKS, st.integers(1, 29))
def test_splits_do_not_move_when_images_are_added_that_join_nothing(pairs: set[tuple[int, int]], count: int) -> None:
    inner = {pair for pair in pairs if max(pair) < count}
    before = assign_splits(images(count), links(inner), SETTINGS, {})
    # Each new image joins one old one at most, so groups grow but never join.
    grown = inner | {(number, number % count) for number in range(count, 30)}
    after = assign_splits(images(30), links(grown), SETTINGS, splits(before))  # type: ignore[arg-type]
    assert find_moves(before, after) == []


@given(LINKS)
def test_splits_of_joined_groups_are_the_most_withheld(pairs: set[tuple[int, int]]) -> None:
    before = assign_splits(images(30), [], SETTINGS, {})
    after = splits(assign_splits(images(30), links(pairs), SETTINGS, splits(before)))  # type: ignore[arg-type]
    order = ["train", "val", "test"]
    assert all(order.index(after[image.sha256]) >= order.index(str(image.split)) for image in before)


def test_moves_name_the_image_and_both_splits() -> None:
    before = assign_splits(images(30), [], SETTINGS, {})
    of = splits(before)
    train, test = (next(n for n in range(30) if of[sha(n)] == wanted) for wanted in ("train", "test"))
    after = assign_splits(images(30), links({(train, test)}), SETTINGS, of)  # type: ignore[arg-type]
    assert [(m.path, m.before, m.after) for m in find_moves(before, after)] == [
        (f"/images/{train}.png", "train", "test")
    ]


def test_splits_follow_the_fractions() -> None:
    many = [str(image.split) for image in assign_splits(images(4000), [], SETTINGS, {})]
    assert [many.count(name) / 4000 for name in ("train", "val", "test")] == pytest.approx([0.6, 0.2, 0.2], abs=0.03)


def test_split_of_no_fraction_is_empty() -> None:
    placed = assign_splits(images(300), [], Settings((1.0, 0.0, 0.0), "none"), {})
    assert {image.split for image in placed} == {"train"}


def test_refused_image_has_no_split() -> None:
    (placed,) = assign_splits([Image("/a", 1, "1", refused="empty file")], [], SETTINGS, {})
    assert placed.split is None


@pytest.mark.parametrize(
    ("scenes", "scene"), [("none", None), ("folder", "/a/lyon"), ("/([a-z]+)_", "tile"), ("(zzz)", None)]
)
def test_scene_of_path(scenes: str, scene: str | None) -> None:
    assert scene_of("/a/lyon/tile_1.png", scenes) == scene


@pytest.mark.parametrize("scenes", ["(", "a", "(a)(b)"])
def test_settings_refuse_scenes_without_one_group(scenes: str) -> None:
    with pytest.raises(SettingsError, match="--scenes"):
        checked(Settings((0.9, 0.05, 0.05), scenes))


@pytest.mark.parametrize("fractions", [(0.9, 0.05, 0.06), (1.2, -0.1, -0.1)])
def test_settings_refuse_fractions_that_are_none(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(SettingsError, match="--fractions"):
        checked(Settings(fractions, "none"))
