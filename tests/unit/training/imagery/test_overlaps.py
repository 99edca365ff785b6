"""Planted overlaps are found, whatever was done to one of the two; what only looks alike is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture
from unit.training.imagery.scenes import compressed, luminance, scene

from hndsr_ensemble.training.imagery.candidates import NEIGHBOURS, find_candidates
from hndsr_ensemble.training.imagery.keypoints import find_keypoints
from hndsr_ensemble.training.imagery.manifest import Image, Overlap, Settings
from hndsr_ensemble.training.imagery.orientations import turned
from hndsr_ensemble.training.imagery.registration import CommonGround, common_ground
from hndsr_ensemble.training.imagery.splits import assign_splits

REAL = Path(__file__).parents[5] / "shared/data/train"
CROP_PX = 256


def overlaps(pictures: list[np.ndarray]) -> dict[tuple[int, int], CommonGround]:
    grey = [luminance(picture) for picture in pictures]
    keypoints = [find_keypoints(one, np.ones(one.shape, np.bool_)) for one in grey]
    count = len(pictures)
    found: dict[tuple[int, int], CommonGround] = {}
    for candidates in find_candidates(keypoints, owners=np.arange(count), fresh=np.ones(count, np.bool_)):
        for one in candidates:
            ground = common_ground(grey[one.first], grey[one.second], one.placement)
            if ground is not None:
                found[min(one.first, one.second), max(one.first, one.second)] = ground
    return found


def crops(seed: int, down: int, across: int) -> tuple[np.ndarray, np.ndarray]:
    ground = scene(seed)
    return ground[:CROP_PX, :CROP_PX], ground[down : down + CROP_PX, across : across + CROP_PX]


@pytest.mark.parametrize("orientation", range(8))
def test_overlap_is_found_when_one_crop_is_turned(orientation: int) -> None:
    first, second = crops(1, 40, 190)
    laid = np.repeat(turned(second[..., 0], orientation)[..., None], 3, axis=2)
    assert set(overlaps([first, laid])) == {(0, 1)}


@pytest.mark.parametrize(("down", "across"), [(0, 204), (204, 0), (140, 140), (13, 77)])
def test_overlap_is_found_with_a_fifth_in_common(down: int, across: int) -> None:
    found = overlaps(list(crops(2, down, across)))
    assert found[0, 1].area_px == pytest.approx((CROP_PX - down) * (CROP_PX - across), rel=0.03)


def test_overlap_is_found_when_light_and_compression_differ() -> None:
    first, second = crops(3, 60, 150)
    darker = np.clip(second.astype(np.float64) * 0.6 + 20, 0, 255).astype(np.uint8)
    assert set(overlaps([first, compressed(darker, 50)])) == {(0, 1)}


@pytest.mark.parametrize("ratio", [0.8, 0.85, 0.95, 1.1, 1.25])
def test_overlap_is_found_when_resolutions_differ(ratio: float) -> None:
    first, second = crops(4, 30, 60)
    side = round(CROP_PX * ratio)
    resized = np.asarray(Picture.fromarray(second).resize((side, side), Picture.Resampling.BICUBIC))
    assert set(overlaps([first, resized])) == {(0, 1)}


def test_ground_of_many_pictures_is_in_one_split() -> None:
    """As in a series of one place over time, where every picture has every word."""
    ground = scene(7, 128) * 0.6 + 10
    found = overlaps([(ground + light).astype(np.uint8) for light in range(40)])
    images = [Image(f"/{number}.png", 1, "1", sha256=f"{number:02}") for number in range(40)]
    pairs = [Overlap(f"{one:02}", f"{other:02}", "crop", 1.0) for one, other in found]
    splits = {image.split for image in assign_splits(images, pairs, Settings((0.4, 0.3, 0.3), "none"), {})}
    assert len(splits) == 1


def test_pictures_of_one_ground_are_compared_with_few_others() -> None:
    ground = scene(7, 128) * 0.6 + 10
    grey = [luminance(ground + light) for light in range(40)]
    keypoints = [find_keypoints(one, np.ones(one.shape, np.bool_)) for one in grey]
    found = find_candidates(keypoints, owners=np.arange(40), fresh=np.ones(40, np.bool_))
    assert len({(one.first, one.second) for some in found for one in some}) <= 40 * 2 * NEIGHBOURS


def test_scenes_of_their_own_do_not_overlap() -> None:
    assert overlaps([scene(seed, CROP_PX) for seed in range(10, 40)]) == {}


def test_rows_of_the_same_period_do_not_overlap() -> None:
    """Fields whose rows run alike but whose ground differs."""
    rows = 40 * np.sin(np.arange(CROP_PX) * 2 * np.pi / 9)[:, None]
    fields = [np.clip(scene(seed, CROP_PX) * 0.4 + 75 + rows[..., None], 0, 255).astype(np.uint8) for seed in (5, 6, 7)]
    assert overlaps(fields) == {}


def test_bare_ground_does_not_overlap() -> None:
    bare = [np.random.default_rng(seed).integers(127, 130, (CROP_PX, CROP_PX, 3), np.uint8) for seed in (1, 2)]
    assert overlaps(bare) == {}


@pytest.mark.skipif(not REAL.is_dir(), reason="the images are not here")
def test_fields_and_woods_that_look_alike_do_not_overlap() -> None:
    paths = [path for kind in ("agricultural", "chaparral", "forest") for path in sorted(REAL.glob(f"{kind}*.jpg"))]
    pictures = [np.asarray(Picture.open(path).convert("L").convert("RGB")) for path in paths[:300:3]]
    grounds = overlaps(pictures).values()
    assert [ground for ground in grounds if ground.coherence < 0.9] == []
