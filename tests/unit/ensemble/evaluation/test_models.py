"""Models behind the tiler that serves them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from oracle import upscale
from unit.ensemble.evaluation.pictures import FOUR, scene

from hndsr_ensemble.engines import Engine
from hndsr_ensemble.evaluation.degrade import reduce_bicubic, target_px
from hndsr_ensemble.evaluation.methods import Diffusion, Prior, SharpenedPrior
from hndsr_ensemble.evaluation.models import (
    Remembering,
    RepositoryError,
    TiledModel,
    UnsupportedScaleError,
    repository_model,
)
from hndsr_ensemble.evaluation.sharpening import Fit
from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.manifest import Options, model_repository
from hndsr_ensemble.scale import Scale


@pytest.fixture(scope="module")
def model() -> TiledModel:
    return repository_model(model_repository())


class Counting:
    """An engine that doubles, and counts its runs."""

    name, precision, device, batch = "counting", "fp32", "cpu", 1

    def __init__(self) -> None:
        self.runs = 0

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Once more."""
        self.runs += 1
        return 2 * inputs["x"]


def inputs(*values: float) -> Iterator[dict[str, np.ndarray]]:
    return ({"x": np.array([value], np.float32), "t": np.zeros(1, np.float32)} for value in values)


@pytest.mark.parametrize("scale", ["1.5", "2", "22/7", "7.99", "8"])
@pytest.mark.parametrize("length", [1, 7, 100])
def test_target_is_as_long_as_the_geometry_has_it(scale: str, length: int) -> None:
    parsed = Scale.parse(scale)
    assert target_px(length, parsed) == Axis(length, parsed, WindowGeometry(256, 224)).target_length


@pytest.mark.parametrize("options", [Options(0, 0.0, 0), Options(2, 1.0, 7)], ids=["prior", "diffusion"])
def test_model_of_a_repository_makes_what_is_served(model: TiledModel, options: Options) -> None:
    source = reduce_bicubic(scene(1), 4)
    served = upscale(source, model="hndsr", scale="4", options=options)
    difference = np.abs(model.upscale(source, FOUR, options).astype(int) - served.pixels)
    assert difference.max() <= 3  # the oracle may run in another arithmetic
    assert difference.mean() < 0.5


def test_model_puts_tiles_where_they_belong(model: TiledModel, monkeypatch: pytest.MonkeyPatch) -> None:
    source = reduce_bicubic(scene(1, 512), 4)[:, :80]
    whole = model.upscale(source, FOUR, Options(0, 0.0, 0))
    monkeypatch.setattr("hndsr_ensemble.evaluation.models.CORES_PER_TILE", 1)
    assert np.array_equal(model.upscale(source, FOUR, Options(0, 0.0, 0)), whole)


def test_rows_of_a_model_are_its_options(model: TiledModel) -> None:
    source = reduce_bicubic(scene(1), 4)
    prior, drawn = Prior(model), Diffusion(model, 1, 0.5)
    assert np.array_equal(prior(source, FOUR, 5), model.upscale(source, FOUR, Options(0, 0.0, 5)))
    assert np.array_equal(drawn(source, FOUR, 5), model.upscale(source, FOUR, Options(1, 0.5, 5)))
    assert np.array_equal(
        SharpenedPrior(model, Fit(1.0, 1.0, 1.0), drawn.name)(source, FOUR, 5), prior(source, FOUR, 5)
    )


@pytest.mark.parametrize(
    ("steps", "texture", "name"), [(1, 1.0, "1 step, texture 1"), (20, 0.5, "20 steps, texture 0.5")]
)
def test_row_is_named_by_what_it_does(model: TiledModel, steps: int, texture: float, name: str) -> None:
    diffusion = Diffusion(model, steps, texture)
    assert diffusion.name == f"diffusion, {name}"
    assert SharpenedPrior(model, Fit(2.0, 1.0, 1.0), diffusion.name).name == f"sharpened prior, as diffusion, {name}"


def test_scale_that_the_model_was_not_made_for_is_refused(model: TiledModel) -> None:
    with pytest.raises(UnsupportedScaleError, match=r"scales 1\.5 to 8, not 9"):
        model.upscale(scene(1), Scale(9, 1), Options(0, 0.0, 0))


def test_facts_say_what_ran_the_model(model: TiledModel) -> None:
    assert (model.facts.source, model.facts.precision, model.facts.device) == ("repository", "fp32", "cpu")
    assert model.facts.engine.startswith("onnxruntime")
    assert len(model.facts.identity) == 64


def test_remembering_runs_the_same_once() -> None:
    engine = Counting()
    remembering = Remembering(engine)
    assert [remembering.run(one)[0] for one in inputs(1, 2, 1, 2)] == [2, 4, 2, 4]
    assert engine.runs == 2


def test_remembering_tells_inputs_apart() -> None:
    remembering = Remembering(Counting())
    first = remembering.run({"x": np.ones(2, np.float32), "t": np.zeros(1, np.float32)})
    assert first.shape == (2,)
    assert remembering.run({"x": np.ones((1, 2), np.float32), "t": np.zeros(1, np.float32)}).shape == (1, 2)


def test_remembering_forgets_the_oldest() -> None:
    engine = Counting()
    remembering = Remembering(engine, passes=2)
    for one in inputs(1, 2, 3, 1):
        remembering.run(one)
    assert engine.runs == 4


def test_remembering_is_an_engine() -> None:
    engine: Engine = Remembering(Counting())
    assert engine.name == "counting"


def test_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RepositoryError, match="no model hndsr"):
        repository_model(tmp_path)


def test_repository_with_other_weights_is_refused(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(model_repository(), tmp_path / "repository"))
    weights = copy / "fno/1/weights.safetensors"
    weights.chmod(0o644)
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(RepositoryError, match=r"weights\.safetensors is not the file"):
        repository_model(copy)


def test_engine_that_is_none_is_refused() -> None:
    with pytest.raises(RepositoryError, match="abacus"):
        repository_model(model_repository(), engine="abacus")
