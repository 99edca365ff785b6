"""What each method of a client asks of the server and how it reads the answer: all of it but the sending."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy.typing as npt
from google.protobuf.message import Message
from typing_extensions import Unpack

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import results
from hndsr_client._core import requests, responses
from hndsr_client._core.files import ImageDestination, read_source
from hndsr_client._core.parameters import UpscaleParameters, build_parameters
from hndsr_client._core.pixels import Mask

Image = npt.NDArray[Any] | bytes | str | os.PathLike[str]
"""An array (height, width, 3) of uint8 or uint16, an image file's content, or its path."""
ResultT = TypeVar("ResultT")


class FileOptions(UpscaleParameters, total=False):
    """How each file of a batch is made, as by `Client.upscale_file`."""

    quality: int | None
    lossless: bool | None
    reference: Image | None
    priority: requests.Priority | None
    allow_degraded: bool
    timeout_s: float | None


@dataclass(frozen=True, repr=False)
class Call(Generic[ResultT]):
    """One call: the method of the contract's service, its request, and the reader of its response."""

    method: str
    request: Message
    read: Callable[[Any], ResultT]


def info() -> Call[results.ServiceInfo]:
    """Ask for models and limits."""
    return Call("GetModelInfo", pb.GetModelInfoRequest(), responses.read_info)


def plan(
    height_px: int,
    width_px: int,
    *,
    sample_type: requests.SampleType | None,
    cores_per_tile: int | None,
    **parameters: Unpack[UpscaleParameters],
) -> Call[results.Plan]:
    """Ask for the plan of an image of this size.

    Raises:
        ArgumentError: An argument that the request cannot carry.
    """
    request = requests.plan_request(
        height_px, width_px, build_parameters(**parameters), sample_type=sample_type, cores_per_tile=cores_per_tile
    )
    return Call("PlanUpscale", request, responses.read_plan)


def upscale(
    image: Image,
    *,
    mask: Mask | None,
    reference: Image | None,
    priority: requests.Priority | None,
    allow_degraded: bool,
    **parameters: Unpack[UpscaleParameters],
) -> Call[results.Upscaled]:
    """Ask for the target as an array.

    Raises:
        ArgumentError: An argument that the request cannot carry.
        LocalFileError: The image or the reference cannot be read.
    """
    request = requests.upscale_request(
        _content(image),
        build_parameters(**parameters),
        mask=mask,
        reference=_reference(reference),
        priority=priority,
        allow_degraded=allow_degraded,
    )
    return Call("Upscale", request, responses.read_upscaled)


def upscale_encoded(
    image: Image,
    *,
    mask: Mask | None,
    format: requests.FileFormat | None,  # noqa: A002  the public keyword
    quality: int | None,
    lossless: bool | None,
    reference: Image | None,
    priority: requests.Priority | None,
    allow_degraded: bool,
    **parameters: Unpack[UpscaleParameters],
) -> Call[results.Encoded]:
    """Ask for the target as a file's content.

    Raises:
        ArgumentError: An argument that the request cannot carry.
        LocalFileError: The image or the reference cannot be read.
    """
    content = _content(image)
    request = requests.upscale_request(
        content,
        build_parameters(**parameters),
        mask=mask,
        reference=_reference(reference),
        priority=priority,
        allow_degraded=allow_degraded,
        output_format=requests.output_format(content, format),
    )
    requests.put_encoding(request, quality=quality, lossless=lossless)
    return Call("Upscale", request, responses.read_encoded)


def upscale_file(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    *,
    overwrite: bool,
    format: requests.FileFormat | None,  # noqa: A002  the public keyword
    quality: int | None,
    lossless: bool | None,
    reference: Image | None,
    priority: requests.Priority | None,
    allow_degraded: bool,
    **parameters: Unpack[UpscaleParameters],
) -> Call[results.UpscaleMetadata]:
    """Ask for the target as a file, which reading the answer makes.

    Raises:
        ArgumentError: An argument that the request cannot carry.
        DestinationError: The destination must not be written to.
        LocalFileError: A file cannot be read, or the destination cannot be written.
    """
    kept = reference if isinstance(reference, (str, os.PathLike)) else None
    target = ImageDestination(destination, source=source, reference=kept, overwrite=overwrite, file_format=format)
    call = upscale_encoded(
        Path(source),
        mask=None,
        format=target.format,
        quality=quality,
        lossless=lossless,
        reference=reference,
        priority=priority,
        allow_degraded=allow_degraded,
        **parameters,
    )

    def write(response: pb.UpscaleResponse) -> results.UpscaleMetadata:
        answer = call.read(response)
        target.write(answer.content)
        return answer.metadata

    return Call(call.method, call.request, write)


def compare(image: Image, reference: Image, *, data_range: float | None) -> Call[results.Quality]:
    """Ask how close an image comes to a reference.

    Raises:
        ArgumentError: An image or a data range that the request cannot carry.
        LocalFileError: One of the files cannot be read.
    """
    request = requests.compare_request(_content(image), _content(reference), data_range=data_range)
    return Call("Compare", request, responses.read_quality)


def _content(image: Image) -> requests.Content:
    return read_source(image) if isinstance(image, (str, os.PathLike)) else image


def _reference(reference: Image | None) -> requests.Content | None:
    return None if reference is None else _content(reference)
