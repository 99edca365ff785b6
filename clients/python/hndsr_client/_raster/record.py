"""What a target says of its making, so that it can be checked later: its tag `HNDSR_RECORD`."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from hndsr_client._raster.bands import Triple
from hndsr_client._stream.tiles import Tiles
from hndsr_client.results import Plan

RECORD_TAG = "HNDSR_RECORD"
VERSION = "1"


@dataclass(frozen=True)
class TripleRecord:
    """Bands that were upscaled together."""

    bands: tuple[int, ...]
    """Numbers in the target, from 1. An alpha band belongs to the first triple and is not among them."""
    digest: str
    """Of the plan."""
    checksums: tuple[int, ...]
    """CRC-32 of each tile, row by row of the plan: of its samples (height, width, bands), alpha last, little-endian."""


@dataclass(frozen=True)
class Record:
    """How a target was made, and what its samples were."""

    scale: str
    """Target px per source px, "n/d"."""
    model: str
    revision: str
    steps: int | None
    texture: float | None
    seed: int | None
    rows_px: tuple[int, ...]
    """Where the tiles begin and end: 0, …, the target's height."""
    columns_px: tuple[int, ...]
    triples: tuple[TripleRecord, ...]
    lossless: bool
    """Whether the target's samples are still those of the checksums."""
    masks: tuple[int, ...] = ()
    """CRC-32 of each tile's mask, row by row of the plan: of its bytes (height, width), 255 of a valid pixel, else 0.
    Empty where the target has no mask."""

    @property
    def tiles(self) -> int:
        """Of each triple."""
        return (len(self.rows_px) - 1) * (len(self.columns_px) - 1)

    def text(self) -> str:
        """All of it in one line, which nobody takes for a number or a list: its version, and the rest packed."""
        facts = asdict(self)
        facts["masks"] = _packed(self.masks)
        for triple in facts["triples"]:
            triple["checksums"] = _packed(triple["checksums"])
        return f"{VERSION}:{base64.b64encode(zlib.compress(json.dumps(facts, sort_keys=True).encode())).decode()}"

    @classmethod
    def of(cls, text: str) -> Record:
        """What a target says.

        Raises:
            ValueError: It is damaged, or of another version.
        """
        try:
            record = _record(_facts(text))
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            raise ValueError("its record is damaged, or of another version of this package") from error
        return record


def made_record(
    plans: Sequence[Plan],
    triples: Sequence[Triple],
    checksums: Sequence[Mapping[int, int]],
    *,
    masks: Mapping[int, int] | None,
    lossless: bool,
) -> Record:
    """The record of a target.

    Args:
        plans: Of each triple; they differ in their digests alone.
        triples: Whose bands are the target's, in this order.
        checksums: Of each triple the CRC-32 of the samples of each tile, by its number.
        masks: The CRC-32 of the mask of each tile, by its number; None where the target has no mask.
        lossless: Whether the target will keep every sample.
    """
    plan, made, first = plans[0], [], 1
    rows_px, columns_px = Tiles(plan).edges_px
    for one, triple, sums in zip(plans, triples, checksums, strict=True):
        bands = tuple(range(first, first + len(triple.channels)))
        made.append(TripleRecord(bands, one.digest, _in_order(sums)))
        first += len(bands)
    return Record(
        scale=f"{plan.scale.numerator}/{plan.scale.denominator}",
        model=plan.model,
        revision=plan.revision,
        steps=plan.options.steps,
        texture=plan.options.texture,
        seed=plan.options.seed,
        rows_px=rows_px,
        columns_px=columns_px,
        triples=tuple(made),
        lossless=lossless,
        masks=() if masks is None else _in_order(masks),
    )


def _facts(text: str) -> Any:
    version, _, packed = text.partition(":")
    if version != VERSION:
        raise ValueError("another version")
    # A checksum of what was compressed is behind it.
    return json.loads(zlib.decompress(base64.b64decode(packed, validate=True)))


def _record(facts: dict[str, Any]) -> Record:
    triples = tuple(_triple(one) for one in facts.pop("triples"))
    places: dict[str, Any] = {name: tuple(facts.pop(name)) for name in ("rows_px", "columns_px")}
    record = Record(**{**facts, "masks": _unpacked(facts["masks"])}, **places, triples=triples)
    if not (_is_cut(record.rows_px) and _is_cut(record.columns_px)):
        raise ValueError("no tiles")
    if not triples or any(len(triple.checksums) != record.tiles for triple in triples):
        raise ValueError("another number of tiles")
    if len(record.masks) not in {0, record.tiles}:
        raise ValueError("another number of masks")
    return record


def _triple(facts: dict[str, Any]) -> TripleRecord:
    return TripleRecord(tuple(facts["bands"]), facts["digest"], _unpacked(facts["checksums"]))


def _is_cut(edges_px: tuple[int, ...]) -> bool:
    return len(edges_px) > 1 and edges_px[0] == 0 and all(one < other for one, other in pairwise(edges_px))


def _in_order(sums: Mapping[int, int]) -> tuple[int, ...]:
    return tuple(sums[number] for number in sorted(sums))


def _packed(sums: Iterable[int]) -> str:
    return base64.b64encode(np.array(tuple(sums), "<u4").tobytes()).decode()


def _unpacked(text: str) -> tuple[int, ...]:
    return tuple(np.frombuffer(base64.b64decode(text, validate=True), "<u4").tolist())
