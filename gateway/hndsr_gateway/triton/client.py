"""One Triton: tiles and descriptions over its gRPC protocol."""

from __future__ import annotations

import contextlib
import json
import logging
import math
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import tritonclient.grpc.aio as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.manifest import Manifest
from hndsr_ensemble.masks import pack_mask, unpack_mask
from hndsr_ensemble.tiles import TileGeometry, TileStats
from hndsr_gateway.errors import (
    BackendMismatchError,
    GatewayError,
    NotFiniteError,
    RevisionChangedError,
    UnavailableError,
)
from hndsr_gateway.telemetry import metrics
from hndsr_gateway.telemetry.tracing import span
from hndsr_gateway.triton.infer_span import InferCall, infer_span
from hndsr_gateway.triton.lending import Passage, RegionLender, RegionLostError
from hndsr_gateway.triton.region_pool import RegionPool
from hndsr_gateway.triton.registrar import TritonRegistrar
from hndsr_gateway.types import ModelDescription, Raster, TileRequest, TileResponse

logger = logging.getLogger(__name__)

TILING_MODEL = "hndsr"
BANDS = 3
PIXELS = {"uint8": "PIXELS_U8", "uint16": "PIXELS_U16"}
MAX_MESSAGE_BYTES = 2**31 - 1
FIRST_RECONNECT_MS, LONGEST_RECONNECT_MS = 250, 1000
"""Pauses before a lost connection is tried again, the first and the longest: as often as the pool asks."""


class TritonBackend:
    """One Triton endpoint.

    Args:
        address: of its gRPC service, `HOST:PORT` or `unix:PATH`.
        describe_timeout_s: how long a description may take.
        tile_timeout_s: how long a tile may take.
        regions: shared memory for pixels, if this Triton can map it; None: they travel by message.
        headers: metadata that this Triton wants with calls that register shared memory.
    """

    def __init__(
        self,
        address: str,
        *,
        describe_timeout_s: float,
        tile_timeout_s: float,
        regions: RegionPool | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._client = triton.InferenceServerClient(
            address,
            channel_args=[
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.initial_reconnect_backoff_ms", FIRST_RECONNECT_MS),
                ("grpc.max_reconnect_backoff_ms", LONGEST_RECONNECT_MS),
            ],
        )
        self._address, self._said = address, ""
        self._describe_timeout_s, self._tile_timeout_s = describe_timeout_s, tile_timeout_s
        self._tiles = 0
        self._proven: list[ModelDescription] | None = None
        self._windows: dict[str, WindowGeometry] = {}
        self._records = False
        """Whether it can say what it does within a tile."""
        self._lender: RegionLender | None = None
        if regions is not None:
            self._lender = RegionLender(regions, TritonRegistrar(self._client, headers), address=address)

    async def close(self) -> None:
        """Have Triton let go of shared memory, and close the channel."""
        if self._lender is not None:
            await self._lender.close()
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
            self._windows = {model.name: model.manifest.geometry for model in self._proven}
        return self._proven

    async def _describe(self) -> list[ModelDescription]:
        result = await self._infer({}, ["DESCRIPTION"], timeout_s=self._describe_timeout_s)
        try:
            described = json.loads(result.as_numpy("DESCRIPTION")[0])
            self._records = bool(described.get("records"))
            return [_description(entry) for entry in described["models"]]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            logger.exception("Triton describes its models in another way; it may be of another version of hndsr")
            raise UnavailableError from error

    async def upscale(self, tile: TileRequest) -> TileResponse:
        """One tile; cancelling the call stops it before its next window batch.

        Raises:
            RevisionChangedError: if the model is of another revision than the tile asks for.
            BackendMismatchError: if it refuses the tile as such.
            UnavailableError: if it cannot answer, or not in time; the cause is logged.
        """
        self._tiles += 1
        try:
            return await self._upscale(tile)
        except (RevisionChangedError, UnavailableError):
            self._proven = None
            raise
        finally:
            self._tiles -= 1

    async def _upscale(self, tile: TileRequest) -> TileResponse:
        started_s = time.monotonic()
        with infer_span(self._address, tile, records=self._records) as call:
            response = await self._by_some_way(tile, call)
        metrics.tile_duration.record(time.monotonic() - started_s, {"model": tile.model})
        return response

    async def _by_some_way(self, tile: TileRequest, call: InferCall) -> TileResponse:
        name = PIXELS[tile.raster.pixels.dtype.name]
        target_bytes = self._target_bytes(tile)
        if self._lender is not None and target_bytes:
            way = self._lender.passage(name, source_bytes=tile.raster.pixels.nbytes, target_bytes=target_bytes)
            with contextlib.suppress(RegionLostError):
                async with way as passage:
                    if passage is not None:
                        return await self._through(passage, tile, call)
        result = await self._run(name, tile, call)
        return _response(result, result.as_numpy(name))

    async def _through(self, passage: Passage, tile: TileRequest, call: InferCall) -> TileResponse:
        """One tile whose pixels take a passage."""
        with span("put source"):
            await passage.put(tile.raster.pixels)
        result = await self._run(passage.tensor, tile, call, passage)
        shape = tuple(result.get_output(passage.tensor).shape)
        with span("take target"):
            return _response(result, await passage.take(shape, tile.raster.pixels.dtype))

    async def _run(self, name: str, tile: TileRequest, call: InferCall, passage: Passage | None = None) -> Any:
        call.begin("grpc" if passage is None else "shared_memory")
        result = await self._infer(
            _tensors(name, tile),
            [name, "MASK", "STATS", *call.outputs],
            timeout_s=self._tile_timeout_s,
            required_revision=tile.revision,
            passage=passage,
            headers=call.headers,
        )
        call.end(result)
        return result

    def _target_bytes(self, tile: TileRequest) -> int:
        """What the pixels of a tile's target take; 0 where that cannot be told, and Triton shall say why."""
        window = self._windows.get(tile.model)
        try:
            return 0 if window is None else _target_samples(tile.geometry, window) * tile.raster.pixels.itemsize
        except ValueError:
            return 0

    async def _infer(
        self,
        tensors: dict[str, np.ndarray],
        outputs: list[str],
        *,
        timeout_s: float,
        required_revision: str = "",
        passage: Passage | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        inputs = [_input(name, value, passage) for name, value in tensors.items()]
        requested = [_output(name, passage) for name in outputs]
        try:
            result = await self._client.infer(
                TILING_MODEL, inputs, outputs=requested, client_timeout=timeout_s, headers=dict(headers)
            )
        except InferenceServerException as error:
            if passage is not None and "shared memory" in error.message().lower():
                raise RegionLostError(error.message()) from error
            self._log(f"{error.status()}: {error.message()}")
            raise self._failure(error, required_revision) from error
        self._said = ""
        return result

    def _failure(self, error: InferenceServerException, required_revision: str) -> GatewayError:
        failure = _translated(error, required_revision)
        if self._lender is not None and isinstance(failure, UnavailableError):
            self._lender.was_away()
        return failure

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


def _input(name: str, value: np.ndarray, passage: Passage | None) -> Any:
    tensor = triton.InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
    if passage is not None and name == passage.tensor:
        passage.set_source(tensor)
    else:
        tensor.set_data_from_numpy(value)
    return tensor


def _output(name: str, passage: Passage | None) -> Any:
    tensor = triton.InferRequestedOutput(name)
    if passage is not None and name == passage.tensor:
        passage.set_target(tensor)
    return tensor


def _target_samples(geometry: TileGeometry, window: WindowGeometry) -> int:
    """Samples of a tile's target.

    Raises:
        ValueError: if its cores are not in the image.
    """
    sides = ((geometry.height, geometry.cores[:2]), (geometry.width, geometry.cores[2:]))
    spans = [Axis(length, geometry.scale, window).span(*cores) for length, cores in sides]
    return BANDS * math.prod(span.target_stop - span.target_start for span in spans)


def _response(result: Any, pixels: np.ndarray) -> TileResponse:
    packed = result.as_numpy("MASK")
    mask = unpack_mask(packed, height=pixels.shape[0], width=pixels.shape[1]) if packed.size else None
    return TileResponse(Raster(pixels, mask), TileStats(*(int(value) for value in result.as_numpy("STATS"))))


def _tensors(name: str, tile: TileRequest) -> dict[str, np.ndarray]:
    tensors = {
        "MODEL": np.array([tile.model.encode()], dtype=np.object_),
        name: tile.raster.pixels,
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
