"""A window model on the device whose samples are hashes, and tilers that take it."""

from collections.abc import Callable

import numpy as np
import torch
from unit.ensemble.tile_cases import Cut, HashedWindows, Picture, assemble

from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.engines.torch.tiling import TorchTiler
from hndsr_ensemble.engines.torch.windows import DeviceBatch
from hndsr_ensemble.tiles import UpscaledTile
from hndsr_ensemble.windows import WindowBatch


class HashedDeviceWindows:
    """`HashedWindows` as a window model on the device."""

    def __init__(self, picture: Picture, *, batch: int) -> None:
        self.device, self.batch = torch.device("cpu"), batch
        self.function = HashedWindows(picture)
        self.releases = 0

    def run(self, batch: DeviceBatch, *, cancelled: Callable[[], bool]) -> torch.Tensor:
        """Run as `DeviceWindows`."""
        on_host = WindowBatch(
            np.ascontiguousarray(batch.lr.numpy()), batch.positions.numpy(), batch.scale, batch.options
        )
        assert np.array_equal(on_host.origins, batch.origins.numpy())
        return torch.from_numpy(self.function(on_host))

    def release(self) -> None:
        """Count."""
        self.releases += 1

    @property
    def batches(self) -> list[int]:
        """Windows of each pass so far."""
        return self.function.batches


def torch_tiler(
    picture: Picture, windows: HashedDeviceWindows | None = None, *, batch: int = 2, cache: int = 0
) -> TorchTiler:
    """A tiler with an empty cache."""
    model = windows or HashedDeviceWindows(picture, batch=batch)
    return TorchTiler(picture.manifest, revision="r", windows=model, cache=WindowCache(cache))


def run_tiles(picture: Picture, cut: Cut) -> list[UpscaledTile]:
    """All tiles of a cut, one after the other."""
    tiler = torch_tiler(picture, batch=cut.batch, cache=cut.cache_bytes)
    return [tiler.run(picture.tile(cores), cancelled=lambda: False) for cores in cut.tiles]


def run_cut(picture: Picture, cut: Cut) -> np.ndarray:
    """The whole target."""
    return assemble(picture, list(zip(cut.tiles, run_tiles(picture, cut), strict=True))).pixels
