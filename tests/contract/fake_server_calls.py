"""Calls that a gateway answers or refuses, and so must the fake server that is shipped."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from in_process import content, png, raw, request, scene
from PIL import Image

from hndsr.v1 import upscale_pb2 as pb

MODEL = "hndsr"
REVISION = "revision-1"

Request = pb.GetModelInfoRequest | pb.PlanUpscaleRequest | pb.UpscaleRequest | pb.CompareRequest


def saved(image: np.ndarray | Image.Image, name: str, **options: Any) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, name, **options)
    return file.getvalue()


def upscale(image: pb.RawImage | bytes, **options: Any) -> pb.UpscaleRequest:
    return request(image, **{"model": MODEL, "scale": "2", **options})


def plan(height_px: int = 20, width_px: int = 30, *, cores_per_tile: int = 0, **parameters: Any) -> Request:
    return pb.PlanUpscaleRequest(
        source_height_px=height_px,
        source_width_px=width_px,
        cores_per_tile=cores_per_tile,
        parameters=pb.UpscaleParameters(**parameters),
    )


def compare(
    image: pb.RawImage | bytes, reference: pb.RawImage | bytes, *, data_range: float = 0.0
) -> pb.CompareRequest:
    first, second = (pb.Image(**content(one)) for one in (image, reference))
    return pb.CompareRequest(image=first, reference=second, data_range=data_range)


def options(**given: Any) -> pb.UpscaleOptions:
    return pb.UpscaleOptions(**given)


def ranges(*given: tuple[float, float]) -> list[pb.ValueRange]:
    return [pb.ValueRange(minimum=minimum, maximum=maximum) for minimum, maximum in given]


PIXELS = scene((20, 30))
WIDE_PIXELS = scene((20, 30), "uint16")
MASK = np.random.default_rng(1).random((20, 30)) < 0.7
ALPHA = np.random.default_rng(2).integers(0, 3, (20, 30), np.uint8) * np.uint8(127)
TRUTH = raw(scene((40, 60)))
RAW, WIDE, MASKED = raw(PIXELS), raw(WIDE_PIXELS), raw(PIXELS, MASK)
GREY_PNG, RGB_PNG, RGBA_PNG = png(PIXELS[..., 0]), png(PIXELS), png(np.dstack([PIXELS, ALPHA]))
OPAQUE_PNG = png(np.dstack([PIXELS, np.full((20, 30), 255, np.uint8)]))
PALETTE_PNG = saved(Image.fromarray(PIXELS).quantize(8), "PNG")
RGB_JPEG, RGB_WEBP, RGB_TIFF = (saved(PIXELS, name) for name in ("JPEG", "WEBP", "TIFF"))
DAMAGED_PNG = RGB_PNG[:200] + bytes([RGB_PNG[200] ^ 1]) + RGB_PNG[201:]
TURNED = Image.Exif()
TURNED[0x0112] = 6


def changed(**fields: Any) -> pb.RawImage:
    message = pb.RawImage()
    message.CopyFrom(RAW)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


PNG, JPEG, WEBP, TIFF, PIXELS_ONLY = (
    pb.IMAGE_FORMAT_PNG,
    pb.IMAGE_FORMAT_JPEG,
    pb.IMAGE_FORMAT_WEBP,
    pb.IMAGE_FORMAT_TIFF,
    pb.IMAGE_FORMAT_RAW,
)

CALLS: dict[str, tuple[Request, str]] = {
    "info": (pb.GetModelInfoRequest(), ""),
    # Parameters
    "plan": (plan(), ""),
    "plan of options": (plan(options=options(steps=0, texture=0.5, seed=7)), ""),
    "plan of a fraction": (plan(scale="22/7"), ""),
    "plan of a decimal": (plan(scale=" 3.140 "), ""),
    "plan of halves": (plan(7, 9, scale="1.5"), ""),
    "plan of 16 cores": (plan(cores_per_tile=16), ""),
    "plan of 17 cores": (plan(cores_per_tile=17), "PLAN_INCOMPATIBLE"),
    "plan of no pixel": (plan(0), "EMPTY_IMAGE"),
    "plan of a long side": (plan(1, 2**20 + 1), "IMAGE_TOO_LARGE"),
    "plan of a whole scene": (plan(100_000, 100_000), ""),
    "plan of another revision": (plan(required_revision="x"), "REVISION_CHANGED"),
    "required revision": (plan(required_revision=REVISION), ""),
    "plan of another model": (plan(model="x"), "MODEL_NOT_FOUND"),
    **{f"scale {scale}": (plan(scale=scale), "SCALE_OUT_OF_RANGE") for scale in ("1", "9", "0", "-2", "wide", "1/0")},
    **{f"scale {scale}": (plan(scale=scale), "SCALE_OUT_OF_RANGE") for scale in ("3.14159265", "2e0", "٣", "2_0/5")},
    "steps 101": (plan(options=options(steps=101)), "OPTION_OUT_OF_RANGE"),
    "texture 9": (plan(options=options(texture=9)), "OPTION_OUT_OF_RANGE"),
    "texture below 0": (plan(options=options(texture=-0.1)), "OPTION_OUT_OF_RANGE"),
    "texture no number": (plan(options=options(texture=float("nan"))), "OPTION_OUT_OF_RANGE"),
    "upscale at scale 9": (upscale(RAW, scale="9"), "SCALE_OUT_OF_RANGE"),
    "upscale with another model": (upscale(RAW, model="x"), "MODEL_NOT_FOUND"),
    "upscale with another revision": (upscale(RAW, required_revision="x"), "REVISION_CHANGED"),
    "upscale with steps 1000": (upscale(RAW, options=options(steps=1000)), "OPTION_OUT_OF_RANGE"),
    "upscale with options": (upscale(RAW, options=options(steps=1)), ""),
    "value ranges": (upscale(WIDE, value_ranges=ranges(*[(0, 3000)] * 3)), ""),
    "one value range": (upscale(RAW, value_ranges=ranges((0, 1))), "VALUE_RANGE_INVALID"),
    "falling value ranges": (upscale(RAW, value_ranges=ranges(*[(9, 1)] * 3)), "VALUE_RANGE_INVALID"),
    "wide value ranges": (upscale(RAW, value_ranges=ranges(*[(0, 256)] * 3)), "VALUE_RANGE_INVALID"),
    "value ranges of no number": (upscale(RAW, value_ranges=ranges(*[(0, float("nan"))] * 3)), "VALUE_RANGE_INVALID"),
    # Pixels
    "8 bits": (upscale(RAW), ""),
    "16 bits": (upscale(WIDE, scale="22/7"), ""),
    "mask": (upscale(MASKED, scale="3.14"), ""),
    "mask of all": (upscale(raw(PIXELS, np.ones_like(MASK))), ""),
    "no image": (pb.UpscaleRequest(), "EMPTY_IMAGE"),
    "no row": (upscale(changed(height_px=0, pixels=b"")), "EMPTY_IMAGE"),
    "no sample type": (upscale(changed(sample_type=0)), "RAW_IMAGE_INVALID"),
    "unknown sample type": (upscale(changed(sample_type=9)), "RAW_IMAGE_INVALID"),
    "missing pixels": (upscale(changed(pixels=RAW.pixels[1:])), "RAW_IMAGE_INVALID"),
    "missing mask": (upscale(changed(mask=b"\xff")), "RAW_IMAGE_INVALID"),
    "large pixels": (upscale(raw(np.zeros((1, 16_000_001, 3), np.uint8))), "IMAGE_TOO_LARGE"),
    "large target": (upscale(raw(np.zeros((1000, 1001, 3), np.uint8)), scale="8"), "IMAGE_TOO_LARGE"),
    # Files
    "grey file": (upscale(GREY_PNG), ""),
    "grey file as pixels": (upscale(GREY_PNG, output_format=PIXELS_ONLY), ""),
    "grey file of 16 bits": (upscale(png(WIDE_PIXELS[..., 0])), ""),
    "grey file as WebP": (upscale(GREY_PNG, output_format=WEBP), ""),
    "palette": (upscale(PALETTE_PNG), ""),
    "transparent colour": (upscale(saved(PIXELS, "PNG", transparency=tuple(PIXELS[0, 0].tolist()))), ""),
    "RGB file": (upscale(RGB_PNG), ""),
    "RGBA file": (upscale(RGBA_PNG, scale="22/7"), ""),
    "RGBA file as pixels": (upscale(RGBA_PNG, output_format=PIXELS_ONLY), ""),
    "RGBA file as WebP": (upscale(RGBA_PNG, output_format=WEBP), ""),
    "RGBA file as TIFF": (upscale(RGBA_PNG, output_format=TIFF), ""),
    "RGBA file as JPEG": (upscale(RGBA_PNG, output_format=JPEG), "OUTPUT_UNSUPPORTED"),
    "opaque RGBA file": (upscale(OPAQUE_PNG), ""),
    "opaque RGBA file as JPEG": (upscale(OPAQUE_PNG, output_format=JPEG), ""),
    "JPEG": (upscale(RGB_JPEG), ""),
    "turned JPEG": (upscale(saved(PIXELS, "JPEG", exif=TURNED)), ""),
    "grey JPEG": (upscale(saved(PIXELS[..., 0], "JPEG")), ""),
    "WebP": (upscale(RGB_WEBP), ""),
    "TIFF": (upscale(RGB_TIFF), ""),
    "empty file": (upscale(b""), "EMPTY_IMAGE"),
    "text": (upscale(b"no image"), "UNSUPPORTED_FORMAT"),
    "GIF": (upscale(saved(PIXELS, "GIF")), "UNSUPPORTED_FORMAT"),
    "float TIFF": (upscale(saved(PIXELS[..., 0].astype(np.float32), "TIFF")), "UNSUPPORTED_FORMAT"),
    "animated PNG": (
        upscale(saved(PIXELS, "PNG", save_all=True, append_images=[Image.fromarray(PIXELS[::-1])])),
        "UNSUPPORTED_FORMAT",
    ),
    "signature of a PNG": (upscale(RGB_PNG[:8]), "IMAGE_DAMAGED"),
    "half a PNG": (upscale(RGB_PNG[:500]), "IMAGE_DAMAGED"),
    "damaged PNG": (upscale(DAMAGED_PNG), "IMAGE_DAMAGED"),
    "half a JPEG": (upscale(RGB_JPEG[:300]), "IMAGE_DAMAGED"),
    "half a WebP": (upscale(RGB_WEBP[:300]), "IMAGE_DAMAGED"),
    "half a TIFF": (upscale(RGB_TIFF[:300]), "IMAGE_DAMAGED"),
    "large file": (upscale(png(np.zeros((6000, 6000), np.uint8))), "IMAGE_TOO_LARGE"),
    "file of a large target": (upscale(png(np.zeros((1000, 1001), np.uint8)), scale="8"), "IMAGE_TOO_LARGE"),
    # Formats
    "pixels as PNG": (upscale(RAW, output_format=PNG), ""),
    "mask as PNG": (upscale(MASKED, output_format=PNG), ""),
    "mask of 16 bits as PNG": (upscale(raw(WIDE_PIXELS, MASK), output_format=PNG), ""),
    "mask as JPEG": (upscale(MASKED, output_format=JPEG), "OUTPUT_UNSUPPORTED"),
    "mask of all as JPEG": (upscale(raw(PIXELS, np.ones_like(MASK)), output_format=JPEG), ""),
    "16 bits as PNG": (upscale(WIDE, output_format=PNG), ""),
    "16 bits as JPEG": (upscale(WIDE, output_format=JPEG), "OUTPUT_UNSUPPORTED"),
    "16 bits as WebP": (upscale(WIDE, output_format=WEBP), "OUTPUT_UNSUPPORTED"),
    "wide WebP": (upscale(raw(np.zeros((1, 8200, 3), np.uint8)), output_format=WEBP), "OUTPUT_UNSUPPORTED"),
    "unknown format": (upscale(RAW, output_format=99), "OUTPUT_UNSUPPORTED"),
    "quality of pixels": (upscale(RAW, encoding={"quality": 50}), "OUTPUT_UNSUPPORTED"),
    "lossless pixels of a file": (
        upscale(RGB_PNG, output_format=PIXELS_ONLY, encoding={"lossless": True}),
        "OUTPUT_UNSUPPORTED",
    ),
    "quality of PNG": (upscale(RGB_PNG, encoding={"quality": 50}), "OUTPUT_UNSUPPORTED"),
    "lossless PNG": (upscale(RGB_PNG, encoding={"lossless": True}), ""),
    "lossy PNG": (upscale(RGB_PNG, encoding={"lossless": False}), "OUTPUT_UNSUPPORTED"),
    "lossless JPEG": (upscale(RAW, output_format=JPEG, encoding={"lossless": True}), "OUTPUT_UNSUPPORTED"),
    "JPEG of quality 0": (upscale(RAW, output_format=JPEG, encoding={"quality": 0}), "OPTION_OUT_OF_RANGE"),
    "JPEG of quality 101": (upscale(RAW, output_format=JPEG, encoding={"quality": 101}), "OPTION_OUT_OF_RANGE"),
    "JPEG of quality 100": (upscale(RAW, output_format=JPEG, encoding={"quality": 100}), ""),
    "lossless WebP of a quality": (
        upscale(RAW, output_format=WEBP, encoding={"lossless": True, "quality": 50}),
        "OUTPUT_UNSUPPORTED",
    ),
    "lossy WebP": (upscale(RAW, output_format=WEBP, encoding={"lossless": False}), ""),
    # References
    "reference": (upscale(RAW, reference=TRUTH), ""),
    "reference of value ranges": (
        upscale(WIDE, reference=raw(scene((40, 60), "uint16")), value_ranges=ranges((0, 9), (100, 3000), (0, 9))),
        "",
    ),
    "reference of another size": (upscale(RAW, reference=RAW), "REFERENCE_MISMATCH"),
    "reference of another type": (upscale(WIDE, reference=TRUTH), "REFERENCE_MISMATCH"),
    "reference that is cut off": (upscale(RAW, reference=RGB_PNG[:500]), "IMAGE_DAMAGED"),
    "reference without bytes": (upscale(RAW, reference=b""), "EMPTY_IMAGE"),
    "reference without pixels": (upscale(RAW, reference=changed(pixels=b"")), "RAW_IMAGE_INVALID"),
    "compare": (compare(RAW, raw(255 - PIXELS)), ""),
    "compare files": (compare(RGB_PNG, RAW), ""),
    "compare small images": (compare(raw(PIXELS[:9, :9]), raw(PIXELS[1:10, :9])), ""),
    "compare smaller images": (compare(raw(PIXELS[:8, :9]), raw(PIXELS[:8, :9])), "REFERENCE_MISMATCH"),
    "compare values of a range": (compare(RAW, raw(255 - PIXELS), data_range=100), ""),
    "compare values beyond their type": (compare(RAW, RAW, data_range=256), "OPTION_OUT_OF_RANGE"),
    "compare values of no range": (compare(RAW, RAW, data_range=-1), "OPTION_OUT_OF_RANGE"),
    "compare two sizes": (compare(RAW, TRUTH), "REFERENCE_MISMATCH"),
    "compare text": (compare(b"text", RAW), "UNSUPPORTED_FORMAT"),
    "compare with text": (compare(RAW, b"text"), "UNSUPPORTED_FORMAT"),
    "compare with nothing": (pb.CompareRequest(image=pb.Image(raw=RAW)), "EMPTY_IMAGE"),
}
"""A request, and the reason for which it is refused, nothing where it is answered."""
