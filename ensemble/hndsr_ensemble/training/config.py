"""What a run of training depends on: one TOML file, read into one frozen object."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from hndsr_ensemble.training.errors import TrainingError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GRID_PX = 16
"""Sides of what is trained on are multiples of this: 4 px to a latent, and the UNet halves the latents twice."""
STAGES = ("autoencoder", "prior", "diffusion")
"""In the order in which they run."""
NETWORKS: Final = {"autoencoder": "decoder", "fno": "fno", "unet": "unet"}
"""Weights files of a run, and the model of a repository that holds the same ones."""
WITHOUT_INFLUENCE = (
    "minutes",
    "data.manifest",
    "data.resident_limit_mib",
    "data.workers",
    "checkpoints.",
    "tracking.",
    "log.",
)
"""Fields that do not decide which weights come out: of the manifest, its digest does; of the minutes, the number of
steps that each stage fixes when it begins."""


class ConfigError(TrainingError):
    """A configuration cannot be read, or a field of it is unknown or outside its range."""

    def __init__(self, *, source: str, problems: Sequence[str]) -> None:
        super().__init__(f"{source}: {'; '.join(problems)}")


class Section(BaseModel):
    """A table of the file: unknown names are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class DataConfig(Section):
    """What the networks see."""

    manifest: Path = Path("data/manifest.jsonl")
    """Written by `hndsr-train prepare`; relative to the working directory."""

    degradation: Literal["bicubic", "realistic"] = "bicubic"
    """How source images are made from crops."""

    crop_px: int = Field(default=256, ge=2 * GRID_PX, multiple_of=GRID_PX)
    """Side of a crop, which is the ground that its source image shows. Smaller images are left out."""

    lr_px_min: int = Field(default=32, ge=16)
    """Smallest side of a source image; the scale is `crop_px` over the side."""

    lr_px_max: int = Field(default=150, ge=16)
    """Largest side of a source image."""

    share_at_4: float = Field(default=0.6, ge=0, le=1)
    """Share of the batches whose scale is 4; the others' sides are uniform between the two above."""

    share_with_origin: float = Field(default=0.5, ge=0, le=1)
    """Share of the batches whose target begins at a random place inside the crop."""

    max_origin_px: int = Field(default=32, ge=0, multiple_of=GRID_PX)
    """How far inside, down and across, in target pixels; those targets are smaller by as much."""

    origin_step_px: int = Field(default=4, ge=1)
    """Targets begin at multiples of this; those of the service begin at multiples of 16. At scale 4, multiples of 4
    are whole source pixels, as there."""

    resident_limit_mib: int = Field(default=16_384, ge=0)
    """Splits of up to this size lie in the device's memory as bytes, if they leave enough of a GPU's free; larger ones
    are read crop by crop, with as much kept decoded in the memory of the host."""

    workers: int = Field(default=4, ge=1, le=256)
    """Threads that read images."""

    @model_validator(mode="after")
    def _sides_fit(self) -> DataConfig:
        if not self.lr_px_min <= self.crop_px // 4 <= self.lr_px_max < self.crop_px:
            raise ValueError("lr_px_min ≤ crop_px / 4 ≤ lr_px_max < crop_px does not hold")
        if self.max_origin_px >= self.crop_px:
            raise ValueError("max_origin_px is as large as crop_px")
        if self.max_origin_px % self.origin_step_px:
            raise ValueError("max_origin_px is no multiple of origin_step_px")
        return self


class StageConfig(Section):
    """What all stages have in common."""

    steps: int | None = Field(default=None, ge=0)
    """How many; 0 leaves the stage out. Either this or `share`."""

    share: float | None = Field(default=None, ge=0, le=1)
    """Of `minutes`, relative to the shares of the stages that are still to run; 0 leaves the stage out."""

    batch: int = Field(default=32, ge=1)
    """Images of a step, all processes together."""

    learning_rate: float = Field(gt=0, le=1)
    """At the first step; a cosine takes it to 0 at the last."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of AdamW's two moments per step."""

    weight_decay: float = Field(default=1e-4, ge=0, lt=1)
    """Of AdamW."""

    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of all gradients together."""

    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Of the moving average of the weights, which is what comes out, per step; 0: the last weights come out."""

    @model_validator(mode="after")
    def _one_measure(self) -> StageConfig:
        if (self.steps is None) == (self.share is None):
            raise ValueError("give either steps or share")
        return self

    @property
    def is_wanted(self) -> bool:
        """Whether the stage is to run."""
        return bool(self.steps or self.share)


class AutoencoderConfig(StageConfig):
    """First stage: the latent space."""

    latent_noise: float = Field(default=0.03, ge=0, le=1)
    """Standard deviation of the noise added to latents before they are decoded, over theirs."""


class PriorConfig(StageConfig):
    """Second stage: the Fourier neural operator, and the decoder with it."""

    latent_weight: float = Field(default=0.02, ge=0)
    """Of the latents' squared error, beside the pixels' absolute error, which weighs 1."""

    reconstruction_weight: float = Field(default=0.25, ge=0)
    """Of the absolute error of what the autoencoder makes of the truth."""


class DiffusionConfig(StageConfig):
    """Third stage: the UNet."""

    share_at_pure_noise: float = Field(default=0.1, ge=0, le=1)
    """Share of the samples at exactly t = 1, where every draw begins; the others' times are uniform."""


class CheckpointConfig(Section):
    """How much work a crash may cost."""

    every_steps: int = Field(default=1000, ge=1)
    """Steps from one checkpoint to the next."""


class LogConfig(Section):
    """What is told while a run goes on."""

    every_steps: int = Field(default=50, ge=1)
    """Steps from one line of log to the next."""

    validate_every_steps: int = Field(default=2000, ge=0)
    """Steps from one look at the validation images to the next; 0: at the end of a stage alone."""

    validation_batches: int = Field(default=8, ge=1)
    """How many are looked at."""


class TrackingConfig(Section):
    """Where runs are compared with one another."""

    mode: Literal["mlflow", "off"] = "mlflow"
    """`mlflow` needs mlflow-skinny."""

    store: str = "runs/mlruns"
    """Folder or address; the variable MLFLOW_TRACKING_URI goes before it."""

    experiment: str = Field(default="hndsr", min_length=1)
    """Name under which runs are gathered."""


class TrainingConfig(Section):
    """A run of training."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of everything that is drawn."""

    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of most products; auto: bfloat16 on GPUs that have it, else float32."""

    compile: Literal["auto", "off"] = "auto"
    """auto: parts of the networks are compiled on a GPU."""

    minutes: float = Field(default=28.0, gt=0)
    """For all stages that have a share of it, reading and measuring included; it may be raised while stages are still
    to begin."""

    data: DataConfig = DataConfig()
    autoencoder: AutoencoderConfig
    prior: PriorConfig
    diffusion: DiffusionConfig
    checkpoints: CheckpointConfig = CheckpointConfig()
    log: LogConfig = LogConfig()
    tracking: TrackingConfig = TrackingConfig()

    def stage(self, name: str) -> StageConfig:
        """The stage of that name."""
        return {"autoencoder": self.autoencoder, "prior": self.prior, "diffusion": self.diffusion}[name]

    def fields(self) -> dict[str, str]:
        """All fields as JSON by their dotted names."""
        return dict(_flat(self.model_dump(mode="json"), ""))

    def decisive(self) -> dict[str, str]:
        """The fields that decide which weights come out."""
        return {name: value for name, value in self.fields().items() if not name.startswith(WITHOUT_INFLUENCE)}

    def to_toml(self) -> str:
        """A file that reads as this configuration."""
        document = self.model_dump(mode="json", exclude_none=True)
        top = [f"{name} = {_toml(value)}" for name, value in document.items() if not isinstance(value, dict)]
        tables = [
            f"\n[{name}]\n" + "".join(f"{field} = {_toml(one)}\n" for field, one in value.items())
            for name, value in document.items()
            if isinstance(value, dict)
        ]
        return "\n".join([*top, *tables])


def read_config(path: Path, changes: Sequence[str] = ()) -> TrainingConfig:
    """Read a file and change single fields of it.

    Args:
        path: of the TOML file.
        changes: each `field=value` or `table.field=value`, the value as TOML writes it; quotes may be left out. Giving
            a stage `steps` takes its `share` away, and the other way round.

    Raises:
        ConfigError: the file or a change cannot be read, a name is unknown, or a value outside its range.
    """
    document = read_toml(path)
    for change in changes:
        _apply(document, change)
    return parse_config(document, source=str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(source=str(path), problems=[str(error)]) from error


def parse_config(document: Mapping[str, Any], *, source: str) -> TrainingConfig:
    """The configuration that a document describes; `source` names it in errors.

    Raises:
        ConfigError: a name is unknown, missing, or its value outside its range.
    """
    try:
        return TrainingConfig.model_validate(document)
    except ValidationError as error:
        raise ConfigError(source=source, problems=problems_of(error)) from error


def problems_of(error: ValidationError) -> list[str]:
    """What is wrong with which field."""
    return [f"{'.'.join(map(str, one['loc'])) or 'file'}: {one['msg']}" for one in error.errors()]


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """Names whose values differ, or which only one of them has."""
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))


def _apply(document: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    *tables, field = name.strip().split(".")
    if not equals or len(tables) > 1 or not field:
        raise ConfigError(source=repr(change), problems=["write it as field=value or table.field=value"])
    table = document.setdefault(tables[0], {}) if tables else document
    if not isinstance(table, dict):
        raise ConfigError(source=repr(change), problems=[f"{tables[0]} is no table"])
    if tables and tables[0] in STAGES and field in {"steps", "share"}:
        table.pop("share" if field == "steps" else "steps", None)
    table[field] = _value(text.strip())


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, one in value.items() for pair in _flat(one, f"{name}.{key}" if name else key)]
    return [(name, json.dumps(value))]


def _toml(value: Any) -> str:
    # TOML writes numbers, truth values, strings and lists as JSON does, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
