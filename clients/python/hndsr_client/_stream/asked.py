"""What a stream asks for, and whether the plan that comes back is for just that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client._core.digest import plan_digest
from hndsr_client._core.parameters import put
from hndsr_client._stream.windows import Source
from hndsr_client.errors import AnswerError
from hndsr_client.results import Plan

_SAMPLE_TYPES = {"uint8": pb.SAMPLE_TYPE_UINT8, "uint16": pb.SAMPLE_TYPE_UINT16}
OPTIONS = ("steps", "texture", "seed")
Fact = str | int | float | None


@dataclass(frozen=True)
class Pin:
    """What makes a server plan an image as it was planned before, whatever its defaults are by now."""

    digest: str
    revision: str
    model: str
    scale: str
    steps: int | None
    texture: float | None
    seed: int | None
    cores_per_tile: int

    @classmethod
    def of(cls, plan: Plan) -> Pin:
        """That of a plan."""
        return cls(
            digest=plan.digest,
            revision=plan.revision,
            model=plan.model,
            scale=f"{plan.scale.numerator}/{plan.scale.denominator}",
            steps=plan.options.steps,
            texture=plan.options.texture,
            seed=plan.options.seed,
            cores_per_tile=plan.cores_per_tile,
        )


@dataclass(frozen=True)
class Asked:
    """What the caller asks for, beside the pixels."""

    size_px: tuple[int, int]
    sample_type: str
    masked: bool
    parameters: pb.UpscaleParameters
    cores_per_tile: int
    """0 for the server's choice."""
    notes: Mapping[str, Fact] = field(default_factory=dict)
    """What the caller knows of the source and the sink that a job must keep to, by names for people."""

    @classmethod
    def of(
        cls,
        source: Source,
        parameters: pb.UpscaleParameters,
        *,
        cores_per_tile: int | None,
        notes: Mapping[str, Fact] | None = None,
    ) -> Asked:
        """What is asked for of a source.

        Raises:
            ArgumentError: A number of cores that no request can carry.
        """
        start = pb.StreamStart()
        put(start, cores_per_tile=cores_per_tile)
        size_px, sample_type, masked = source.size_px, source.sample_type, source.masked
        return cls(size_px, sample_type, masked, parameters, start.cores_per_tile, notes or {})

    def start(self, pin: Pin | None) -> pb.StreamStart:
        """The first message of a stream; that of a plan that was made before, if there is one."""
        start = pb.StreamStart(
            source_height_px=self.size_px[0],
            source_width_px=self.size_px[1],
            sample_type=_SAMPLE_TYPES[self.sample_type],
            parameters=self.parameters,
            cores_per_tile=self.cores_per_tile,
        )
        if pin is not None:
            put(start, required_digest=pin.digest, cores_per_tile=pin.cores_per_tile)
            put(start.parameters, model=pin.model, scale=pin.scale, required_revision=pin.revision)
            put(start.parameters.options, steps=pin.steps, texture=pin.texture, seed=pin.seed)
        return start

    def facts(self) -> dict[str, Fact]:
        """All of it by names for people, None for what is left to the server."""
        parameters, options = self.parameters, self.parameters.options
        texture = float(str(np.float32(options.texture))) if options.HasField("texture") else None
        ranges = ", ".join(f"{one.minimum!r} to {one.maximum!r}" for one in parameters.value_ranges)
        return {
            **self.notes,
            "source size": f"{self.size_px[0]} x {self.size_px[1]} px",
            "sample type": self.sample_type,
            "mask": "given" if self.masked else "not given",
            "scale": _canonical(parameters.scale),
            "model": parameters.model or None,
            "steps": options.steps if options.HasField("steps") else None,
            "texture": texture,
            "seed": options.seed if options.HasField("seed") else None,
            "value ranges": ranges or "not given",
            "revision": parameters.required_revision or None,
            "cores_per_tile": self.cores_per_tile or None,
        }


def check_plan(start: pb.StreamStart, plan: pb.Plan) -> None:
    """Refuse a plan for something else than was asked for, or that is not what its digest says.

    Raises:
        AnswerError: It is.
    """
    asked = start.parameters
    wanted = {
        "source size": ((start.source_height_px, start.source_width_px), (plan.source_height_px, plan.source_width_px)),
        "scale": (_canonical(asked.scale), _canonical(f"{plan.scale_numerator}/{plan.scale_denominator}")),
        "model": (asked.model or plan.model, plan.model),
        "revision": (asked.required_revision or plan.revision, plan.revision),
        "cores_per_tile": (start.cores_per_tile or plan.cores_per_tile, plan.cores_per_tile),
        "digest": (start.required_digest or plan.digest, plan.digest),
    }
    wanted.update(_options(asked.options, plan.options))
    for name, (one, other) in wanted.items():
        if one != other:
            raise AnswerError(f"the server planned for the {name} {other}, asked for was {one}")
    sample_type = next(name for name, value in _SAMPLE_TYPES.items() if value == start.sample_type)
    if plan.digest != plan_digest(plan, value_ranges=asked.value_ranges, sample_type=sample_type):
        raise AnswerError("the server's plan has another digest than what was asked and what it says; it was changed")


def _options(asked: pb.UpscaleOptions, planned: pb.UpscaleOptions) -> dict[str, tuple[Fact, Fact]]:
    """The options that must be those of the plan; a model that takes none plans all of them as 0."""
    if not any(getattr(planned, name) for name in OPTIONS):
        return {}
    return {name: (getattr(asked, name), getattr(planned, name)) for name in OPTIONS if asked.HasField(name)}


def _canonical(scale: str) -> str:
    """The scale as reduced; as it is, if only the server can read it."""
    try:
        fraction = Fraction(scale)
    except (ValueError, ZeroDivisionError):
        return scale
    return f"{fraction.numerator}/{fraction.denominator}"
