"""Batches: pure functions of seed, stage and number, cut and turned as planned, from memory as from files."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from PIL import Image as Picture
from unit.training.toy_images import listed, made_up

from hndsr_ensemble.training.batches import Batch, Batches
from hndsr_ensemble.training.config import DataConfig
from hndsr_ensemble.training.crops import CropSampler, Share
from hndsr_ensemble.training.decoded import DecodedImages
from hndsr_ensemble.training.imagery.manifest import Image, read_manifest
from hndsr_ensemble.training.pixels import (
    ImageReadError,
    NoImagesError,
    ResidentPixels,
    StreamedPixels,
    open_pixels,
    read_rgb,
    usable,
)

CPU = torch.device("cpu")
DATA = DataConfig(crop_px=64, lr_px_min=16, lr_px_max=32, max_origin_px=16)
SIZES_PX = np.array([(80, 96), (64, 64), (100, 72)])
PARTS = ("images", "corners", "flips", "transposed", "origins_px", "seeds")


def sampler(*, stream: str = "prior", seed: int = 0, batch: int = 4, data: DataConfig = DATA) -> CropSampler:
    return CropSampler(SIZES_PX, data, batch=batch, seed=seed, stream=stream)


def images_of(manifest: Path) -> tuple[Image, ...]:
    return read_manifest(manifest).images("train")


def batches(manifest: Path, share: Share | None = None, *, streamed: bool = False) -> Batches:
    kind = StreamedPixels if streamed else ResidentPixels
    pixels = kind(images_of(manifest), workers=2, device=CPU)
    drawn = CropSampler(pixels.sizes_px, DATA, batch=4, seed=3, stream="prior")
    return Batches(pixels, drawn, DATA, share=share or Share(), device=CPU)


def one(manifest: Path, data: DataConfig, *, sources: bool = True) -> Batch:
    pixels = ResidentPixels(images_of(manifest), workers=2, device=CPU)
    drawn = CropSampler(pixels.sizes_px, data, batch=2, seed=3, stream="prior")
    return next(Batches(pixels, drawn, data, share=Share(), device=CPU, sources=sources).between(0, 1))


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [batch.hr, batch.lr, batch.scale, batch.origin, batch.draws.normal((2,)), batch.draws.uniform()]


def test_plan_depends_on_seed_stage_and_number_alone() -> None:
    plan, again = sampler().plan(7), sampler().plan(7)
    assert all(np.array_equal(getattr(plan, name), getattr(again, name)) for name in PARTS)
    others = [sampler().plan(8), sampler(seed=1).plan(7), sampler(stream="diffusion").plan(7)]
    assert all(not np.array_equal(plan.seeds, other.seeds) for other in others)


def test_plan_lies_within_its_images() -> None:
    for number in range(100):
        plan = sampler().plan(number)
        assert (plan.corners >= 0).all()
        assert (plan.corners + plan.crop_px <= SIZES_PX[plan.images]).all()
        assert (plan.origins_px + plan.target_px <= plan.crop_px).all()
        assert (plan.origins_px % DATA.origin_step_px == 0).all()


def test_plan_reaches_every_corner_of_every_image() -> None:
    plans = [sampler().plan(number) for number in range(600)]
    images = np.concatenate([plan.images for plan in plans])
    corners = np.concatenate([plan.corners for plan in plans])
    for image, size in enumerate(SIZES_PX):
        np.testing.assert_array_equal(corners[images == image].max(axis=0), size - DATA.crop_px)


def test_plan_takes_images_in_proportion_to_their_area() -> None:
    images = np.concatenate([sampler().plan(number).images for number in range(1000)])
    share = SIZES_PX.prod(axis=1) / SIZES_PX.prod(axis=1).sum()
    np.testing.assert_allclose(np.bincount(images) / len(images), share, atol=0.03)


def test_plan_keeps_the_shares_of_sizes_and_origins() -> None:
    plans = [sampler().plan(number) for number in range(1000)]
    others = [plan.lr_px for plan in plans if plan.lr_px != 16]
    # One in seventeen of the others is at ×4 too.
    assert np.mean([plan.lr_px == 16 for plan in plans]) == pytest.approx(0.6 + 0.4 / 17, abs=0.04)
    assert (min(others), max(others)) == (17, 32)
    assert np.mean([plan.target_px < 64 for plan in plans]) == pytest.approx(0.5, abs=0.05)
    assert max(plan.origins_px.max() for plan in plans) == DATA.max_origin_px


@pytest.mark.parametrize("streamed", [False, True])
def test_batch_of_several_processes_is_that_of_one(manifest: Path, *, streamed: bool) -> None:
    whole = next(batches(manifest).between(5, 6))
    parts = [next(batches(manifest, Share(rank, 2), streamed=streamed).between(5, 6)) for rank in (0, 1)]
    for one, halves in zip(tensors(whole), zip(*map(tensors, parts), strict=True), strict=True):
        assert torch.equal(one, torch.cat(halves))


def test_batches_read_crop_by_crop_are_those_in_memory(manifest: Path) -> None:
    for one, other in zip(batches(manifest).between(0, 6), batches(manifest, streamed=True).between(0, 6), strict=True):
        assert all(torch.equal(*pair) for pair in zip(tensors(one), tensors(other), strict=True))


def test_crops_are_turned_and_cut_as_planned(manifest: Path) -> None:
    images = images_of(manifest)
    pixels = ResidentPixels(images, workers=1, device=CPU)
    plan = CropSampler(pixels.sizes_px, DATA, batch=16, seed=0, stream="").plan(0)
    for index, crop in enumerate(pixels.crops(plan)):
        top, left = plan.corners[index]
        expected = np.asarray(Picture.open(images[plan.images[index]].path))[top : top + 64, left : left + 64]
        expected = expected[::-1] if plan.flips[index, 0] else expected
        expected = expected[:, ::-1] if plan.flips[index, 1] else expected
        expected = expected.transpose(1, 0, 2) if plan.transposed[index] else expected
        np.testing.assert_array_equal(crop.permute(1, 2, 0).numpy(), expected)


def test_batch_says_where_its_target_begins(manifest: Path) -> None:
    batch = next(one for one in batches(manifest).between(0, 50) if one.hr.shape[-1] < 64)
    assert batch.hr.shape == (4, 3, 48, 48)
    np.testing.assert_allclose((batch.origin * batch.scale[:, None]) % 1, 0, atol=1e-5)
    # The source image shows the whole crop: reduced to the same grid, the target lies in it at its origin.
    pitch = 64 / batch.lr.shape[-1]
    row, column = ((batch.origin[0] * pitch).round().int() + 24).tolist()
    seen = batch.lr[0, :, int(row / pitch), int(column / pitch)]
    assert (seen - batch.hr[0, :, 16:32, 16:32].mean(dim=(1, 2))).abs().max() < 1


def test_source_images_are_made_in_full_precision_whatever_reads_them(manifest: Path) -> None:
    data = DATA.model_copy(update={"degradation": "realistic"})
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = one(manifest, data)
    assert torch.equal(inside.lr, one(manifest, data).lr)


def test_source_images_that_nobody_reads_are_not_made(manifest: Path) -> None:
    with_sources, without = one(manifest, DATA), one(manifest, DATA, sources=False)
    assert without.lr.numel() == 0
    assert torch.equal(without.hr, with_sources.hr)


def test_batches_of_any_numbers_are_those_of_a_row(manifest: Path) -> None:
    row = list(batches(manifest).between(0, 8))
    for number, batch in zip((5, 0, 7, 1, 6, 2), batches(manifest).of([5, 0, 7, 1, 6, 2]), strict=True):
        assert torch.equal(batch.hr, row[number].hr)


def test_grey_and_palette_images_are_read_as_three_bands(tmp_path: Path) -> None:
    colour = Picture.fromarray(made_up(1, 70, 70))
    for name, picture in (("grey", colour.convert("L")), ("palette", colour.convert("P"))):
        path = tmp_path / f"{name}.png"
        picture.save(path)
        np.testing.assert_array_equal(read_rgb(listed(path, "train")), np.asarray(picture.convert("RGB")))


def test_remote_images_are_read_by_fsspec(tmp_path: Path) -> None:
    fsspec = pytest.importorskip("fsspec")
    path = tmp_path / "image.png"
    Picture.fromarray(made_up(1, 70, 70)).save(path)
    fsspec.filesystem("memory").pipe("/images/image.png", path.read_bytes())
    record = listed(path, "train")
    remote = Image(**{name: getattr(record, name) for name in Image.__slots__} | {"path": "memory://images/image.png"})
    np.testing.assert_array_equal(read_rgb(remote), read_rgb(record))


def test_images_that_changed_since_the_manifest_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Picture.fromarray(made_up(1, 70, 70)).save(path)
    record = listed(path, "train")
    Picture.fromarray(made_up(1, 70, 71)).save(path)
    with pytest.raises(ImageReadError, match="71"):
        ResidentPixels([record], workers=1, device=CPU)


def test_images_that_are_gone_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    Picture.fromarray(made_up(1, 70, 70)).save(path)
    record = listed(path, "train")
    path.unlink()
    with pytest.raises(ImageReadError, match=r"image\.png"):
        read_rgb(record)


def test_splits_without_an_image_of_a_crops_size_are_refused(manifest: Path) -> None:
    with pytest.raises(NoImagesError, match="256 x 256"):
        open_pixels(images_of(manifest), DataConfig(), split="train", device=CPU)


def test_images_that_hold_nothing_in_places_are_left_out(manifest: Path) -> None:
    first, second, *_ = images_of(manifest)
    assert usable([first, replace(second, invalid_share=1e-6)], 64) == [first]


def test_streamed_images_are_decoded_once_for_all_their_crops(manifest: Path) -> None:
    images = images_of(manifest)
    pixels = StreamedPixels(images, workers=2, device=CPU, kept_bytes=10**6)
    plans = [CropSampler(pixels.sizes_px, DATA, batch=16, seed=0, stream="").plan(number) for number in range(2)]
    first = pixels.crops(plans[0])
    kept = [Path(images[number].path) for number in np.unique(plans[0].images)]
    contents = [path.read_bytes() for path in kept]
    for path in kept:
        path.unlink()
    again = pixels.crops(plans[0])
    for path, content in zip(kept, contents, strict=True):
        path.write_bytes(content)
    assert torch.equal(first, again)


def test_decoded_images_take_no_more_than_the_limit() -> None:
    images, decoded = DecodedImages(25), []
    for number in (0, 1, 0, 2, 0, 1):
        images.get(number, 10, lambda number=number: decoded.append(number) or np.zeros((1, 1, 3), np.uint8))
    assert decoded == [0, 1, 2, 1]


def test_decoded_images_are_made_by_one_of_the_threads_that_ask() -> None:
    images, began, may_end, decoded = DecodedImages(10), Event(), Event(), []

    def decode() -> np.ndarray:
        decoded.append(None)
        began.set()
        assert may_end.wait(10)
        return np.zeros((1, 1, 3), np.uint8)

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(images.get, 0, 10, decode)
        assert began.wait(10)
        second = pool.submit(images.get, 0, 10, decode)
        may_end.set()
        assert first.result() is second.result()
    assert len(decoded) == 1


def test_decoded_images_that_failed_are_tried_again() -> None:
    images = DecodedImages(10)

    def fail() -> np.ndarray:
        raise ImageReadError(path="a.png", cause="gone")

    with pytest.raises(ImageReadError, match="gone"):
        images.get(0, 1, fail)
    assert images.get(0, 1, lambda: np.ones((1, 1, 3), np.uint8)).all()


@pytest.mark.parametrize(("layout", "by_window"), [({"tiled": True, "blockxsize": 256, "blockysize": 256}, True),
                                                   ({"blockysize": 1100}, False)])  # fmt: skip
def test_tiled_files_are_read_by_windows(tmp_path: Path, layout: dict[str, int], *, by_window: bool) -> None:
    profile = {"driver": "GTiff", "width": 80, "height": 1100, "count": 3, "dtype": "uint8", "compress": "deflate"}
    with rasterio.open(tmp_path / "one.tif", "w", transform=Affine(2, 0, 5, 0, -2, 9), **profile, **layout) as dataset:
        dataset.write(made_up(1, 1100, 80).transpose(2, 0, 1))
    image = listed(tmp_path / "one.tif", "train")
    pixels = StreamedPixels([image], workers=2, device=CPU, kept_bytes=10**6)
    plan = CropSampler(pixels.sizes_px, DATA, batch=4, seed=0, stream="").plan(0)
    pixels.crops(plan)
    (tmp_path / "one.tif").unlink()
    with pytest.raises(ImageReadError) if by_window else nullcontext():
        pixels.crops(plan)


def test_limit_may_be_less_than_the_configured_one(manifest: Path) -> None:
    opened = open_pixels(images_of(manifest), DATA, split="train", device=CPU, limit_bytes=10)
    assert isinstance(opened, StreamedPixels)


@pytest.mark.parametrize(("limit_mib", "kind"), [(1, ResidentPixels), (0, StreamedPixels)])
def test_splits_over_the_limit_stay_on_disk(manifest: Path, limit_mib: int, kind: type) -> None:
    data = DATA.model_copy(update={"resident_limit_mib": limit_mib})
    assert isinstance(open_pixels(images_of(manifest), data, split="train", device=CPU), kind)
