"""The evaluation as a document, a page, and pictures."""

from __future__ import annotations

import base64
import io
import json
import re
from html.parser import HTMLParser
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from unit.ensemble.evaluation.pictures import FOUR, NoisyModel, scene, scenes

from hndsr_ensemble.evaluation.chart import frontier_chart
from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.gallery import choose, gallery
from hndsr_ensemble.evaluation.methods import Bicubic, Diffusion, Method, Prior, SharpenedPrior
from hndsr_ensemble.evaluation.models import ModelFacts
from hndsr_ensemble.evaluation.report import Evaluation, document, page
from hndsr_ensemble.evaluation.sharpening import Fit
from hndsr_ensemble.evaluation.tables import Table, measure_set
from hndsr_ensemble.evaluation.truths import Truth
from hndsr_ensemble.geometry import WindowGeometry

DIFFUSION = "diffusion, 4 steps, texture 1"
CONTROL = f"sharpened prior, as {DIFFUSION}"
FIT = Fit(gain=1.5, reached=0.431, wanted=0.432)


@pytest.fixture(scope="module")
def methods() -> tuple[Method, ...]:
    model = NoisyModel()
    grid = [Diffusion(model, steps, texture) for steps in (4, 8) for texture in (1.0, 1.5)]
    return Prior(model), *grid, SharpenedPrior(model, FIT, DIFFUSION)


@pytest.fixture(scope="module")
def table(methods: tuple[Method, ...]) -> Table:
    return measure_set(scenes(5), methods, scale=FOUR)


@pytest.fixture(scope="module")
def evaluation(table: Table, methods: tuple[Method, ...]) -> Evaluation:
    seams = measure_set(scenes(1), [], scale=FOUR, measures={"seams"}, window=WindowGeometry(64, 48))
    return Evaluation(
        images="5 of the 5 of the folder scenes",
        unseen="None of them is among the 7 that the weights have seen.",
        model=ModelFacts("repository", "a" * 64, "onnxruntime", "fp32", "cpu"),
        seed=3,
        fixed_on="2 other images",
        controls={"4": tuple(method for method in methods if isinstance(method, SharpenedPrior))},
        diffusions=tuple(method for method in methods if isinstance(method, Diffusion)),
        tables=(table,),
        seams=seams,
    )


def test_document_is_json_with_every_figure(evaluation: Evaluation, table: Table) -> None:
    found = json.loads(json.dumps(document(evaluation), allow_nan=False))["scales"]["4"]
    assert list(found["rows"]) == [row.name for row in table.rows]
    psnr = found["rows"]["prior"]["psnr"]
    assert psnr["mean"] == table.row("prior").psnr.mean
    assert psnr["error"] == table.row("prior").psnr.error
    assert psnr["values"] == list(table.row("prior").psnr.values)


def test_document_has_paired_differences(evaluation: Evaluation, table: Table) -> None:
    found = document(evaluation)["scales"]["4"]
    ours = found["above_bicubic"][DIFFUSION]["psnr"]
    assert ours["error"] == table.difference(DIFFUSION, "bicubic", "psnr").error
    beside = found["above_sharpened_prior"][DIFFUSION]["patch_distance"]
    assert beside["mean"] == table.difference(DIFFUSION, CONTROL, "patch_distance").mean


def test_document_has_groups_protocol_and_frontier(evaluation: Evaluation, table: Table) -> None:
    found = document(evaluation)["scales"]["4"]
    assert found["groups"]["town"]["prior"]["psnr"]["images"] == 2
    assert (found["protocol"]["seed"], found["protocol"]["images"], found["scenes"]) == (3, 5, 5)
    points = [(point["steps"], point["texture"]) for point in found["frontier"]]
    assert points == [(0, 0.0), (4, 1.0), (4, 1.5), (8, 1.0), (8, 1.5)]
    assert found["frontier"][1]["psnr"] == table.row(DIFFUSION).psnr.mean


def test_document_has_gains_and_what_they_reach(evaluation: Evaluation) -> None:
    found = document(evaluation)["scales"]["4"]
    assert found["gains"] == {CONTROL: {"gain": 1.5, "reached": 0.431, "wanted": 0.432}}
    assert found["rows"][CONTROL]["beyond_source"]["mean"] > found["rows"]["prior"]["beyond_source"]["mean"]


def test_document_says_whether_the_images_were_seen(evaluation: Evaluation) -> None:
    assert document(evaluation)["seen"] == "None of them is among the 7 that the weights have seen."
    assert "None of them is among the 7 that the weights have seen." in page(evaluation)


def test_document_counts_scenes() -> None:
    crops = [Truth.of(f"{place}", scene(place), scene="one" if place < 2 else "other") for place in range(4)]
    table = measure_set(crops, [Prior(NoisyModel())], scale=FOUR, measures={"psnr"})
    facts = ModelFacts("repository", "a" * 64, "onnxruntime", "fp32", "cpu")
    found = document(Evaluation("four", "", facts, 0, "none", {}, (), (table,), None))["scales"]["4"]
    assert (found["scenes"], found["rows"]["bicubic"]["psnr"]["scenes"]) == (2, 2)


def test_document_has_nothing_for_what_is_no_number() -> None:
    assert Figure((float("inf"),)).mean == float("inf")
    flat = Truth.of("flat", np.full((64, 64, 3), 9, np.uint8))
    table = measure_set([flat], [Prior(NoisyModel())], scale=FOUR, measures={"psnr"})
    facts = ModelFacts("repository", "a" * 64, "onnxruntime", "fp32", "cpu")
    found = document(Evaluation("one", "", facts, 0, "none", {}, (), (table,), None))
    assert found["scales"]["4"]["rows"]["bicubic"]["psnr"] == {
        "mean": None,
        "error": None,
        "images": 1,
        "scenes": 1,
        "values": [None],
    }


def test_page_has_a_line_for_every_row_with_its_error(evaluation: Evaluation, table: Table) -> None:
    text = page(evaluation)
    for row in table.rows:
        assert f"| {row.name} | {row.psnr.mean:.2f} ± {row.psnr.error:.2f} |" in text


def test_page_says_the_protocol(evaluation: Evaluation) -> None:
    text = page(evaluation)
    assert "5 images of 5 scenes; source: Pillow's BICUBIC" in text
    assert "border 4 px" in text
    assert f"Gains, fixed on 2 other images: 1.50 for {DIFFUSION}, which gives 0.431 of the truth's energy" in text
    assert "where that row has 0.432" in text


def test_page_has_tables_whose_lines_are_as_long_as_their_heads(evaluation: Evaluation) -> None:
    lines = [line for line in page(evaluation).splitlines() if line.startswith("|")]
    for head, rule in pairwise(lines):
        if set(rule) <= set("| -"):
            assert head.count("|") == rule.count("|")
    assert len(lines) > 20


def test_page_has_frontier_groups_seams_and_meanings(evaluation: Evaluation) -> None:
    text = page(evaluation)
    for expected in ("| steps | texture 1 | texture 1.5 |", "| town | 2 |", "## Seams", "**patch dist.**"):
        assert expected in text


def test_chosen_images_are_the_best_the_median_and_the_worst(table: Table) -> None:
    gain = table.difference(DIFFUSION, "bicubic", "psnr").values
    best, median, worst = choose(table, DIFFUSION)
    assert gain[best.place] == max(gain)
    assert gain[worst.place] == min(gain)
    assert sorted(gain).index(gain[median.place]) == 2


def test_chosen_image_is_shown_once_where_there_is_but_one(methods: tuple[Method, ...]) -> None:
    assert len(choose(measure_set(scenes(1), methods, scale=FOUR, measures={"psnr"}), "prior")) == 1


class Page(HTMLParser):
    """Collects the pictures of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[tuple[str, np.ndarray]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep pictures."""
        found = dict(attrs)
        if tag == "img":
            data = base64.b64decode(str(found["src"]).removeprefix("data:image/png;base64,"))
            self.pictures.append((str(found["alt"]), np.asarray(Image.open(io.BytesIO(data)))))


def test_gallery_shows_source_rows_and_truth(table: Table, methods: tuple[Method, ...]) -> None:
    parser = Page()
    text = gallery([(table, methods)], scenes(5), judged=DIFFUSION, seed=0)
    parser.feed(text)
    assert len(parser.pictures) == 3 * (len(table.rows) + 2)
    (source, lr), (bicubic, enlarged), *_, (truth, pixels) = parser.pictures[: len(table.rows) + 2]
    assert (source, bicubic.split(":")[0], truth) == ("source", "bicubic", "truth")
    assert (lr.shape, enlarged.shape) == ((32, 32, 3), (128, 128, 3))
    assert any(np.array_equal(pixels, scene(seed)) for seed in range(5))


def test_gallery_shows_the_pictures_that_were_measured(table: Table, methods: tuple[Method, ...]) -> None:
    parser = Page()
    parser.feed(gallery([(table, methods)], scenes(5), judged=DIFFUSION, seed=0))
    first = dict(parser.pictures[: len(table.rows) + 2])
    label = next(name for name in first if name.startswith(DIFFUSION))
    error = 10 * np.log10(255**2 / np.mean((first[label].astype(float) - first["truth"])[4:-4, 4:-4] ** 2))
    assert f"{error:.2f} dB" in label


def test_gallery_needs_nothing_but_itself(table: Table) -> None:
    text = gallery([(table, [Bicubic()])], scenes(5), judged="bicubic", seed=0)
    assert not re.search(r"(src|href)=\"(?!data:)", text)


SVG = {"svg": "http://www.w3.org/2000/svg"}


def points(table: Table) -> dict[str, tuple[float, float]]:
    """Where every row of a chart is drawn, by its title."""
    drawing = ET.fromstring(frontier_chart(table))  # noqa: S314 - our own
    found = {}
    for group in drawing.iterfind("svg:g[svg:circle]", SVG):
        circle = group.find("svg:circle", SVG)
        assert circle is not None
        found[str(group.findtext("svg:title", namespaces=SVG)).split(": ")[0]] = (
            float(circle.attrib["cx"]),
            float(circle.attrib["cy"]),
        )
    return found


def test_chart_has_every_row_in_order_of_its_figures(table: Table) -> None:
    drawn = points(table)
    assert set(drawn) == {row.name for row in table.rows}
    by_ratio, by_psnr = (
        sorted(table.rows, key=lambda row: row.figure(name).mean) for name in ("high_frequency_ratio", "psnr")
    )
    across, down = ([drawn[row.name][axis] for row in rows] for axis, rows in enumerate((by_ratio, by_psnr)))
    assert across == sorted(across)
    assert down == sorted(down, reverse=True)


def test_chart_lies_within_its_frame(table: Table) -> None:
    assert all(56 <= x <= 584 and 28 <= y <= 304 for x, y in points(table).values())


def test_chart_is_empty_where_there_is_nothing_to_compare() -> None:
    assert frontier_chart(measure_set(scenes(1), [], scale=FOUR)) == ""
