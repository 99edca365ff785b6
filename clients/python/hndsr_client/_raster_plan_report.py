"""What upscaling a raster would take, as text for people and as JSON for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from hndsr_client._raster.description import Raster
from hndsr_client._raster.results import RasterPlan
from hndsr_client._raster_report import bytes_text, size_text
from hndsr_client._report import SPANS, count, plain, short


@dataclass(frozen=True)
class PlannedScene:
    """What upscaling a raster would take, and of what."""

    source: str
    destination: str | None
    raster: Raster
    plan: RasterPlan

    @property
    def missing_bytes(self) -> int:
        """How much room there is too little; an earlier run may have taken some of it already."""
        if self.destination is None:
            return 0
        return max(self.plan.unallocated_bytes + self.plan.target_bytes - self.plan.free_bytes, 0)


def raster_plan_text(planned: PlannedScene) -> str:
    """What there is, what would be made of it, and what that takes."""
    plan = planned.plan.plan
    written = sum(len(bands) for bands in _written(planned.plan.triples))
    target = "target" if planned.destination is None else planned.destination
    made = (
        f"{size_text(plan.target_height_px, plan.target_width_px)}, {count(written, 'band')} "
        f"of {planned.plan.dtype}{_validity(planned.plan.validity)}, {plan.model} {short(plan.revision)}"
    )
    lines = [
        f"{planned.source}: {_source(planned)}",
        f"{target}: {made}",
        f"bands: {' and '.join(','.join(map(str, triple)) for triple in planned.plan.triples)}",
        f"tiles: {_tiles(planned.plan)}",
        f"time: {_time(planned.plan)}",
        *_disk(planned),
    ]
    return "\n".join(lines)


def raster_plan_json(planned: PlannedScene, *, event: str | None = None, indent: int | None = None) -> str:
    """The same as one JSON object; tiles are counted, not listed."""
    kind = {} if event is None else {"event": event}
    return json.dumps(plain(kind | _planned_facts(planned)), default=str, indent=indent)


def crs_name(wkt: str | None) -> str | None:
    """What people call a coordinate reference system."""
    name = re.search(r'\["([^"]*)"', wkt or "")
    if name is None:
        return None
    code = re.search(r'ID\["(\w+)",\s*"?(\w+)"?\]\s*\]\s*$', wkt or "")
    return name[1] if code is None else f"{name[1]} ({code[1]}:{code[2]})"


def _planned_facts(planned: PlannedScene) -> dict[str, object]:
    facts = asdict(planned.plan)
    facts["plan"] = {name: value for name, value in facts["plan"].items() if name not in SPANS}
    raster = planned.raster
    source = {
        "height_px": raster.size_px[0],
        "width_px": raster.size_px[1],
        "bands": len(raster.bands),
        "dtype": raster.dtype,
        "crs": crs_name(raster.georeference.crs),
        "nodata": [band.nodata for band in raster.bands],
        "validity": raster.validity,
    }
    return {
        "source": planned.source,
        "destination": planned.destination,
        "raster": source,
        **facts,
        "missing_bytes": planned.missing_bytes,
    }


def _source(planned: PlannedScene) -> str:
    raster, plan = planned.raster, planned.plan.plan
    part = plan.source_height_px, plan.source_width_px
    facts = [
        size_text(*raster.size_px),
        f"of which {part[0]} x {part[1]} px are read" if part != tuple(raster.size_px) else "",
        f"{count(len(raster.bands), 'band')} of {raster.dtype}",
        "alpha" if raster.alpha is not None else "",
        crs_name(raster.georeference.crs) or "no coordinate reference system",
        _nodata(raster),
    ]
    return ", ".join(filter(None, facts))


def _nodata(raster: Raster) -> str:
    values = list(dict.fromkeys("none" if band.nodata is None else f"{band.nodata:.17g}" for band in raster.bands))
    if values == ["none"]:
        return "no nodata value"
    return f"nodata {values[0]}" if len(values) == 1 else f"nodata by band {', '.join(values)}"


def _validity(validity: str) -> str:
    words: Mapping[str, str] = {
        "nodata": ", invalid pixels are nodata",
        "mask": ", with a mask",
        "alpha": ", with alpha",
    }
    return words.get(validity, "")


def _written(triples: Sequence[tuple[int, ...]]) -> list[set[int]]:
    """The bands that each triple adds to the target."""
    seen: set[int] = set()
    added = []
    for triple in triples:
        added.append(set(triple) - seen)
        seen |= set(triple)
    return added


def _tiles(plan: RasterPlan) -> str:
    rows, columns = len(plan.plan.row_spans), len(plan.plan.column_spans)
    times = f", {len(plan.triples)} times three bands" * (len(plan.triples) > 1)
    left = f"; an earlier run has left {plan.left_tiles:,} of them" * bool(plan.left_tiles)
    return f"{plan.tiles:,} ({rows:,} x {columns:,}{times}){left}"


def _time(plan: RasterPlan) -> str:
    about = f"about {_duration(plan.estimated_s)} before it is written"
    if plan.measured_tile_s is None:
        return f"{about} if the server is idle"
    return f"{about} (measured: a tile took {plan.measured_tile_s:.3g} s)"


def _disk(planned: PlannedScene) -> list[str]:
    plan = planned.plan
    work = f"disk: {bytes_text(plan.work_bytes)} for work files, about {bytes_text(plan.target_bytes)} for the target"
    if planned.destination is None:
        return [work]
    missing = f"it will not fit: {bytes_text(planned.missing_bytes)} are missing"
    return [f"{work}, {bytes_text(plan.free_bytes)} free", *([missing] if planned.missing_bytes else [])]


def _duration(seconds: float) -> str:
    return f"{seconds:.3g} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
