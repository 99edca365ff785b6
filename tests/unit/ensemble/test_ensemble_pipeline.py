"""Window models in one process: a window depends on itself alone."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.probe import probe_batch
from hndsr_ensemble.release import probe_source
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.windows import TENSORS, WindowBatch, WindowFunction

PRIOR, DRAWN = Options(0, 0.0, 0), Options(1, 1.0, 7)


def batch_of(*positions: tuple[int, int], options: Options = PRIOR, scale: str = "4", side: int = 64) -> WindowBatch:
    """Different random windows at given places."""
    lr = np.random.default_rng(0).uniform(-1, 1, (len(positions), 3, side, side)).astype(np.float32)
    return WindowBatch(lr, np.array(positions, dtype=np.int64), Scale.parse(scale), options)


@pytest.fixture(scope="module")
def source_window(hndsr: Manifest) -> WindowBatch:
    return probe_batch(hndsr, probe_source(64), (Scale(4, 1), DRAWN))


def test_hndsr_window_does_not_depend_on_its_batch(hndsr_function: WindowFunction) -> None:
    batch = batch_of((0, 224), (448, 672))
    alone = replace(batch, lr=batch.lr[1:], positions=batch.positions[1:])
    assert hndsr_function(batch)[1:].tobytes() == hndsr_function(alone).tobytes()


def test_hndsr_window_repeats_with_the_noise(
    hndsr: Manifest, hndsr_function: WindowFunction, source_window: WindowBatch
) -> None:
    further = replace(source_window, positions=source_window.positions + hndsr.noise_period_px)
    assert hndsr_function(source_window).tobytes() == hndsr_function(further).tobytes()


def test_hndsr_window_does_not_depend_on_its_place_when_nothing_is_drawn(
    hndsr_function: WindowFunction, source_window: WindowBatch
) -> None:
    here = replace(source_window, options=Options(3, 0.0, 1))
    there = replace(here, positions=here.positions + 224, options=Options(0, 1.5, 2))
    assert hndsr_function(here).tobytes() == hndsr_function(there).tobytes()


@pytest.mark.parametrize("scale", ["1.5", "3.14", "8"])
def test_bicubic_window_does_not_depend_on_its_batch(
    bicubic: Manifest, bicubic_function: WindowFunction, scale: str
) -> None:
    batch = batch_of((0, 224), (448, 672), scale=scale, side=180)
    alone = replace(batch, lr=batch.lr[1:], positions=batch.positions[1:])
    assert bicubic_function(batch)[1:].tobytes() == bicubic_function(alone).tobytes()


@pytest.mark.parametrize(
    ("name", "dtype", "first"),
    [
        ("LR", np.float32, None),
        ("POSITION", np.int64, [5, 224]),
        ("ORIGIN", np.float32, [np.float32(5 * 50 % 157 / 157), np.float32(224 * 50 % 157 / 157)]),
        ("SCALE", np.float32, np.float32(3.14)),
        ("RATIO", np.int64, [157, 50]),
        ("SEED", np.uint64, 2**64 - 1),
        ("STEPS", np.int32, 4),
        ("TEXTURE", np.float32, 0.5),
    ],
)
def test_tensor_holds_its_fact_for_every_window(name: str, dtype: type[np.generic], first: object) -> None:
    batch = batch_of((5, 224), (5, 224), options=Options(4, 0.5, 2**64 - 1), scale="3.14")
    tensor = batch.tensors([name])[name]
    expected = batch.lr if first is None else np.array([first, first], dtype=dtype)
    assert tensor.dtype == dtype
    assert np.array_equal(tensor, expected)


def test_tensors_are_those_that_were_asked_for(hndsr: Manifest) -> None:
    assert tuple(batch_of((0, 0)).tensors(hndsr.inputs)) == hndsr.inputs


@pytest.mark.parametrize("name", ["hndsr", "bicubic"])
def test_manifest_asks_for_known_tensors_alone(hndsr: Manifest, bicubic: Manifest, name: str) -> None:
    assert set({"hndsr": hndsr, "bicubic": bicubic}[name].inputs) <= set(TENSORS)


def test_hndsr_window_has_the_same_bits_when_another_runs_beside_it(
    repository: Path, hndsr: Manifest, openvino_settings: ServingSettings, openvino_function: WindowFunction
) -> None:
    beside = load_pipeline(repository, hndsr, openvino_settings, streams=2)
    batches = [batch_of((224 * index, 448), options=DRAWN, scale="22/7", side=83) for index in range(4)]
    with ThreadPoolExecutor(2) as threads:
        windows = list(threads.map(beside, batches))
    assert [window.tobytes() for window in windows] == [openvino_function(batch).tobytes() for batch in batches]


def test_pipeline_is_refused_when_the_model_is_tritons_alone(
    repository: Path, hndsr: Manifest, settings: ServingSettings
) -> None:
    with pytest.raises(KeyError, match="another"):
        load_pipeline(repository, replace(hndsr, triton_model="another"), settings)
