"""Where each tensor lies in a safetensors file, so that ONNX can refer to it there."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnx import TensorProto

DTYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
LENGTH_BYTES = 8


class StoredTensor(NamedTuple):
    """One tensor of a weights file."""

    dtype: int
    """Its `TensorProto` element type."""
    shape: tuple[int, ...]
    offset_bytes: int
    """From the start of the file."""
    length_bytes: int


def read_index(path: Path) -> dict[str, StoredTensor]:
    """All tensors of a safetensors file by name; only its header is read.

    Source: safetensors' format: an 8-byte little-endian length, a JSON header of that length, the tensors' bytes.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return {name: _stored(entry, LENGTH_BYTES + length) for name, entry in header.items()}


def external_tensor(name: str, stored: StoredTensor, location: str) -> onnx.TensorProto:
    """An ONNX initializer without bytes of its own; it points into the file `location` beside the model.

    Source: ONNX IR, external tensor data.
    """
    tensor = TensorProto(name=name, data_type=stored.dtype, dims=stored.shape, data_location=TensorProto.EXTERNAL)
    where = {"location": location, "offset": stored.offset_bytes, "length": stored.length_bytes}
    for key, value in where.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def _stored(entry: dict[str, Any], base_bytes: int) -> StoredTensor:
    begin, end = entry["data_offsets"]
    return StoredTensor(DTYPES[entry["dtype"]], tuple(entry["shape"]), base_bytes + begin, end - begin)
