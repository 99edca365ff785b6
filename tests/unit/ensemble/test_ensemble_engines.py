"""Engines run a network to the same bits, however many run beside them."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hndsr_ensemble.choice import EngineChoiceError
from hndsr_ensemble.engines import Engine, engine_facts, load_engine
from hndsr_ensemble.serving import ServingSettings

ENGINES = ["onnxruntime", "openvino"]
Inputs = dict[str, np.ndarray]


def settings_of(engine: str, **variables: str) -> ServingSettings:
    if engine != "auto":
        pytest.importorskip(engine)
    return ServingSettings.from_environment({"HNDSR_ENGINE": engine, "HNDSR_CPU_THREADS": "2", **variables})


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    pytest.importorskip(request.param)
    return request.param


def latents(seed: int, windows: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((windows, 64, 64, 64), dtype=np.float32)


def source(scale: float, *, side: int, origin: tuple[float, float] = (0.3, 0.7)) -> Inputs:
    """A smooth window for the FNO: what a wrong coordinate moves can be seen."""
    steps = np.random.default_rng(0).uniform(-1, 1, (1, 3, side, side)).cumsum(axis=3) / 8
    lr = np.clip(steps, -1, 1).astype(np.float32)
    return {"lr": lr, "scale": np.full(1, scale, np.float32), "origin": np.array([origin], np.float32)}


@pytest.mark.parametrize("name", ["auto", *ENGINES, "torch"])
def test_engine_facts_are_those_of_the_engine_that_is_loaded(repository: Path, name: str) -> None:
    settings = settings_of(name)
    loaded, facts = load_engine(repository, "decoder", settings), engine_facts(settings)
    assert (loaded.name, loaded.precision, loaded.device, loaded.batch) == (
        facts.name,
        facts.precision,
        facts.device,
        facts.batch,
    )


def test_engine_is_an_engine(repository: Path, engine: str) -> None:
    assert isinstance(load_engine(repository, "decoder", settings_of(engine)), Engine)


def test_engine_is_named_by_its_version_without_its_build(engine: str) -> None:
    name, _, version = engine_facts(settings_of(engine)).name.partition(" ")
    assert (name, version.replace(".", "").isdigit()) == (engine, True)


@pytest.mark.parametrize(
    ("variable", "value"), [("HNDSR_ENGINE", "tensorrt"), ("HNDSR_DEVICE", "tpu"), ("HNDSR_PRECISION", "int8")]
)
def test_engine_is_refused_when_there_is_none_like_it(variable: str, value: str) -> None:
    with pytest.raises(EngineChoiceError, match=value):
        engine_facts(ServingSettings.from_environment({variable: value}))


def test_engine_runs_more_windows_than_its_batch_one_after_the_other(repository: Path, engine: str) -> None:
    decoder, latent = load_engine(repository, "decoder", settings_of(engine)), latents(0, windows=2)
    together, alone = decoder.run({"latent": latent}), decoder.run({"latent": latent[1:]})
    assert together[1:].tobytes() == alone.tobytes()


def test_engine_answers_arrays_that_later_passes_leave_alone(repository: Path, engine: str) -> None:
    decoder = load_engine(repository, "decoder", settings_of(engine))
    first = decoder.run({"latent": latents(0)})
    before = first.copy()
    decoder.run({"latent": latents(1)})
    assert np.array_equal(first, before)


def test_engine_takes_arrays_that_may_not_be_written_to(repository: Path, engine: str) -> None:
    decoder, latent = load_engine(repository, "decoder", settings_of(engine)), latents(0)
    expected = decoder.run({"latent": latent})
    latent.setflags(write=False)
    assert np.array_equal(decoder.run({"latent": latent}), expected)


@pytest.mark.parametrize("network", ["unet", "decoder"])
def test_engine_answers_the_same_bits_when_threads_share_it(repository: Path, engine: str, network: str) -> None:
    settings = settings_of(engine)
    shared, alone = (load_engine(repository, network, settings, streams=streams) for streams in (2, 1))
    facts = {"t": np.full(1, 0.5, np.float32), "scale": np.full(1, 4, np.float32)}
    unet = [{"x": latents(seed), "prior": latents(seed + 9), **facts} for seed in range(4)]
    asked = unet if network == "unet" else [{"latent": latents(seed)} for seed in range(4)]
    with ThreadPoolExecutor(2) as threads:
        answers = list(threads.map(shared.run, asked))
    assert [answer.tobytes() for answer in answers] == [alone.run(inputs).tobytes() for inputs in asked]


@pytest.mark.parametrize(("scale", "side"), [(1.5, 172), (22 / 7, 83), (4.0, 64)])
def test_openvino_places_latents_where_onnxruntime_does(repository: Path, scale: float, side: int) -> None:
    fnos = [load_engine(repository, "fno", settings_of(engine)) for engine in ENGINES]
    expected, answer = (fno.run(source(scale, side=side)) for fno in fnos)
    assert np.abs(answer - expected).mean() < 0.02 * np.abs(expected).mean()


def test_openvino_keeps_a_bounded_number_of_shapes(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openvino = pytest.importorskip("hndsr_ensemble.engines.openvino")
    monkeypatch.setattr(openvino, "MOST_SHAPES", 1)
    fno = load_engine(repository, "fno", settings_of("openvino"))
    inputs = source(8.0, side=32), source(6.4, side=41)
    first = fno.run(inputs[0])
    fno.run(inputs[1])
    again = fno.run(inputs[0])
    assert (len(fno._compiled), again.tobytes()) == (1, first.tobytes())


def test_openvino_is_idle_when_nothing_runs(repository: Path) -> None:
    decoder = load_engine(repository, "decoder", settings_of("openvino"))
    decoder.run({"latent": latents(0)})
    start = time.process_time()
    threading.Event().wait(0.5)
    assert time.process_time() - start < 0.1
