"""What became of rasters as text for people and as JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hndsr_client._destinations import Scene
from hndsr_client._raster.results import RasterResult, Verification
from hndsr_client._report import count, error_facts, hit_rate, plain, short, speed
from hndsr_client.errors import HndsrError

TILES_NAMED = 8
RANGES_NAMED = 4


@dataclass(frozen=True)
class SceneOutcome:
    """How it ended with one raster of several."""

    scene: Scene
    result: RasterResult | None
    """What was made; None where nothing was."""
    error: HndsrError | None
    made_px: int
    """Target pixels that this run has upscaled."""
    elapsed_s: float

    @property
    def skipped(self) -> bool:
        """Whether it was there already, and left as it is."""
        return self.result is None and self.error is None


def raster_line(outcome: SceneOutcome) -> str:
    """What was made, on one line, and on another what was made of its values; the speed is of this run."""
    result = outcome.result
    if result is None:
        return f"{outcome.scene.destination}: exists, left as it is"
    resumed = f" ({result.resumed_tiles:,} resumed)" * bool(result.resumed_tiles)
    return (
        f"{outcome.scene.destination}: {size_text(result.height_px, result.width_px)}, "
        f"{count(result.bands, 'band')} of {result.dtype}, {count(result.tiles, 'tile')}{resumed}, "
        f"{speed(outcome.made_px, result.elapsed_s)}, {hit_rate(result)}{bytes_text(result.size_bytes)}, "
        f"{result.model} {short(result.revision)}{_values(result)}{_emptiness(result)}"
    )


def _emptiness(result: RasterResult) -> str:
    return "\nall of its pixels are invalid" * (result.invalid_px == result.height_px * result.width_px)


def raster_json(outcome: SceneOutcome, *, indent: int | None = None) -> str:
    """How it ended with a raster, as one JSON object."""
    return json.dumps(plain(_names(outcome.scene) | _outcome_facts(outcome)), default=str, indent=indent)


def event_line(event: str, scene: Scene | None = None, **facts: object) -> str:
    """What happened, as JSON on one line."""
    names = {} if scene is None else _names(scene)
    return json.dumps(plain({"event": event, **names, **facts}), default=str)


def outcome_event(outcome: SceneOutcome) -> str:
    """How it ended with a raster, as JSON on one line."""
    if outcome.error is not None:
        return event_line("error", outcome.scene, **error_facts(outcome.error))
    if outcome.result is None:
        return event_line("skipped", outcome.scene)
    return event_line("result", outcome.scene, **asdict(outcome.result))


def scenes_line(outcomes: Sequence[SceneOutcome], *, elapsed_s: float) -> str:
    """What became of several rasters, on one line."""
    made = [outcome for outcome in outcomes if outcome.result is not None]
    skipped, failed = sum(one.skipped for one in outcomes), sum(one.error is not None for one in outcomes)
    return (
        f"{len(made)} of {count(len(outcomes), 'raster')} upscaled{f', {skipped} skipped' * bool(skipped)}"
        f"{f', {failed} failed' * bool(failed)}, {speed(sum(one.made_px for one in outcomes), elapsed_s)}"
    )


def verification_line(path: str, verification: Verification) -> str:
    """Whether a raster is what was made, on one line."""
    tiles, bad = f"{verification.tiles:,}", len(verification.bad_tiles)
    facts = []
    if bad:
        verb = "is" if bad == 1 else "are"
        facts.append(f"{bad:,} of {tiles} tiles {verb} not what was made: {_named(verification.bad_tiles)}")
    if verification.unfinished:
        verb = "is" if verification.missing_tiles == 1 else "are"
        missing = f"{verification.missing_tiles:,} of {tiles} tiles {verb} missing"
        written = f"all {tiles} tiles are there, and still to be written"
        what = missing if verification.missing_tiles else written
        facts.append(f"unfinished: {what}; the command that began it goes on")
    elif verification.lossy and not bad:
        facts.append(
            f"{count(verification.tiles, 'tile')}; only size and mask could be checked, as its compression is lossy"
        )
    elif not bad:
        was = "tile as it was" if verification.tiles == 1 else "tiles as they were"
        facts.append(f"{tiles} {was} made")
    return f"{path}: {'; '.join(facts)}"


def verification_json(path: str, verification: Verification | None, error: HndsrError | None = None) -> str:
    """The same as JSON on one line."""
    facts: dict[str, Any] = {"path": path, "ok": verification is not None and verification.ok}
    if verification is not None:
        facts = asdict(verification) | facts
    return json.dumps(plain(facts | {"error": None if error is None else error_facts(error)}), default=str)


def size_text(height_px: int, width_px: int) -> str:
    """How large a raster is."""
    return f"{height_px} x {width_px} px (height x width), {height_px * width_px / 1e6:.3g} Mpx"


def bytes_text(number: int) -> str:
    """How large a file is."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number} bytes"


def _names(scene: Scene) -> dict[str, object]:
    return {"source": scene.name, "destination": scene.destination}


def _outcome_facts(outcome: SceneOutcome) -> dict[str, object]:
    if outcome.error is not None:
        return {"status": "failed", "error": error_facts(outcome.error)}
    if outcome.result is None:
        return {"status": "skipped", "error": None}
    return {"status": "done", "error": None, **asdict(outcome.result)}


def _values(result: RasterResult) -> str:
    """What the networks took for the ends of the values, where the file did not decide that."""
    if result.ranges is None:
        return ""
    named = ", ".join(f"{low:g} to {high:g}" for low, high in result.ranges[:RANGES_NAMED])
    more = f" and {len(result.ranges) - RANGES_NAMED} more" if len(result.ranges) > RANGES_NAMED else ""
    outside = f"; {count(result.out_of_range_samples, 'sample')} interpolated" * bool(result.out_of_range_samples)
    return f"\nvalues: {named}{more}{outside}"


def _named(tiles: Sequence[tuple[int, int]]) -> str:
    named = ", ".join(f"row {row} column {column}" for row, column in tiles[:TILES_NAMED])
    return named if len(tiles) <= TILES_NAMED else f"{named} and {len(tiles) - TILES_NAMED:,} more"
