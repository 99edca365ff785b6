"""The corpus through a running gateway."""

from __future__ import annotations

from dataclasses import replace

import grpc
from corpus.case import JPEG, PNG, TIFF, WEBP, Accepted, Case, Either, Expected, Refused, Sized
from corpus.verdicts import Read, Turned, disagreement
from in_process import Client, raw, refusal, request
from messages import raw_mask, raw_pixels

from hndsr.v1 import upscale_pb2 as pb

SCALE = 2
FORMATS = {
    pb.IMAGE_FORMAT_RAW: "raw",
    pb.IMAGE_FORMAT_PNG: PNG,
    pb.IMAGE_FORMAT_JPEG: JPEG,
    pb.IMAGE_FORMAT_WEBP: WEBP,
    pb.IMAGE_FORMAT_TIFF: TIFF,
}
OVERSHOOT = 2
"""Bicubic interpolation makes a difference of one level at most so many."""


async def upscaled(client: Client, image: bytes | pb.RawImage) -> Read | Turned:
    """What the gateway answers: raw pixels twice as large, or a refusal."""
    asked = request(image, scale=str(SCALE), output_format=pb.IMAGE_FORMAT_RAW)
    call = client.upscale.Upscale(asked)
    try:
        answer = await call
    except grpc.aio.AioRpcError:
        said = await refusal(call)
        return Turned(said.reason, said.text)
    source_format = FORMATS[answer.metadata.source_format]
    return Read(raw_pixels(answer.raw), source_format, mask=raw_mask(answer.raw))


async def wrong(client: Client, case: Case) -> str:
    """What is wrong with the answer to a case, or nothing."""
    outcome = await upscaled(client, case.content)
    if isinstance(outcome, Turned):
        return disagreement(case.expected, outcome)
    return disagreement(await _enlarged(client, case.expected), outcome)


async def _enlarged(client: Client, expected: Expected | Sized) -> Expected | Sized:
    """What is expected of an accepted file's answer: what the gateway makes of its pixels without a file."""
    if isinstance(expected, Either):
        return await _enlarged(client, expected.accepted)
    if isinstance(expected, Refused):
        return expected
    if isinstance(expected, Sized):
        return replace(expected, size=(SCALE * expected.size[0], SCALE * expected.size[1]))
    return await _enlarged_pixels(client, expected)


async def _enlarged_pixels(client: Client, source: Accepted) -> Accepted:
    mask = None if source.valid.all() else source.valid
    target = await upscaled(client, raw(source.pixels, mask))
    assert isinstance(target, Read), f"raw pixels were refused: {target}"
    return Accepted(target.pixels, source.format, mask=target.mask, tolerance=OVERSHOOT * source.tolerance)
