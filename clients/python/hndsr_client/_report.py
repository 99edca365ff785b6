"""Results as text for people and as JSON for programs."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from hndsr_client._raster.results import RasterResult
from hndsr_client.batch import FileOutcome
from hndsr_client.errors import HndsrError, ServiceError
from hndsr_client.results import (
    Degradation,
    Limits,
    ModelInfo,
    Options,
    Plan,
    Quality,
    QualityReport,
    ServiceInfo,
    StreamResult,
    UpscaleMetadata,
)

REVISION_LENGTH = 12
PIXELS = "image", "mask"
SPANS = "row_spans", "column_spans"


def as_json(result: ServiceInfo | Plan | UpscaleMetadata | Quality, **more: object) -> str:
    """A result, with further facts, as one JSON object; fractions, decimals and infinity are text."""
    return json.dumps(plain(asdict(result) | more), default=str, indent=2)


def stream_json(result: StreamResult, *, destination: str) -> str:
    """What was done to an array, as one JSON object; its tiles are counted, not listed."""
    facts = {field.name: getattr(result, field.name) for field in fields(result) if field.name not in PIXELS}
    plan = {name: value for name, value in asdict(result.plan).items() if name not in SPANS}
    return json.dumps(plain(facts | {"plan": plan, "destination": destination}), default=str, indent=2)


def outcome_json(outcome: FileOutcome) -> str:
    """How it ended with one file of a batch, as JSON on one line."""
    facts = {
        "source": str(outcome.source),
        "destination": str(outcome.destination),
        "status": _status(outcome),
        "elapsed_s": outcome.elapsed_s,
        "error": None if outcome.error is None else error_facts(outcome.error),
        "metadata": None if outcome.metadata is None else plain(asdict(outcome.metadata)),
    }
    return json.dumps(facts, default=str)


def upscaled_text(metadata: UpscaleMetadata, *, destination: str, elapsed_s: float) -> str:
    """What was done, on one line, and how close it came to the reference where there is one."""
    line = upscaled_line(metadata, destination=destination, elapsed_s=elapsed_s)
    return line if metadata.quality is None else f"{line}\n{quality_table(metadata.quality)}"


def upscaled_line(metadata: UpscaleMetadata, *, destination: str, elapsed_s: float) -> str:
    """What was done, on one line."""
    height_px, width_px = metadata.target_height_px, metadata.target_width_px
    return (
        f"{destination}: {height_px} x {width_px} px (height x width), "
        f"{count(metadata.windows, 'window')} ({metadata.computed_windows:,} computed), "
        f"{speed(height_px * width_px, elapsed_s)}, {metadata.model} {short(metadata.revision)}"
    )


def degraded_line(metadata: UpscaleMetadata, degraded: Degradation, *, destination: object) -> str:
    """What a target is instead of what was asked for, and why, on one line."""
    instead = f"{metadata.model} instead of {degraded.model}"
    if (metadata.model, metadata.options.steps) == (degraded.model, degraded.options.steps):
        instead = f"{metadata.model} made by the gateway, not by Triton"
    elif metadata.model == degraded.model:
        instead = f"{metadata.model} with {metadata.options.steps} instead of {degraded.options.steps} steps"
    happened = degraded.message.partition("; ")[0]  # without the remedy, of which there is no need
    return f"{destination} is {instead}: {happened} [{degraded.reason}]"


def streamed_line(result: StreamResult, *, destination: str, made_px: int) -> str:
    """What was done to an array, on one line; the speed is of the pixels that this run made."""
    plan = result.plan
    height_px, width_px = plan.target_height_px, plan.target_width_px
    resumed = f" ({result.resumed_tiles:,} resumed)" * bool(result.resumed_tiles)
    return (
        f"{destination}: {height_px} x {width_px} px (height x width), {height_px * width_px / 1e6:.3g} Mpx, "
        f"{count(result.tiles, 'tile')}{resumed}, {speed(made_px, result.elapsed_s)}, "
        f"{hit_rate(result)}{plan.model} {short(plan.revision)}"
    )


def batch_line(outcomes: Sequence[FileOutcome], *, elapsed_s: float) -> str:
    """What became of all files, on one line."""
    made = [outcome.metadata for outcome in outcomes if outcome.metadata is not None]
    target_px = sum(metadata.target_height_px * metadata.target_width_px for metadata in made)
    skipped, failed = sum(outcome.skipped for outcome in outcomes), sum(not outcome.ok for outcome in outcomes)
    degraded = sum(metadata.degraded is not None for metadata in made)
    return (
        f"{len(made)} of {count(len(outcomes), 'file')} upscaled{f', {degraded} degraded' * bool(degraded)}"
        f"{f', {skipped} skipped' * bool(skipped)}"
        f"{f', {failed} failed' * bool(failed)}, {speed(target_px, elapsed_s)}"
    )


def quality_line(quality: Quality) -> str:
    """How close one image is to another, on one line."""
    return f"PSNR {_decibels(quality.psnr_db)}, SSIM {_similarity(quality.ssim)}"


def quality_table(report: QualityReport) -> str:
    """How close the target and bicubic interpolation come to the reference."""
    rows = [("", "PSNR", "SSIM")]
    rows += [
        (name, _decibels(quality.psnr_db), _similarity(quality.ssim))
        for name, quality in (("target", report.result), ("bicubic", report.bicubic))
    ]
    return "\n".join(f"{name:<9}{psnr:<10}{ssim}".rstrip() for name, psnr, ssim in rows)


def plan_line(plan: Plan, limits: Limits) -> str:
    """What would be done, and whether one call may be so large, on one line."""
    tiles = len(plan.row_spans) * len(plan.column_spans)
    return (
        f"{plan.target_height_px} x {plan.target_width_px} px (height x width), "
        f"{count(tiles, 'tile')}, {count(plan.windows, 'window')}, "
        f"about {plan.estimated_time_s:.1f} s if the server is idle, {plan.model} {short(plan.revision)}"
        f"{_excess(plan, limits)}"
    )


def info_text(info: ServiceInfo) -> str:
    """Models and limits, a line each."""
    models = "\n".join(_model_lines(model, default=model.name == info.default_model) for model in info.models)
    return f"gateway {info.gateway_version}\n{models}\n{_limits_line(info.limits)}"


def count(number: int, unit: str) -> str:
    """A number of things, with a comma at each thousand."""
    return f"{number:,} {unit}{'' if number == 1 else 's'}"


def short(revision: str) -> str:
    """As much of a revision as tells it from others."""
    return revision[:REVISION_LENGTH]


def speed(target_px: int, elapsed_s: float) -> str:
    """How long it took to make these pixels, and how many that is a second."""
    return f"{elapsed_s:.2f} s, {target_px / 1e6 / max(elapsed_s, 1e-9):.3g} Mpx/s"


def hit_rate(result: StreamResult | RasterResult) -> str:
    """How many windows came from the cache; nothing where none is known to have been needed."""
    needed = result.cache_hits + result.computed_windows + result.empty_windows
    return f"{100 * result.cache_hits / needed:.0f} % of {count(needed, 'window')} cached, " if needed else ""


def error_facts(error: HndsrError) -> dict[str, str | float | None]:
    """What programs are told of an error."""
    reason, delay_s = (error.reason, error.retry_delay_s) if isinstance(error, ServiceError) else (None, None)
    return {"type": type(error).__name__, "message": str(error), "reason": reason, "retry_delay_s": delay_s}


def plain(value: Any) -> Any:
    """The value with numbers that JSON does not have as text, as in the JSON of protocol buffers."""
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' * (value < 0)}Infinity"
    return value


def _excess(plan: Plan, limits: Limits) -> str:
    if plan.target_height_px * plan.target_width_px > limits.max_target_px:
        return f" - exceeds this server's limit of {limits.max_target_px / 1e6:g} Mpx for one call"
    if plan.source_height_px * plan.source_width_px > limits.max_source_px:
        return f" - its source exceeds this server's limit of {limits.max_source_px / 1e6:g} Mpx for one call"
    return ""


def _limits_line(limits: Limits) -> str:
    return (
        f"limits: source {limits.max_source_px / 1e6:g} Mpx, target {limits.max_target_px / 1e6:g} Mpx, "
        f"message {limits.max_message_bytes / 2**20:g} MiB, steps {limits.max_steps}, texture {limits.max_texture:g}\n"
        f"formats: {', '.join(limits.formats)}"
    )


def _model_lines(model: ModelInfo, *, default: bool) -> str:
    return (
        f"{model.name}{' (default)' if default else ''}: {model.description}\n"
        f"  scale {model.min_scale} to {model.max_scale}, window {model.window_px} px, stride {model.stride_px} px\n"
        f"  {model.engine} on {model.device}, revision {short(model.revision)}"
        f"{_options(model.default_options) if model.generative else ''}"
    )


def _options(options: Options) -> str:
    return f"\n  defaults: steps {options.steps}, texture {options.texture}, seed {options.seed}"


def _decibels(psnr_db: float) -> str:
    return f"{psnr_db:.2f} dB" if math.isfinite(psnr_db) else "infinite"


def _similarity(ssim: float | None) -> str:
    return "-" if ssim is None else f"{ssim:.3f}"


def _status(outcome: FileOutcome) -> str:
    if not outcome.ok:
        return "failed"
    return "skipped" if outcome.skipped else "done"
