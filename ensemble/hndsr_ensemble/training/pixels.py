"""The images of a split: as bytes in the device's memory, or read crop by crop where they are too many for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from rasterio.windows import Window
from torch import Tensor

from hndsr_ensemble.engines.torch.device import upload
from hndsr_ensemble.training.config import DataConfig
from hndsr_ensemble.training.crops import Plan
from hndsr_ensemble.training.decoded import DecodedImages
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery import pixels as imagery_pixels
from hndsr_ensemble.training.imagery.manifest import Image
from hndsr_ensemble.training.imagery.sources import REMOTE

BANDS = imagery_pixels.BANDS
MIB = 2**20
TALLEST_BLOCK_PX = 1024
"""Of a file whose crops are read block by block; a TIFF may be one block as high as it is."""


class ImageReadError(TrainingError):
    """An image of the manifest cannot be read any more, or is another than it was."""

    def __init__(self, *, path: str, cause: str) -> None:
        super().__init__(f"{path}: {cause}; run `hndsr-train prepare` again")


class NoImagesError(TrainingError):
    """A split has nothing to train on."""

    def __init__(self, *, split: str, images: int, crop_px: int) -> None:
        super().__init__(
            f"split {split!r} has {images} images, none of them uint8, valid everywhere and of at least"
            f" {crop_px} x {crop_px} px"
        )


@runtime_checkable
class Pixels(Protocol):
    """Hands out crops."""

    @property
    def sizes_px(self) -> Int64[np.ndarray, "m 2"]:
        """Height and width of each image."""

    def prefetch(self, plan: Plan) -> None:
        """Say that the crops of a plan will be asked for."""

    def crops(self, plan: Plan) -> UInt8[Tensor, "n 3 p p"]:
        """The crops of a plan, turned, on the device."""


def usable(images: Sequence[Image], crop_px: int) -> list[Image]:
    """Those that can be trained on: 8 bits a sample, all pixels valid, and no side below a crop's."""
    return [image for image in images if image.is_measurable and min(image.height_px, image.width_px) >= crop_px]


def open_pixels(
    images: Sequence[Image], data: DataConfig, *, split: str, device: torch.device, limit_bytes: int | None = None
) -> Pixels:
    """The images of a split, in the device's memory if they fit the limit.

    Args:
        images: of the split.
        data: side of a crop, and threads.
        split: its name.
        device: where crops are wanted.
        limit_bytes: by default, `data.resident_limit_mib`.

    Raises:
        NoImagesError: none can be trained on.
        ImageReadError: one cannot be read.
    """
    fit = usable(images, data.crop_px)
    if not fit:
        raise NoImagesError(split=split, images=len(images), crop_px=data.crop_px)
    limit_bytes = data.resident_limit_mib * MIB if limit_bytes is None else limit_bytes
    if sum(map(_size_bytes, fit)) <= limit_bytes:
        return ResidentPixels(fit, workers=data.workers, device=device)
    return StreamedPixels(fit, workers=data.workers, device=device, kept_bytes=limit_bytes)


class ResidentPixels:
    """All images one after the other in one tensor of bytes, from which a batch is gathered at once.

    Args:
        images: of any sizes.
        workers: threads that read them.
        device: where the tensor lies.
    """

    def __init__(self, images: Sequence[Image], *, workers: int, device: torch.device) -> None:
        self.sizes_px = _sizes(images)
        lengths = BANDS * self.sizes_px.prod(axis=1)
        self._starts = np.cumsum(lengths) - lengths
        flat = np.empty(int(lengths.sum()), np.uint8)

        def fill(number: int) -> None:
            start = int(self._starts[number])
            flat[start : start + int(lengths[number])] = read_rgb(images[number]).reshape(-1)

        with ThreadPoolExecutor(workers) as pool:
            for _ in pool.map(fill, range(len(images))):
                pass
        self._flat = torch.from_numpy(flat).to(device)

    def prefetch(self, plan: Plan) -> None:
        """Nothing: all is there."""

    def crops(self, plan: Plan) -> UInt8[Tensor, "n 3 p p"]:
        """Gather a batch: a pixel's place is the sum of one number for its row and one for its column."""
        widths = self.sizes_px[plan.images, 1]
        steps = np.stack([widths * BANDS, np.full_like(widths, BANDS)], axis=1)
        inside = np.arange(plan.crop_px)
        forward = plan.corners[..., None] + inside
        backward = plan.corners[..., None] + inside[::-1]
        places = np.where(plan.flips[..., None], backward, forward) * steps[..., None]
        places[:, 0] += self._starts[plan.images][:, None]
        places = np.where(plan.transposed[:, None, None], places[:, ::-1], places)
        down, across = upload(places, self._flat.device).unbind(1)
        bands = torch.arange(BANDS, device=self._flat.device)
        return self._flat[down[:, :, None, None] + across[:, None, :, None] + bands].permute(0, 3, 1, 2)


class StreamedPixels:
    """Images that stay where they are: threads read the crops of the next batches while one is worked on.

    Where a file is read whole to get at a crop (remote ones, PNG, JPEG), images that were used last are kept decoded.

    Args:
        images: of any sizes.
        workers: threads.
        device: where crops are sent.
        kept_bytes: of decoded images, at most; larger ones are decoded for every crop.
    """

    def __init__(self, images: Sequence[Image], *, workers: int, device: torch.device, kept_bytes: int = 0) -> None:
        self.sizes_px = _sizes(images)
        self._images, self._device = images, device
        self._decoded, self._kept_bytes = DecodedImages(kept_bytes), kept_bytes
        self._by_window: dict[int, bool] = {}
        self._pool = ThreadPoolExecutor(workers)
        self._asked: dict[bytes, list[Future[UInt8[np.ndarray, "p p 3"]]]] = {}

    def prefetch(self, plan: Plan) -> None:
        """Begin to read."""
        self._asked.setdefault(_key(plan), self._read(plan))

    def crops(self, plan: Plan) -> UInt8[Tensor, "n 3 p p"]:
        """Wait for what was begun, or read now."""
        reads = self._asked.pop(_key(plan), None) or self._read(plan)
        turned = [_turned(read.result(), plan, index) for index, read in enumerate(reads)]
        return upload(np.stack(turned), self._device).permute(0, 3, 1, 2)

    def _read(self, plan: Plan) -> list[Future[UInt8[np.ndarray, "p p 3"]]]:
        return [
            self._pool.submit(self._crop, int(image), Corner(int(top), int(left), plan.crop_px))
            for image, (top, left) in zip(plan.images, plan.corners, strict=True)
        ]

    def _crop(self, number: int, square: Corner) -> UInt8[np.ndarray, "p p 3"]:
        image = self._images[number]
        if number not in self._by_window:
            self._by_window[number] = _size_bytes(image) > self._kept_bytes or _reads_windows(image)
        if self._by_window[number]:
            return read_rgb(image, square)
        whole = self._decoded.get(number, _size_bytes(image), lambda: read_rgb(image))
        # A view would keep the whole image in memory.
        return whole[square.top_px :, square.left_px :][: square.side_px, : square.side_px].copy()


@dataclass(frozen=True)
class Corner:
    """A square of an image."""

    top_px: int
    left_px: int
    side_px: int

    @property
    def window(self) -> Window:
        """The same for rasterio."""
        return Window(self.left_px, self.top_px, self.side_px, self.side_px)


def read_rgb(image: Image, square: Corner | None = None) -> UInt8[np.ndarray, "h w 3"]:
    """Decode an image or a square of it, as three bands.

    Raises:
        ImageReadError: it cannot be read, or has another size or sample type than the manifest says.
    """
    with _opened(image) as raster:
        return imagery_pixels.read_rgb(raster, square and square.window)


@contextmanager
def _opened(image: Image) -> Iterator[Any]:
    try:
        with imagery_pixels.opened(image.path) as raster:
            _require_unchanged(image, raster)
            yield raster
    except (imagery_pixels.UndecodableError, OSError) as error:
        raise ImageReadError(path=image.path, cause=str(error)) from error


def _require_unchanged(image: Image, raster: Any) -> None:
    found = (raster.height, raster.width, raster.count, raster.dtypes[0])
    listed = (image.height_px, image.width_px, image.bands, image.sample_type)
    if found != listed:
        raise ImageReadError(path=image.path, cause=f"is {found} (height, width, bands, type) and was {listed}")


def _reads_windows(image: Image) -> bool:
    """Whether a file is decoded in blocks small enough to be read for each crop."""
    if REMOTE in image.path:
        return False
    with _opened(image) as raster:
        height, width = raster.block_shapes[0]
        # Of PNG and JPEG, GDAL calls a row a block, and decodes all rows before it.
        return height <= TALLEST_BLOCK_PX and (raster.driver == "GTiff" or width < raster.width)


def _size_bytes(image: Image) -> int:
    return BANDS * image.height_px * image.width_px


def _sizes(images: Sequence[Image]) -> Int64[np.ndarray, "m 2"]:
    return np.array([(image.height_px, image.width_px) for image in images], dtype=np.int64)


def _turned(crop: UInt8[np.ndarray, "p p 3"], plan: Plan, index: int) -> UInt8[np.ndarray, "p p 3"]:
    down, across = (slice(None, None, -1 if flip else 1) for flip in plan.flips[index])
    flipped = crop[down, across]
    return flipped.swapaxes(0, 1) if plan.transposed[index] else flipped


def _key(plan: Plan) -> bytes:
    return plan.images.tobytes() + plan.corners.tobytes() + plan.seeds.tobytes()
