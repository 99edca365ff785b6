"""Window models in one process: a window depends on itself alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hndsr_ensemble.engines import Engine, EngineError, OnnxEngine, engine_facts, load_engine
from hndsr_ensemble.manifest import Manifest, Options
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


@pytest.mark.parametrize("engine", ["auto", "onnxruntime"])
def test_engine_facts_are_those_of_the_engine_that_is_loaded(repository: Path, engine: str) -> None:
    settings = ServingSettings.from_environment({"HNDSR_ENGINE": engine, "HNDSR_CPU_THREADS": "1"})
    loaded, facts = load_engine(repository, "decoder", settings), engine_facts(settings)
    assert (loaded.name, loaded.precision, loaded.device, loaded.batch) == (
        facts.name,
        facts.precision,
        facts.device,
        facts.batch,
    )


def test_onnx_engine_is_an_engine(repository: Path) -> None:
    assert isinstance(OnnxEngine(repository / "decoder/1/model.onnx", threads=1), Engine)


@pytest.mark.parametrize(
    ("variable", "value"), [("HNDSR_ENGINE", "tensorrt"), ("HNDSR_DEVICE", "cuda"), ("HNDSR_PRECISION", "float16")]
)
def test_engine_is_refused_when_there_is_none_like_it(variable: str, value: str) -> None:
    with pytest.raises(EngineError, match=f"{variable} is '{value}', which no engine here offers"):
        engine_facts(ServingSettings.from_environment({variable: value}))


def test_onnx_engine_runs_more_windows_than_its_batch_one_after_the_other(repository: Path) -> None:
    engine = OnnxEngine(repository / "decoder/1/model.onnx", threads=1)
    latent = np.random.default_rng(0).standard_normal((2, 64, 64, 64), dtype=np.float32)
    together, alone = engine.run({"latent": latent}), engine.run({"latent": latent[1:]})
    assert together[1:].tobytes() == alone.tobytes()
