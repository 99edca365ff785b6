"""How the fake cuts an image into tiles, and what such a plan is called."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.digest import plan_digest
from hndsr_client.testing._failures import Refusal, duration_of
from hndsr_client.testing._nearest import nearest, target_px
from hndsr_client.testing._parameters import Served, check_cores, checked

STRIDE_PX, WINDOW_PX = 224, 256
"""Target pixels from one core to the next, and those of a window; a last core takes what no further window is for."""
DEFAULT_CORES = 3
MARGIN_PX = 8
"""Source pixels that a tile takes around those that it shows, so that tiles overlap as a gateway's do."""
MAX_SIDE_PX = 2**22
SAMPLE_TYPES: dict[int, np.dtype[Any]] = {pb.SAMPLE_TYPE_UINT8: np.dtype("u1"), pb.SAMPLE_TYPE_UINT16: np.dtype("<u2")}
TILE_WINDOWS, TILE_S = 9, 2.5
"""What each tile is said to take: windows, and seconds."""


def make_plan(request: pb.PlanUpscaleRequest | pb.StreamStart, served: Served) -> pb.Plan:
    """The tiles of an image, by default of three cores a side.

    Raises:
        Refusal: The parameters or the size cannot be served.
    """
    parameters = checked(request.parameters, served)
    check_cores(request.cores_per_tile)
    size_px = request.source_height_px, request.source_width_px
    if not all(size_px):
        raise Refusal("the request holds no pixel", reason="EMPTY_IMAGE", field="image")
    targets_px = [target_px(side_px, parameters.scale) for side_px in size_px]
    if max(targets_px) > MAX_SIDE_PX:
        message = f"a side of the target has {max(targets_px):,} px, the limit is {MAX_SIDE_PX:,} px"
        raise Refusal(message, reason="IMAGE_TOO_LARGE", field="image")
    cores = request.cores_per_tile or DEFAULT_CORES
    rows, columns = (_spans(side_px, parameters.scale, cores) for side_px in size_px)
    plan = pb.Plan(
        source_height_px=size_px[0],
        source_width_px=size_px[1],
        target_height_px=targets_px[0],
        target_width_px=targets_px[1],
        scale_numerator=parameters.scale.numerator,
        scale_denominator=parameters.scale.denominator,
        model=parameters.model,
        revision=served.revision,
        row_spans=rows,
        column_spans=columns,
        cores_per_tile=cores,
        options=parameters.options,
    )
    sample_type = SAMPLE_TYPES[request.sample_type].name if request.sample_type in SAMPLE_TYPES else ""
    plan.digest = plan_digest(plan, value_ranges=request.parameters.value_ranges, sample_type=sample_type)
    return plan


def plan_facts(plan: pb.Plan) -> dict[str, Any]:
    """What a plan is said to take, as fields of the messages that carry it."""
    tiles = len(plan.row_spans) * len(plan.column_spans)
    return {"windows": tiles * TILE_WINDOWS, "estimated_time": duration_of(tiles * TILE_S)}


def _spans(side_px: int, scale: Fraction, cores_per_tile: int) -> list[pb.Span]:
    target = target_px(side_px, scale)
    cores = max(0, -(-(target - WINDOW_PX) // STRIDE_PX)) + 1
    starts = range(0, cores, cores_per_tile)
    return [_span(start, min(start + cores_per_tile, cores), side_px, scale) for start in starts]


def _span(core_start: int, core_stop: int, side_px: int, scale: Fraction) -> pb.Span:
    target = target_px(side_px, scale)
    last = core_stop * STRIDE_PX + (WINDOW_PX - STRIDE_PX) >= target
    start_px, stop_px = core_start * STRIDE_PX, target if last else core_stop * STRIDE_PX
    shown = nearest(start_px, stop_px, side_px, scale)
    return pb.Span(
        core_start=core_start,
        core_stop=core_stop,
        source_start_px=max(0, int(shown[0]) - MARGIN_PX),
        source_stop_px=min(side_px, int(shown[-1]) + 1 + MARGIN_PX),
        target_start_px=start_px,
        target_stop_px=stop_px,
    )
