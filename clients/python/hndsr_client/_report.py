"""Results as text for people and as JSON for programs."""

from __future__ import annotations

import json
from dataclasses import asdict

from hndsr_client.results import Limits, ModelInfo, Options, Plan, ServiceInfo, UpscaleMetadata

REVISION_LENGTH = 12


def as_json(result: ServiceInfo | Plan | UpscaleMetadata, **more: object) -> str:
    """A result, with further facts, as one JSON object; fractions and decimals are text."""
    return json.dumps(asdict(result) | more, default=str, indent=2)


def upscaled_line(metadata: UpscaleMetadata, *, destination: str, elapsed_s: float) -> str:
    """What was done, on one line."""
    height_px, width_px = metadata.target_height_px, metadata.target_width_px
    speed = height_px * width_px / 1e6 / max(elapsed_s, 1e-9)
    return (
        f"{destination}: {height_px} x {width_px} px (height x width), "
        f"{_count(metadata.windows, 'window')} ({metadata.computed_windows} computed), "
        f"{elapsed_s:.2f} s, {speed:.3g} Mpx/s, {metadata.model} {_short(metadata.revision)}"
    )


def plan_line(plan: Plan, limits: Limits) -> str:
    """What would be done, and whether one call may be so large, on one line."""
    tiles = len(plan.row_spans) * len(plan.column_spans)
    return (
        f"{plan.target_height_px} x {plan.target_width_px} px (height x width), "
        f"{_count(tiles, 'tile')}, {_count(plan.windows, 'window')}, "
        f"about {plan.estimated_time_s:.1f} s if the server is idle, {plan.model} {_short(plan.revision)}"
        f"{_excess(plan, limits)}"
    )


def info_text(info: ServiceInfo) -> str:
    """Models and limits, a line each."""
    models = "\n".join(_model_lines(model, default=model.name == info.default_model) for model in info.models)
    return f"gateway {info.gateway_version}\n{models}\n{_limits_line(info.limits)}"


def _excess(plan: Plan, limits: Limits) -> str:
    if plan.target_height_px * plan.target_width_px > limits.max_target_px:
        return f" - exceeds this server's limit of {limits.max_target_px / 1e6:g} Mpx for one call"
    if plan.source_height_px * plan.source_width_px > limits.max_source_px:
        return f" - its source exceeds this server's limit of {limits.max_source_px / 1e6:g} Mpx for one call"
    return ""


def _limits_line(limits: Limits) -> str:
    return (
        f"limits: source {limits.max_source_px / 1e6:g} Mpx, target {limits.max_target_px / 1e6:g} Mpx, "
        f"message {limits.max_message_bytes / 2**20:g} MiB, steps {limits.max_steps}, texture {limits.max_texture:g}"
    )


def _model_lines(model: ModelInfo, *, default: bool) -> str:
    return (
        f"{model.name}{' (default)' if default else ''}: {model.description}\n"
        f"  scale {model.min_scale} to {model.max_scale}, window {model.window_px} px, stride {model.stride_px} px\n"
        f"  {model.engine} on {model.device}, revision {_short(model.revision)}"
        f"{_options(model.default_options) if model.generative else ''}"
    )


def _options(options: Options) -> str:
    return f"\n  defaults: steps {options.steps}, texture {options.texture}, seed {options.seed}"


def _count(number: int, unit: str) -> str:
    return f"{number} {unit}{'' if number == 1 else 's'}"


def _short(revision: str) -> str:
    return revision[:REVISION_LENGTH]
