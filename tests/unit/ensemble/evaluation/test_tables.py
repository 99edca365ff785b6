"""Tables: what is in them, that they are fair, and that they say what they measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from unit.ensemble.evaluation.pictures import FOUR, NoisyModel, blurred, scene, scenes

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic
from hndsr_ensemble.evaluation.measures import MEASURES
from hndsr_ensemble.evaluation.methods import Bicubic, Diffusion, Prior
from hndsr_ensemble.evaluation.metrics import psnr
from hndsr_ensemble.evaluation.tables import (
    NoImagesError,
    SmallImageError,
    Table,
    check_images,
    measure_set,
    protocol,
    reduce,
    seed_of,
)
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.geometry import WindowGeometry
from hndsr_ensemble.scale import Scale

QUICK = frozenset({"psnr", "consistency"})


@dataclass
class Recorder:
    """A row that keeps what it was given, and answers with a blurred enlargement."""

    name: str
    given: list[tuple[bytes, str, int]] = field(default_factory=list)

    def __call__(self, lr: np.ndarray, scale: Scale, seed: int) -> np.ndarray:
        """As a `Method`."""
        self.given.append((lr.tobytes(), str(scale), seed))
        return blurred(Bicubic()(lr, scale, seed), 0.5)


@pytest.fixture(scope="module")
def table() -> Table:
    model = NoisyModel()
    return measure_set(scenes(4), [Prior(model), Diffusion(model, 4)], scale=FOUR)


@pytest.mark.parametrize("methods", [[], [Prior(NoisyModel())], [Prior(NoisyModel()), Bicubic()]])
def test_bicubic_is_the_first_row_whether_it_is_named_or_not(methods: list[object]) -> None:
    found = measure_set(scenes(1), methods, scale=FOUR, measures=QUICK)
    names = [row.name for row in found.rows]
    assert names[0] == "bicubic"
    assert names.count("bicubic") == 1


def test_no_other_method_may_be_called_bicubic() -> None:
    with pytest.raises(ValueError, match="no other method"):
        measure_set(scenes(1), [Recorder("bicubic")], scale=FOUR)


def test_row_has_the_psnr_of_every_image(table: Table) -> None:
    for image, value in zip(scenes(4), table.row("bicubic").psnr.values, strict=True):
        truth = image.read()
        assert value == psnr(enlarge_bicubic(reduce_bicubic(truth, 4), FOUR), truth)


def test_row_has_mean_and_error_over_images(table: Table) -> None:
    figure = table.row("prior").psnr
    assert figure.mean == pytest.approx(np.mean(figure.values))
    assert figure.error == pytest.approx(np.std(figure.values, ddof=1) / 2)


def test_all_measures_are_taken_of_all_rows(table: Table) -> None:
    assert set(table.measured) == {entry.name for entry in MEASURES} - {"seams", "lpips"}
    assert all(len(row.figure(name).measured) == 4 for row in table.rows for name in table.measured)


def test_difference_is_paired_by_image(table: Table) -> None:
    difference = table.difference("diffusion, 4 steps, texture 1", "bicubic", "psnr")
    assert difference.mean < 0
    assert difference.error < table.row("bicubic").psnr.error


def test_every_row_gets_the_same_sources_and_seeds() -> None:
    one, other = Recorder("one"), Recorder("other")
    measure_set(scenes(3), [one, other], scale=FOUR, seed=5, measures=QUICK)
    assert one.given == other.given
    assert len({seed for _, _, seed in one.given}) == 3


def test_values_do_not_depend_on_the_other_images() -> None:
    rows = [Diffusion(NoisyModel(), 4)]
    whole, alone = (measure_set(images, rows, scale=FOUR, measures=QUICK) for images in (scenes(4), scenes(4)[2:3]))
    assert whole.rows[1].psnr.values[2] == alone.rows[1].psnr.values[0]


def test_values_do_not_depend_on_names() -> None:
    rows = [Diffusion(NoisyModel(), 4)]
    one, other = (
        measure_set([Truth.of(name, scene(2))], rows, scale=FOUR, measures=QUICK) for name in ("a.png", "b/c.png")
    )
    assert one.rows[1].psnr.values == other.rows[1].psnr.values


def test_seed_is_another_for_another_image_or_run() -> None:
    assert len({seed_of(scene(number), seed) for number in (0, 1) for seed in (0, 1, 2**32 - 1)}) == 6
    assert seed_of(scene(1), 2**32 - 1) < 2**64


def test_errors_are_by_scene() -> None:
    crops = [Truth.of(f"{place}", scene(place), scene=f"{place % 2}") for place in range(4)]
    table = measure_set(crops, [Prior(NoisyModel())], scale=FOUR, measures=QUICK)
    assert (table.scenes, len(table.images)) == (2, 4)
    assert table.row("prior").psnr.observations == 2
    assert table.difference("prior", "bicubic", "psnr").observations == 2


def test_group_has_its_own_images_only(table: Table) -> None:
    towns = table.of_group("town")
    assert towns.images == ("town1.png", "town3.png")
    assert towns.row("prior").psnr.values == table.row("prior").psnr.values[1::2]


def test_measure_is_left_out_in_all_rows_where_one_does_not_admit_it() -> None:
    flat = Truth.of("flat", np.full((64, 64, 3), 90, np.uint8))
    found = measure_set(
        [*scenes(1), flat], [Diffusion(NoisyModel(), 4)], scale=FOUR, measures={"hallucination", "psnr"}
    )
    assert all(math.isnan(row.hallucination.values[1]) for row in found.rows)
    assert all(len(row.psnr.measured) == 2 for row in found.rows)


def test_seams_are_measured_where_an_image_has_several_windows() -> None:
    window = WindowGeometry(64, 48)
    found = measure_set(scenes(2), [], scale=FOUR, measures={"seams"}, window=window)
    assert 0.5 < found.row("bicubic").seams.mean < 2


def test_perceptual_distance_is_measured_where_one_is_given() -> None:
    found = measure_set(scenes(1), [], scale=FOUR, measures={"lpips"}, perceptual=lambda *_: 0.25)
    assert found.row("bicubic").lpips.values == (0.25,)


@pytest.mark.parametrize("scale", ["1.5", "22/7", "4", "7.99"])
def test_truth_is_as_large_as_what_is_made_of_its_source(scale: str) -> None:
    parsed = Scale.parse(scale)
    truth, source = reduce(Truth.of("a", scene(1)[:127, :113]), parsed)
    assert Bicubic()(source, parsed, 0).shape == truth.shape


def test_small_image_is_refused_by_name() -> None:
    small = Truth.of("tiny.png", scene(1)[:47, :64])
    with pytest.raises(SmallImageError, match=r"tiny\.png is 64 × 44 px"):
        measure_set([small], [], scale=FOUR)


def test_image_that_shrinks_below_the_limit_is_refused() -> None:
    with pytest.raises(SmallImageError, match="49 × 42 px once reduced"):
        measure_set([Truth.of("a", scene(1)[:48, :55])], [], scale=Scale.parse("7"))


def test_all_images_that_are_too_small_at_some_scale_are_named_at_once() -> None:
    images = [*scenes(1), Truth.of("tiny", scene(1)[:47, :64]), Truth.of("odd", scene(1)[:55, :55])]
    with pytest.raises(SmallImageError, match=r"^tiny is 63 × 42 px, less is 35 × 49 px once") as refused:
        check_images([*images, Truth.of("less", scene(1)[:50, :40])], [FOUR, Scale(7, 1)])
    assert str(refused.value).endswith("a side takes 48")


def test_error_names_ten_images_that_are_too_small_and_counts_the_others() -> None:
    with pytest.raises(SmallImageError, match="9 is 40 × 40 px and 2 more are too small once"):
        check_images([Truth.of(f"{place}", scene(1)[:40, :40]) for place in range(12)], [FOUR])


def test_no_image_is_refused() -> None:
    with pytest.raises(NoImagesError):
        measure_set([], [], scale=FOUR)


def test_images_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="share a name"):
        measure_set([*scenes(1), *scenes(1)], [], scale=FOUR)


def test_unknown_measures_and_rows_are_refused(table: Table) -> None:
    with pytest.raises(ValueError, match="unknown measures: beauty"):
        measure_set(scenes(1), [], scale=FOUR, measures={"beauty"})
    with pytest.raises(KeyError, match="none of the rows bicubic, prior"):
        table.row("nothing")


def test_progress_is_told_after_each_image() -> None:
    told: list[tuple[int, int]] = []
    measure_set(scenes(2), [], scale=FOUR, measures=QUICK, progress=lambda done, count: told.append((done, count)))
    assert told == [(1, 2), (2, 2)]


def test_protocol_says_what_was_done(table: Table) -> None:
    facts = protocol(table, seed=3)
    assert (facts["scale"], facts["images"], facts["border_px"], facts["seed"]) == ("4", 4, 4, 3)
    assert {"degradation", "rounding", "data_range", "error", "truth"} <= set(facts)
