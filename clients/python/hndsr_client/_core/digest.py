"""The digest that names a plan, made from what was asked and what is planned."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from hndsr.v1 import upscale_pb2 as pb


def plan_digest(plan: pb.Plan, *, value_ranges: Iterable[pb.ValueRange], sample_type: str) -> str:
    """The digest that a plan must have, in hexadecimal.

    Source: `Plan.digest` of the contract.

    Args:
        plan: Its own digest is not looked at.
        value_ranges: Those that were asked for.
        sample_type: "uint8", "uint16", or empty where none was named.
    """
    facts = {
        "source": f"{plan.source_height_px}x{plan.source_width_px}",
        "target": f"{plan.target_height_px}x{plan.target_width_px}",
        "scale": f"{plan.scale_numerator}/{plan.scale_denominator}",
        "model": plan.model,
        "revision": plan.revision,
        "steps": plan.options.steps,
        "texture": f"{plan.options.texture:.9g}",
        "seed": plan.options.seed,
        "ranges": ",".join(f"{one.minimum:.17g}:{one.maximum:.17g}" for one in value_ranges),
        "samples": sample_type,
        "cores": plan.cores_per_tile,
        "rows": ",".join(map(_span_text, plan.row_spans)),
        "columns": ",".join(map(_span_text, plan.column_spans)),
    }
    return hashlib.sha256("".join(f"{name}={fact}\n" for name, fact in facts.items()).encode()).hexdigest()


def _span_text(span: pb.Span) -> str:
    numbers = (
        span.core_start,
        span.core_stop,
        span.source_start_px,
        span.source_stop_px,
        span.target_start_px,
        span.target_stop_px,
    )
    return ":".join(map(str, numbers))
