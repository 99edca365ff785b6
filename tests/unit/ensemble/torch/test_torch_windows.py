"""The networks on the device, here the CPU: the same windows as the engine that they are compared with."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.ensemble.tile_cases import random_picture

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineChoice
from hndsr_ensemble.engines import Engine
from hndsr_ensemble.engines.onnx import OnnxEngine
from hndsr_ensemble.engines.torch import TorchEngine, TorchWindows, load_torch_tiler
from hndsr_ensemble.engines.torch.captured import GraphMemory
from hndsr_ensemble.engines.torch.priors import FEW_SOURCE_PX, SIDES_KEPT, Priors, windows_at_once
from hndsr_ensemble.engines.torch.windows import Networks
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.probe import quantise_windows
from hndsr_ensemble.release import probe_source
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import OutOfDeviceMemoryError
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.values import full_ranges, normalise
from hndsr_ensemble.windows import WindowBatch, WindowFunction

CPU = torch.device("cpu")
FLOAT, HALF, BRIEF = (EngineChoice("torch", "cpu", name) for name in ("float32", "float16", "bfloat16"))
UINT8 = np.dtype(np.uint8)


def batch_of(count: int, *, options: Options = Options(0, 0.0, 0), side: int = 64) -> WindowBatch:  # noqa: B008 - frozen
    """Different windows of one picture."""
    source = normalise(probe_source(side + 16 * count), full_ranges(UINT8))
    lr = np.stack([source[:, 16 * n : 16 * n + side, 8 * n : 8 * n + side] for n in range(count)])
    positions = np.array([[224 * n, 448] for n in range(count)], dtype=np.int64)
    return WindowBatch(lr, positions, Scale.parse("4" if side == 64 else "8"), options)


@pytest.fixture(scope="module")
def onnx_function(repository: Path, hndsr: Manifest) -> WindowFunction:
    chosen = {"HNDSR_ENGINE": "onnxruntime", "HNDSR_DEVICE": "cpu"}
    return load_pipeline(repository, hndsr, ServingSettings.from_environment(chosen))


@pytest.fixture(scope="module")
def brief_windows(brief_networks: Networks) -> TorchWindows:
    return TorchWindows(brief_networks, CPU, batch=2)


@pytest.fixture(scope="module")
def drawn(onnx_function: WindowFunction) -> tuple[WindowBatch, np.ndarray]:
    """A window that took a step, as onnxruntime has it."""
    batch = batch_of(1, options=Options(1, 1.0, 0))
    return batch, onnx_function(batch)


def levels_apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """By how many grey levels of 8 bits samples differ."""
    first, second = (quantise_windows(tuple(windows[:, None])).astype(int) for windows in (one, other))
    return np.abs(first - second)


def test_windows_are_those_of_onnxruntime_when_they_are_float(
    float_networks: Networks, drawn: tuple[WindowBatch, np.ndarray]
) -> None:
    batch, expected = drawn
    actual = TorchWindows(float_networks, CPU, batch=1)(batch)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)
    assert (levels_apart(actual, expected) == 0).mean() >= 0.9999


@pytest.mark.parametrize(("precision", "share"), [(torch.float16, 1.0), (torch.bfloat16, 0.98)])
def test_windows_are_at_most_a_grey_level_off_when_convolutions_are_in_half_precision(
    repository: Path, precision: torch.dtype, share: float, drawn: tuple[WindowBatch, np.ndarray]
) -> None:
    batch, expected = drawn
    actual = TorchWindows(Networks.load(repository, precision, CPU), CPU, batch=1)(batch)
    assert (levels_apart(actual, expected) <= 1).mean() >= share


def test_window_does_not_depend_on_its_place_in_the_batch(brief_windows: TorchWindows) -> None:
    batch = batch_of(2, options=Options(1, 1.0, 0))
    turned = replace(batch, lr=batch.lr[::-1].copy(), positions=batch.positions[::-1].copy())
    assert brief_windows(batch)[::-1].tobytes() == brief_windows(turned).tobytes()


def test_window_does_not_depend_on_what_fills_the_batch(brief_windows: TorchWindows) -> None:
    batch = batch_of(2, side=33)
    alone = replace(batch, lr=batch.lr[:1], positions=batch.positions[:1])
    assert brief_windows(batch)[:1].tobytes() == brief_windows(alone).tobytes()


def test_windows_are_the_same_after_others_were_run(brief_windows: TorchWindows) -> None:
    batch = batch_of(1, side=33)
    first = brief_windows(batch)
    brief_windows(batch_of(1, side=40))
    brief_windows.release()
    assert brief_windows(batch).tobytes() == first.tobytes()


def test_windows_of_no_batch_are_refused(brief_networks: Networks) -> None:
    with pytest.raises(ValueError, match="no batch"):
        TorchWindows(brief_networks, CPU)(batch_of(1))


def test_tile_is_that_of_the_cpu_when_its_windows_are(repository: Path, hndsr: Manifest) -> None:
    settings = replace(ServingSettings.from_environment({}), window_batch=2, cpu_threads=torch.get_num_threads())
    loaded = load_torch_tiler(repository, hndsr, settings, BRIEF)
    picture = random_picture(size=(40, 30), scale=Scale.parse("8"), window_px=256, stride_px=224)
    tile = picture.tile(picture.whole)
    tiler = Tiler(hndsr, revision="", run=loaded.windows, batch=2, cache=WindowCache(0))
    expected = tiler.run(tile, cancelled=lambda: False)
    actual = loaded.tiler("", WindowCache(0)).run(tile, cancelled=lambda: False)
    assert actual.pixels.tobytes() == expected.pixels.tobytes()


def test_facts_follow_the_batch_down_to_one_window(repository: Path, hndsr: Manifest) -> None:
    settings = replace(ServingSettings.from_environment({}), window_batch=4, cpu_threads=torch.get_num_threads())
    loaded = load_torch_tiler(repository, hndsr, settings, HALF)
    batches = [(loaded.facts.batch, loaded.shrink()) for _ in range(4)]
    assert batches == [(4, True), (2, True), (1, False), (1, False)]


def test_facts_name_what_decides_bytes(repository: Path, hndsr: Manifest) -> None:
    settings = replace(ServingSettings.from_environment({}), window_batch=1, cpu_threads=torch.get_num_threads())
    facts = load_torch_tiler(repository, hndsr, settings, HALF).facts
    assert (facts.name, facts.precision, facts.device) == (f"torch {torch.__version__} eager, cpu", "fp16", "cpu")


def test_full_memory_is_named_when_the_model_is_run_for_its_probe(
    repository: Path, hndsr: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(ServingSettings.from_environment({}), window_batch=1, cpu_threads=torch.get_num_threads())
    loaded = load_torch_tiler(repository, hndsr, settings, HALF)

    def full(*_: object, **__: object) -> None:
        raise torch.cuda.OutOfMemoryError

    monkeypatch.setattr(TorchWindows, "run", full)
    with pytest.raises(OutOfDeviceMemoryError):
        loaded.windows(batch_of(1))


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 32])
@pytest.mark.parametrize("side", [33, 64, 96, 172])
def test_windows_at_once_fill_the_batch(batch: int, side: int) -> None:
    part = windows_at_once(batch, side)
    assert batch % part == 0
    assert part in {batch, 2} or part * side**2 <= batch * FEW_SOURCE_PX**2


def test_priors_are_made_part_by_part_when_sides_are_long() -> None:
    seen = list[int]()

    def fno(lr: torch.Tensor, scale: torch.Tensor, origin: torch.Tensor) -> torch.Tensor:
        seen.append(len(lr))
        return (lr.mean(dim=(1, 2, 3)) * scale + origin.sum(dim=1))[:, None, None, None].expand(-1, 64, 8, 8)

    priors = Priors(fno, batch=8, latent_side=8, device=CPU)
    lr, origins = torch.rand(8, 3, 172, 172), torch.rand(8, 2)
    priors(lr, origins, 1.5)
    assert seen == [2] * 4
    expected = lr.mean(dim=(1, 2, 3)) * 1.5 + origins.sum(dim=1)
    assert torch.allclose(priors.prior[:, 0, 0, 0], expected)


def test_priors_keep_the_sides_that_were_used_last() -> None:
    priors = Priors(lambda lr, *_: torch.zeros(len(lr), 64, 4, 4), batch=1, latent_side=4, device=CPU)
    for side in [*range(20, 20 + SIDES_KEPT), 20, 99]:
        priors(torch.zeros(1, 3, side, side), torch.zeros(1, 2), 4.0)
    assert priors.sides == (*range(22, 20 + SIDES_KEPT), 20, 99)


def test_graph_memory_is_none_without_a_gpu() -> None:
    assert GraphMemory(CPU).pool is None


NETWORK_INPUTS = {
    "fno": {"lr": (2, 3, 33, 33), "scale": (2,), "origin": (2, 2)},
    "unet": {"x": (2, 64, 16, 16), "t": (2,), "prior": (2, 64, 16, 16), "scale": (2,)},
    "decoder": {"latent": (2, 64, 16, 16)},
}


@pytest.mark.parametrize("network", NETWORK_INPUTS)
def test_torch_engine_gives_what_onnxruntime_gives(repository: Path, network: str) -> None:
    folder, random = repository / network / "1", np.random.default_rng(0)
    inputs = {name: random.uniform(0.1, 1, shape).astype(np.float32) for name, shape in NETWORK_INPUTS[network].items()}
    if "scale" in inputs:
        inputs["scale"] += 7
    threads = torch.get_num_threads()
    actual = TorchEngine(folder, network, FLOAT, threads=threads).run(inputs)
    expected = OnnxEngine(folder / "model.onnx", threads=threads).run(inputs)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-4)


def test_torch_engine_is_an_engine(repository: Path) -> None:
    engine = TorchEngine(repository / "decoder" / "1", "decoder", HALF, threads=torch.get_num_threads())
    assert isinstance(engine, Engine)
    assert (engine.precision, engine.device, engine.batch) == ("fp16", "cpu", 1)
