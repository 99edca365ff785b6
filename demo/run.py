"""Upscale a drawn aerial scene, or an image of your own, and show what it is worth: numbers and a picture."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TiffImageFile
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from hndsr_client import Client, HndsrError, Plan, UpscaleMetadata
from hndsr_ensemble.evaluation.comparison import Panel, draw_comparison, find_detail
from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic
from hndsr_ensemble.evaluation.metrics import BORDER_PX, high_frequency_ratio, psnr, ssim
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.scale import Scale, ScaleError

Picture = npt.NDArray[np.uint8]

SCENE_SEED = 4
METHODS = {"prior": ("prior only", 0), "diffusion": ("diffusion, 4 steps", 4)}
"""Name of the file, title and steps of each call."""
TEXTURE = 1.0
DETAIL_PX = 192
MEASURABLE_PX = 128
"""Shortest side of an image that is reduced and restored to measure with it."""
MIN_SCALE, MAX_SCALE = Fraction(3, 2), Fraction(8)
"""What the released models support, known before a service is started."""
MORE_BANDS = frozenset({"RGBA", "RGBa", "RGBX", "LA", "La", "PA", "CMYK"})
"""Pillow's modes with bands that RGB has no place for."""
PNG_DEPTH_AT = 24
"""Where a PNG file has its bits per sample. Source: PNG (Third Edition), 11.2.1."""
OUTPUTS = ("upscaled", "scene", "truth", "source", "bicubic", "prior", "diffusion", "comparison")
"""Names of all pictures that any run writes."""
INTERRUPTED = 130


class ImageFileError(Exception):
    """The image of the command line is no picture this demo reads."""


class TargetTooLargeError(Exception):
    """The upscaled image would have more pixels than the service accepts."""

    def __init__(self, *, target: str, target_px: int, limit_px: int) -> None:
        super().__init__(
            f"the target image of {target} has {target_px} pixels, the service's limit is {limit_px}; take a smaller "
            "image or scale, or set HNDSR_MAX_TARGET_PX where the service starts"
        )


@dataclass(frozen=True)
class Restored:
    """One method's target image and the time it took, transport included."""

    title: str
    picture: Picture
    seconds: float


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return its exit code: 0 done, 1 failed and said why, 2 a wrong command line, 130 Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (HndsrError, ImageFileError, TargetTooLargeError, OSError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("demo: interrupted", file=sys.stderr)
        return INTERRUPTED
    return 0


def run(options: argparse.Namespace) -> None:
    """Make or read the image, call the service, measure, write and print.

    Raises:
        ImageFileError: the image cannot be read.
        TargetTooLargeError: the service does not make images that large.
        HndsrError: the service cannot be started or reached, or refuses.
        OSError: the results cannot be written.
    """
    image = None if options.image is None else read_image(options.image)
    clear_output(options.output)
    with connect(options.target) as client:
        if image is None:
            say(f"drawing an aerial scene of {options.size} x {options.size} px")
            demonstrate(client, render_scene(options.size, options.size, SCENE_SEED), options, truth_name="scene")
            return
        upscale_whole(client, image, options)
        if min(image.shape[:2]) < MEASURABLE_PX:
            say(f"not measured: that takes a known answer, made from an image of {MEASURABLE_PX} px a side or more")
            return
        say("\nHow good is that? Nobody knows your image at a higher resolution, so the same is done one size down:")
        demonstrate(client, middle_of(image, options.size), options, truth_name="truth")


def demonstrate(client: Client, truth: Picture, options: argparse.Namespace, *, truth_name: str) -> None:
    """Reduce a picture by the scale, restore it by every method and compare the results with the picture."""
    scale: Scale = options.scale
    source = reduce_bicubic(truth, scale.numerator, scale.denominator)
    say(f"reduced by {scale} to {size_of(source)}, now restoring it:")
    results, metadata = restore(client, source, scale)
    truth = truth[: results["prior"].picture.shape[0], : results["prior"].picture.shape[1]]
    Console().print(table_of(results, truth))
    say(f"Compared with the truth, {size_of(truth)}, all three bands, {BORDER_PX} px of border left out.")
    say(f"{metadata.model} {metadata.revision[:12]}: {metadata.engine} on {metadata.device}, {windows_of(metadata)}")
    pictures = {truth_name: truth, "source": source, **{name: result.picture for name, result in results.items()}}
    pictures["comparison"] = compare(source, results, truth, scale)
    for name, picture in pictures.items():
        Image.fromarray(picture).save(options.output / f"{name}.png")
    say(f"written to {options.output}: {', '.join(f'{name}.png' for name in pictures)}")


def restore(client: Client, source: Picture, scale: Scale) -> tuple[dict[str, Restored], UpscaleMetadata]:
    """Results by the name of their file, bicubic first, and what the last call says of itself."""
    results = {}
    for name, (title, steps) in METHODS.items():
        say(f"  {title} ...")
        start = time.perf_counter()
        answer = client.upscale(source, scale=str(scale), steps=steps, texture=TEXTURE, seed=0)
        results[name] = Restored(title, answer.image.astype(np.uint8), time.perf_counter() - start)
    start = time.perf_counter()
    bicubic = enlarge_bicubic(source, scale)
    return {"bicubic": Restored("bicubic", bicubic, time.perf_counter() - start), **results}, answer.metadata


def upscale_whole(client: Client, image: Picture, options: argparse.Namespace) -> None:
    """Upscale the user's own image with the service's default options and write it.

    Raises:
        TargetTooLargeError: the service does not make images that large.
    """
    scale = str(options.scale)
    plan = client.plan(*image.shape[:2], scale=scale)
    target = f"{plan.target_width_px} x {plan.target_height_px} px"
    check_target(plan, target, limit_px=client.info().limits.max_target_px)
    say(f"upscaling {size_of(image)} to {target}, about {plan.estimated_time_s:.0f} s ...")
    answer = client.upscale(image, scale=scale)
    path = options.output / "upscaled.png"
    Image.fromarray(answer.image).save(path)
    used = answer.metadata.options
    say(f"written to {path}: steps {used.steps}, texture {used.texture}, {answer.metadata.latency_s:.1f} s")


def check_target(plan: Plan, target: str, *, limit_px: int) -> None:
    """Return if the service makes target images of this size.

    Raises:
        TargetTooLargeError: it does not.
    """
    target_px = plan.target_height_px * plan.target_width_px
    if target_px > limit_px:
        raise TargetTooLargeError(target=target, target_px=target_px, limit_px=limit_px)


def clear_output(folder: Path) -> None:
    """Make the folder and remove what an earlier run wrote into it, so that all pictures there are of one run."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in OUTPUTS:
        (folder / f"{name}.png").unlink(missing_ok=True)


def table_of(results: Mapping[str, Restored], truth: Picture) -> Table:
    """One row per method."""
    table = Table(box=SIMPLE)
    table.add_column("method")
    for heading in ("PSNR dB", "SSIM", "high-frequency ratio", "seconds"):
        table.add_column(heading, justify="right")
    for result in results.values():
        fidelity, similarity, sharpness = (
            measure(result.picture, truth) for measure in (psnr, ssim, high_frequency_ratio)
        )
        table.add_row(result.title, f"{fidelity:.2f}", f"{similarity:.3f}", f"{sharpness:.3f}", f"{result.seconds:.3f}")
    return table


def compare(source: Picture, results: Mapping[str, Restored], truth: Picture, scale: Scale) -> Picture:
    """The picture of all methods at the place with the most detail."""
    panels = [Panel(f"source, enlarged {scale} times", source)]
    panels += [
        Panel(f"{result.title}: {psnr(result.picture, truth):.2f} dB", result.picture) for result in results.values()
    ]
    return draw_comparison(
        Panel(f"source, {size_of(source)}", source),
        [*panels, Panel("truth", truth)],
        find_detail(truth, DETAIL_PX),
        target_width=truth.shape[1],
        target_height=truth.shape[0],
    )


def connect(target: str | None) -> Client:
    """A client of a running service, or of one started here for as long as the demo runs."""
    if target is not None:
        return Client(target)
    say("starting Triton and the gateway on this machine ...")
    return Client.embedded()


def read_image(path: Path) -> Picture:
    """An image file as 8-bit RGB, turned as its camera was held; what that leaves out is said.

    Raises:
        ImageFileError: it is missing, broken, too large to trust, or has more than 8 bits.
    """
    try:
        with Image.open(path) as file:
            if has_deep_samples(file, path):
                raise ImageFileError(
                    f"{path} has more than 8 bits a sample; pass a uint16 array to the Python SDK instead"
                )
            if file.mode in MORE_BANDS or "transparency" in file.info:
                say(f"{path} has transparency or a fourth band ({file.mode}): only its colours are upscaled")
            return np.asarray(ImageOps.exif_transpose(file).convert("RGB"))
    except UnidentifiedImageError as error:
        raise ImageFileError(f"{path} is no image that Pillow can read") from error
    except OSError as error:
        raise ImageFileError(f"{path} cannot be read: {error.strerror or error}") from error
    except (Image.DecompressionBombError, SyntaxError) as error:
        raise ImageFileError(f"{path} cannot be read: {error}") from error


def has_deep_samples(file: Image.Image, path: Path) -> bool:
    """Whether an image has more than 8 bits a sample, which Pillow cuts off where there are several bands."""
    if file.format == "PNG":
        with path.open("rb") as content:
            return content.read(PNG_DEPTH_AT + 1)[PNG_DEPTH_AT] > 8
    depths = file.tag_v2.get(BITSPERSAMPLE, (1,)) if isinstance(file, TiffImageFile) else (1,)
    return file.mode.startswith(("I", "F")) or max(depths) > 8


def middle_of(image: Picture, size_px: int) -> Picture:
    """The middle of an image, at most `size_px` a side."""
    top, left = (max(0, (side - size_px) // 2) for side in image.shape[:2])
    return image[top : top + size_px, left : left + size_px]


def size_of(image: Picture) -> str:
    """Width and height, for people."""
    return f"{image.shape[1]} x {image.shape[0]} px"


def windows_of(metadata: UpscaleMetadata) -> str:
    """How much was computed, and how much of it was known."""
    return f"windows of the last call: {metadata.windows}, {metadata.computed_windows} of them computed"


def say(line: str) -> None:
    """Print at once, also into a pipe."""
    print(line, flush=True)


def _scale(text: str) -> Scale:
    try:
        scale = Scale.parse(text)
    except ScaleError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not MIN_SCALE <= scale.fraction <= MAX_SCALE:
        raise argparse.ArgumentTypeError(f"{text} is not from {float(MIN_SCALE):g} to {float(MAX_SCALE):g}")
    return scale


def _size(text: str) -> int:
    if not text.isdecimal() or not MEASURABLE_PX <= int(text) <= 4096:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from {MEASURABLE_PX} to 4096")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--image", type=Path, metavar="PATH", help="your own image; without it a scene is drawn")
    parser.add_argument("--scale", type=_scale, default="4", help="target pixels per source pixel (default 4)")
    parser.add_argument(
        "--size", type=_size, default="1024", metavar="PX", help="side of what is measured on (default 1024)"
    )
    parser.add_argument("--output", type=Path, default=Path("out/demo"), metavar="FOLDER", help="default out/demo")
    parser.add_argument("--target", metavar="HOST:PORT", help="a running service, instead of one started here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
