"""Requests from arguments."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.parameters import put
from hndsr_client._core.pixels import Mask, to_raw
from hndsr_client.errors import ArgumentError, ImageTooLargeError

SampleType = Literal["uint8", "uint16"]
FileFormat = Literal["png", "jpeg", "webp", "tiff"]
Priority = Literal["interactive", "batch"]
"""Whose turn comes first of what waits: what somebody waits for, before what nobody does."""
Content = npt.NDArray[Any] | bytes
"""An array, or an image file's content."""

MAX_MESSAGE_BYTES = 512 * 1024 * 1024

_SAMPLE_TYPES = {"uint8": pb.SAMPLE_TYPE_UINT8, "uint16": pb.SAMPLE_TYPE_UINT16}
_PRIORITIES = {"interactive": pb.PRIORITY_INTERACTIVE, "batch": pb.PRIORITY_BATCH}
_FORMATS = {
    "png": pb.IMAGE_FORMAT_PNG,
    "jpeg": pb.IMAGE_FORMAT_JPEG,
    "webp": pb.IMAGE_FORMAT_WEBP,
    "tiff": pb.IMAGE_FORMAT_TIFF,
}


def plan_request(
    height_px: int,
    width_px: int,
    parameters: pb.UpscaleParameters,
    *,
    sample_type: SampleType | None = None,
    cores_per_tile: int | None = None,
) -> pb.PlanUpscaleRequest:
    """The request for the plan of an image of this size; None leaves a field to the server.

    Raises:
        ArgumentError: An argument that the message cannot carry.
    """
    request = pb.PlanUpscaleRequest(parameters=parameters)
    put(request, source_height_px=height_px, source_width_px=width_px, cores_per_tile=cores_per_tile)
    if sample_type is not None:
        request.sample_type = _sample_type(sample_type)
    return request


def upscale_request(
    image: Content,
    parameters: pb.UpscaleParameters,
    *,
    mask: Mask | None = None,
    reference: Content | None = None,
    priority: Priority | None = None,
    allow_degraded: bool = False,
    output_format: pb.ImageFormat = pb.IMAGE_FORMAT_RAW,
) -> pb.UpscaleRequest:
    """The request to upscale an image and, if there is a reference, to say how close the result comes to it.

    Raises:
        ArgumentError: The image, its mask or the reference cannot be sent, or the priority is none.
    """
    check_size(_size_bytes(image) + (0 if reference is None else _size_bytes(reference, of="reference")))
    request = pb.UpscaleRequest(parameters=parameters, output_format=output_format, **_fields(image, mask))
    put(request, allow_degraded=allow_degraded)
    request.priority = priority_message(priority)
    if reference is not None:
        request.reference.MergeFrom(pb.Image(**_fields(reference)))
    return request


def compare_request(image: Content, reference: Content, *, data_range: float | None = None) -> pb.CompareRequest:
    """The request to say how close an image comes to a reference.

    Raises:
        ArgumentError: One of them cannot be sent, or the data range is no number above 0.
    """
    check_size(_size_bytes(image) + _size_bytes(reference, of="reference"))
    request = pb.CompareRequest(image=pb.Image(**_fields(image)), reference=pb.Image(**_fields(reference)))
    if data_range is not None:
        request.data_range = _checked_data_range(data_range)
    return request


def priority_message(priority: Priority | None) -> pb.Priority:
    """A priority; None: the server's choice for such a call.

    Raises:
        ArgumentError: No such priority.
    """
    if priority is not None and (not isinstance(priority, str) or priority not in _PRIORITIES):
        raise ArgumentError(f"priority is {priority!r}, accepted are 'interactive' and 'batch'")
    return pb.PRIORITY_UNSPECIFIED if priority is None else _PRIORITIES[priority]


def _checked_data_range(data_range: float) -> float:
    is_number = isinstance(data_range, (int, float, np.integer, np.floating)) and not isinstance(data_range, bool)
    if not is_number or not data_range > 0:
        raise ArgumentError(f"data_range is {data_range!r}, accepted is a number above 0")
    return float(data_range)


def put_encoding(request: pb.UpscaleRequest, *, quality: int | None, lossless: bool | None) -> None:
    """Say how the answer's file is made; None leaves a field to its format.

    Raises:
        ArgumentError: An argument that the message cannot carry.
    """
    if quality is not None or lossless is not None:
        put(request.encoding, quality=quality, lossless=lossless)


def output_format(image: Content, file_format: FileFormat | None) -> pb.ImageFormat:
    """The format of the answer's file; None: the source's own, or PNG for an array, which holds whatever can be sent.

    Raises:
        ArgumentError: No such format.
    """
    if file_format is None:
        return pb.IMAGE_FORMAT_PNG if isinstance(image, np.ndarray) else pb.IMAGE_FORMAT_UNSPECIFIED
    if not isinstance(file_format, str) or file_format not in _FORMATS:
        raise ArgumentError(f"format is {file_format!r}, accepted are 'png', 'jpeg', 'webp' and 'tiff'")
    return _FORMATS[file_format]


def check_size(size_bytes: int) -> None:
    """Refuse what no message can carry.

    Raises:
        ImageTooLargeError: Larger than `MAX_MESSAGE_BYTES`.
    """
    if size_bytes > MAX_MESSAGE_BYTES:
        raise ImageTooLargeError(size_bytes=size_bytes, limit_bytes=MAX_MESSAGE_BYTES)


def _size_bytes(image: Content, *, of: str = "image") -> int:
    if not isinstance(image, (np.ndarray, bytes)):
        raise ArgumentError(f"the {of} is {type(image).__name__}, accepted are an array, bytes and a path")
    return image.nbytes if isinstance(image, np.ndarray) else len(image)


def _fields(image: Content, mask: Mask | None = None) -> dict[str, Any]:
    """The one field that holds the image, by its name in every message that has one."""
    if isinstance(image, np.ndarray):
        return {"raw": to_raw(image, mask)}
    if mask is not None:
        raise ArgumentError("a mask goes with an array only; decode the image file to send one")
    return {"encoded": image}


def _sample_type(sample_type: SampleType) -> pb.SampleType:
    if not isinstance(sample_type, str) or sample_type not in _SAMPLE_TYPES:
        raise ArgumentError(f"sample_type is {sample_type!r}, accepted is 'uint8' or 'uint16'")
    return _SAMPLE_TYPES[sample_type]
