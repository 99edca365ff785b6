"""What only a GPU shows: graphs, compiled kernels, memory, and that none of them changes a byte."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from unit.ensemble.tile_cases import Picture, random_picture

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.choice import EngineChoice
from hndsr_ensemble.engines.torch import TorchEngine, TorchWindows, load_torch_tiler
from hndsr_ensemble.engines.torch.captured import Captured, GraphMemory
from hndsr_ensemble.engines.torch.device import open_device, upload
from hndsr_ensemble.engines.torch.diffusion import step_of
from hndsr_ensemble.engines.torch.priors import SIDES_KEPT
from hndsr_ensemble.engines.torch.tiling import TorchTiler
from hndsr_ensemble.engines.torch.windows import LATENT_SIDE, Networks
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.pipeline import load_pipeline
from hndsr_ensemble.probe import quantise_windows
from hndsr_ensemble.release import probe_source
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tiles import CancelledTileError
from hndsr_ensemble.tiling import Tiler
from hndsr_ensemble.values import full_ranges, normalise
from hndsr_ensemble.windows import WindowBatch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")]

HALF = EngineChoice("torch", "cuda", "float16")
SHAPE = {"window_px": 256, "stride_px": 224}


def batch_of(count: int, *, side: int = 64, scale: str = "4", steps: int = 0) -> WindowBatch:
    """Different windows of one picture."""
    source = normalise(probe_source(side + 16 * count), full_ranges(np.dtype(np.uint8)))
    lr = np.stack([source[:, 16 * n : 16 * n + side, 8 * n : 8 * n + side] for n in range(count)])
    positions = np.array([[224 * n, 448] for n in range(count)], dtype=np.int64)
    return WindowBatch(lr, positions, Scale.parse(scale), Options(steps, 1.0, 3))


@pytest.fixture(scope="module")
def device() -> torch.device:
    return open_device("cuda")


@pytest.fixture(scope="module")
def networks(repository: Path, device: torch.device) -> Networks:
    return Networks.load(repository, torch.float16, device)


@pytest.fixture
def make_windows(networks: Networks, device: torch.device) -> Iterator[Callable[[int], TorchWindows]]:
    """Kernel by kernel: compiled ones are tried in a process of their own, without shape checks."""
    yield lambda batch: TorchWindows(networks, device, batch=batch)
    torch.cuda.empty_cache()


def on_device(windows: TorchWindows, manifest: Manifest, *, cache: int = 0) -> TorchTiler:
    return TorchTiler(manifest, revision="r", windows=windows, cache=WindowCache(cache))


def samples(pixels: np.ndarray | torch.Tensor) -> np.ndarray:
    """Of a tile, wherever it lies."""
    return pixels.cpu().numpy() if isinstance(pixels, torch.Tensor) else pixels


def scene(*, steps: int = 0, **changes: object) -> Picture:
    """An image of a few windows of the shipped models."""
    return random_picture(size=(150, 130), options=Options(steps, 1.0, 0), **SHAPE, **changes)


def test_graph_does_what_its_function_does(device: torch.device) -> None:
    given, taken = torch.zeros(5, device=device), torch.zeros(5, device=device)
    graph = Captured(lambda: taken.copy_(given.sin() + 1), GraphMemory(device))
    given.fill_(0.5)
    graph()
    assert torch.equal(taken, given.sin() + 1)


def test_graphs_may_be_replayed_in_any_order_in_shared_memory(device: torch.device) -> None:
    memory, given = GraphMemory(device), torch.rand(1000, device=device)
    taken = [torch.zeros(1000, device=device) for _ in range(3)]
    graphs = [Captured(lambda out=out, n=n: out.copy_((given * n).sin()), memory) for n, out in enumerate(taken)]
    for index in (2, 0, 1, 2):
        graphs[index]()
    assert all(torch.equal(out, (given * n).sin()) for n, out in enumerate(taken))


def test_windows_are_those_of_the_networks_run_plainly(
    networks: Networks, make_windows: Callable[[int], TorchWindows], device: torch.device
) -> None:
    batch, windows = batch_of(4), make_windows(4)
    actual = windows(batch)
    lr = upload(batch.lr, device).contiguous(memory_format=torch.channels_last)
    prior = networks.fno(lr, torch.full((4,), 4.0, device=device), upload(batch.origins, device), (LATENT_SIDE,) * 2)
    latent = prior.float().contiguous(memory_format=torch.channels_last)
    assert np.array_equal(actual, networks.decoder.decode(latent).float().cpu().numpy())


def test_step_is_the_same_when_it_is_replayed(networks: Networks, device: torch.device) -> None:
    shape = (2, 64, LATENT_SIDE, LATENT_SIDE)
    x, prior, taken = (torch.randn(shape, device=device) for _ in range(3))
    scale, coefficients = torch.full((2,), 4.0, device=device), torch.rand(5, device=device)
    step = step_of(networks.unet)
    graph = Captured(lambda: taken.copy_(step(x, prior, scale, coefficients)), GraphMemory(device))
    graph()
    assert torch.equal(taken, step(x, prior, scale, coefficients))


@pytest.mark.parametrize("steps", [0, 4])
def test_windows_are_the_same_from_run_to_run(make_windows: Callable[[int], TorchWindows], steps: int) -> None:
    batch = batch_of(8, steps=steps)
    windows = make_windows(8)
    assert windows(batch).tobytes() == windows(batch).tobytes() == make_windows(8)(batch).tobytes()


@pytest.mark.parametrize("steps", [0, 4])
def test_window_does_not_depend_on_its_batch_on_a_gpu(make_windows: Callable[[int], TorchWindows], steps: int) -> None:
    batch, windows = batch_of(32, steps=steps), make_windows(32)
    turned = replace(batch, lr=batch.lr[::-1].copy(), positions=batch.positions[::-1].copy())
    alone = replace(batch, lr=batch.lr[5:6], positions=batch.positions[5:6])
    together = windows(batch)
    assert windows(turned)[::-1].tobytes() == together.tobytes()
    assert windows(alone).tobytes() == together[5:6].tobytes()


def test_windows_are_the_same_after_their_graph_was_dropped(make_windows: Callable[[int], TorchWindows]) -> None:
    windows, first = make_windows(8), batch_of(8, side=33, scale="8")
    before = windows(first)
    for side in range(34, 34 + SIDES_KEPT):
        windows(batch_of(8, side=side, scale="8"))
    assert windows(first).tobytes() == before.tobytes()


def test_graphs_of_many_sides_take_bounded_memory(make_windows: Callable[[int], TorchWindows]) -> None:
    windows = make_windows(32)
    for side in range(34, 174, 7):
        windows(batch_of(1, side=side, scale=str(256 / side)[:4]))
    assert torch.cuda.memory_reserved() < 6 * 2**30


def test_windows_are_the_same_after_memory_was_given_back(make_windows: Callable[[int], TorchWindows]) -> None:
    windows, batch = make_windows(4), batch_of(4)
    before = windows(batch)
    windows.release()
    torch.cuda.empty_cache()
    assert windows(batch).tobytes() == before.tobytes()


@pytest.mark.parametrize("steps", [0, 4, 20])
def test_windows_are_at_most_a_grey_level_off_those_of_the_cpu(
    repository: Path, hndsr: Manifest, make_windows: Callable[[int], TorchWindows], steps: int
) -> None:
    chosen = {"HNDSR_ENGINE": "onnxruntime", "HNDSR_DEVICE": "cpu"}
    on_cpu = load_pipeline(repository, hndsr, ServingSettings.from_environment(chosen))
    batch = batch_of(2, steps=steps)
    actual, expected = (quantise_windows(tuple(run(batch)[:, None])).astype(int) for run in (make_windows(2), on_cpu))
    assert (np.abs(actual - expected) <= 1).mean() >= 0.999


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_tile_is_that_of_the_cpu_over_the_same_windows(
    hndsr: Manifest, make_windows: Callable[[int], TorchWindows], dtype: type[np.unsignedinteger]
) -> None:
    picture = scene()
    limit = int(np.iinfo(dtype).max)
    scaled = picture.pixels.astype(dtype) * (limit // 255)
    picture = replace(picture, pixels=scaled, ranges=((0, limit), (7, limit - 9), (0, limit)))
    tile, windows = picture.tile(picture.whole), make_windows(8)
    on_cpu = Tiler(hndsr, revision="r", run=windows, batch=8, cache=WindowCache(0))
    expected = on_cpu.run(tile, cancelled=lambda: False)
    actual = on_device(windows, hndsr).run(tile, cancelled=lambda: False)
    assert np.array_equal(samples(actual.pixels), expected.pixels)


def test_tile_is_the_same_when_its_seams_were_kept(
    hndsr: Manifest, make_windows: Callable[[int], TorchWindows]
) -> None:
    picture, windows = scene(steps=2), make_windows(4)
    cold, warm = on_device(windows, hndsr), on_device(windows, hndsr, cache=2**28)
    warm.run(picture.tile((0, 1, 0, 2)), cancelled=lambda: False)
    tile = picture.tile((1, 3, 0, 2))
    kept = warm.run(tile, cancelled=lambda: False)
    assert kept.stats.cache_hits == 2
    assert np.array_equal(samples(kept.pixels), samples(cold.run(tile, cancelled=lambda: False).pixels))


def test_target_stays_on_the_gpu(hndsr: Manifest, make_windows: Callable[[int], TorchWindows]) -> None:
    picture = scene()
    result = on_device(make_windows(4), hndsr).run(picture.tile(picture.whole), cancelled=lambda: False)
    assert isinstance(result.pixels, torch.Tensor)
    assert (result.pixels.is_cuda, result.pixels.is_contiguous()) == (True, True)


def test_cancel_takes_effect_within_two_batches(hndsr: Manifest, make_windows: Callable[[int], TorchWindows]) -> None:
    picture = random_picture(size=(900, 900), options=Options(20, 1.0, 0), **SHAPE)
    tile, windows = picture.tile(picture.whole), make_windows(8)
    windows(batch_of(8, steps=20))
    start = time.perf_counter()
    windows(batch_of(8, steps=20))
    batch_s, gone_s = time.perf_counter() - start, time.perf_counter() + 3 * (time.perf_counter() - start)
    with pytest.raises(CancelledTileError):
        on_device(windows, hndsr).run(tile, cancelled=lambda: time.perf_counter() > gone_s)
    torch.cuda.synchronize()
    assert time.perf_counter() - gone_s < 3 * batch_s


def test_batch_is_halved_until_it_fits(repository: Path, hndsr: Manifest) -> None:
    torch.cuda.empty_cache()
    limit_bytes = torch.cuda.memory_reserved() + 3 * 2**29
    torch.cuda.set_per_process_memory_fraction(limit_bytes / torch.cuda.mem_get_info()[1])
    try:
        settings = replace(ServingSettings.from_environment({}), window_batch=512)
        loaded = load_torch_tiler(repository, hndsr, settings, HALF)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert 1 <= loaded.facts.batch < 512


def test_torch_engine_fills_its_batch(repository: Path) -> None:
    engine = TorchEngine(repository / "decoder" / "1", "decoder", HALF, threads=1)
    latent = np.random.default_rng(0).standard_normal((11, 64, 16, 16), dtype=np.float32)
    assert engine.run({"latent": latent})[9:10].tobytes() == engine.run({"latent": latent[9:10]}).tobytes()


SERVED = """
import hashlib, json, logging
from pathlib import Path
import numpy as np
from hndsr_ensemble.choice import EngineChoice
from hndsr_ensemble.engines.torch import load_torch_tiler
from hndsr_ensemble.manifest import model_repository, read_manifests
from hndsr_ensemble.probe import run_probe
from hndsr_ensemble.serving import ServingSettings
logging.basicConfig()
repository = model_repository()
manifest = read_manifests(repository)["hndsr"]
settings = ServingSettings.from_environment({})
loaded = load_torch_tiler(repository, manifest, settings, EngineChoice("torch", "cuda", "float16"))
loaded.warm_up()
probe = run_probe(repository, manifest, loaded.windows)
digest = hashlib.sha256(b"".join(window.tobytes() for window in probe)).hexdigest()
print(json.dumps({"name": loaded.facts.name, "digest": digest}))
"""


def _served() -> dict[str, str]:
    """As in production, where no shapes are checked, so that the networks can be compiled."""
    ran = subprocess.run([sys.executable, "-c", SERVED], capture_output=True, text=True, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def test_served_engine_is_compiled_and_answers_its_probe_alike_from_process_to_process() -> None:
    first, second = _served(), _served()
    assert first == second
    assert " compiled, " in first["name"]
