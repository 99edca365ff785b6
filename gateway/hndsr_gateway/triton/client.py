"""One Triton: tiles and descriptions over its gRPC protocol."""

from __future__ import annotations

import json
import logging
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.masks import pack_mask, unpack_mask
from hndsr_ensemble.tiles import TileStats
from hndsr_gateway.errors import (
    BackendMismatchError,
    GatewayError,
    NotFiniteError,
    RevisionChangedError,
    UnavailableError,
)
from hndsr_gateway.types import ModelDescription, Raster, TileRequest, TileResponse

logger = logging.getLogger(__name__)

TILING_MODEL = "hndsr"
PIXELS = {"uint8": "PIXELS_U8", "uint16": "PIXELS_U16"}
MAX_MESSAGE_BYTES = 2**31 - 1
MAX_RECONNECT_BACKOFF_MS = 2000


class TritonBackend:
    """One Triton endpoint.

    Args:
        address: of its gRPC service, `HOST:PORT`.
        describe_timeout_s: how long a description may take.
        tile_timeout_s: how long a tile may take.
    """

    def __init__(self, address: str, *, describe_timeout_s: float, tile_timeout_s: float) -> None:
        self._client = triton.InferenceServerClient(
            address,
            channel_args=[
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_reconnect_backoff_ms", MAX_RECONNECT_BACKOFF_MS),
            ],
        )
        self._address, self._said = address, ""
        self._describe_timeout_s, self._tile_timeout_s = describe_timeout_s, tile_timeout_s
        self._tiles = 0
        self._proven: list[ModelDescription] | None = None

    async def close(self) -> None:
        """Close the channel."""
        await self._client.close()

    async def describe(self) -> list[ModelDescription]:
        """All models, each after its probe passed.

        A question would wait behind the tiles, so while some are in Triton, and none failed since it last answered,
        that answer holds: the tiles themselves tell, within their own timeout.

        Raises:
            UnavailableError: if one of them cannot answer; the cause is logged.
        """
        if not self._tiles or self._proven is None:
            self._proven = None
            self._proven = await self._describe()
        return self._proven

    async def _describe(self) -> list[ModelDescription]:
        result = await self._infer({}, ["DESCRIPTION"], timeout_s=self._describe_timeout_s)
        try:
            return [_description(entry) for entry in json.loads(result.as_numpy("DESCRIPTION")[0])["models"]]
        except (IndexError, KeyError, TypeError, ValueError) as error:
            logger.exception("Triton describes its models in another way; it may be of another version of hndsr")
            raise UnavailableError from error

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile; cancelling the call stops it before its next window batch.

        Raises:
            RevisionChangedError: if the model is of another revision than the tile asks for.
            BackendMismatchError: if it refuses the tile as such.
            UnavailableError: if it cannot answer, or not in time; the cause is logged.
        """
        name = PIXELS[tile.raster.pixels.dtype.name]
        self._tiles += 1
        try:
            result = await self._infer(
                _tensors(name, tile),
                [name, "MASK", "STATS"],
                timeout_s=self._tile_timeout_s,
                required_revision=tile.revision,
            )
        except (RevisionChangedError, UnavailableError):
            self._proven = None
            raise
        finally:
            self._tiles -= 1
        pixels, packed = result.as_numpy(name), result.as_numpy("MASK")
        mask = unpack_mask(packed, height=pixels.shape[0], width=pixels.shape[1]) if packed.size else None
        return TileResponse(Raster(pixels, mask), TileStats(*(int(value) for value in result.as_numpy("STATS"))))

    async def _infer(
        self, tensors: dict[str, np.ndarray], outputs: list[str], *, timeout_s: float, required_revision: str = ""
    ) -> Any:
        inputs = []
        for name, value in tensors.items():
            tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        requested = [triton.InferRequestedOutput(name) for name in outputs]
        try:
            result = await self._client.infer(TILING_MODEL, inputs, outputs=requested, client_timeout=timeout_s)
        except InferenceServerException as error:
            self._log(f"{error.status()}: {error.message()}")
            raise _translated(error, required_revision) from error
        self._said = ""
        return result

    def _log(self, said: str) -> None:
        """Warn of what goes wrong, once of what goes on: an endpoint that is gone is asked every few seconds."""
        logger.log(logging.DEBUG if said == self._said else logging.WARNING, "Triton at %s: %s", self._address, said)
        self._said = said


def _translated(error: InferenceServerException, required_revision: str) -> GatewayError:
    """Our error for one of Triton's, whose text never goes further than the log."""
    match error.message().partition(":")[0]:
        case "REVISION_CHANGED":
            return RevisionChangedError(required=required_revision, served="another one")
        case "TILE_MISMATCH":
            return BackendMismatchError()
        case "NOT_FINITE":
            return NotFiniteError()
        case _:
            return UnavailableError()


def _tensors(name: str, tile: TileRequest) -> dict[str, np.ndarray]:
    tensors = {
        "MODEL": np.array([tile.model.encode()], dtype=np.object_),
        name: np.ascontiguousarray(tile.raster.pixels),
        "GEOMETRY": tile.geometry.pack(),
        "RANGES": tile.ranges,
        "STEPS": np.array([tile.options.steps], dtype=np.int32),
        "TEXTURE": np.array([tile.options.texture], dtype=np.float32),
        "SEED": np.array([tile.options.seed], dtype=np.uint64),
        "REQUIRED_REVISION": np.array([tile.revision.encode()], dtype=np.object_),
    }
    if tile.raster.mask is not None:
        tensors["MASK"] = pack_mask(tile.raster.mask)
    return tensors


def _description(entry: dict[str, Any]) -> ModelDescription:
    return ModelDescription(
        manifest=Manifest.parse(entry["manifest"]),
        revision=entry["revision"],
        engine=entry["engine"],
        device=entry["device"],
        window_s=entry["window_s"],
        step_s=entry["step_s"],
    )
