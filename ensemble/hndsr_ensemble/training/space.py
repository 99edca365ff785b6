"""What a search tries: one TOML file of fields with their ranges, and the figure that is sought."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import Field, ValidationError, model_validator

from hndsr_ensemble.training.config import STAGES, ConfigError, Section, TrainingConfig, problems_of, read_toml

HIGHEST = "psnr_db"
"""The figure that is to be high; all others are losses."""


class Range(Section):
    """All numbers between two ends, which belong to it; whole ones if both ends are."""

    low: int | float
    high: int | float

    log: bool = False
    """Whether factors count, not differences."""

    @model_validator(mode="after")
    def _is_range(self) -> Range:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low < high does not hold, or log is true and low is not above 0")
        return self

    @property
    def extremes(self) -> tuple[int | float, ...]:
        """What is tried before a search, to find out whether fields take it."""
        return self.low, self.high

    def holds(self, value: Any) -> bool:
        """Whether a search could come upon a value."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Choices(Section):
    """One of several values."""

    choices: tuple[int | float | str, ...] = Field(min_length=2)

    @property
    def extremes(self) -> tuple[int | float | str, ...]:
        """What is tried before a search, to find out whether fields take it."""
        return self.choices

    def holds(self, value: Any) -> bool:
        """Whether a search could come upon a value."""
        return value in self.choices


Axis: TypeAlias = Range | Choices


class Space(Section):
    """What is tried, and what is sought."""

    objective: str = Field(pattern=rf"^({'|'.join(STAGES)})\.[a-z_]+$")
    """`STAGE.FIGURE`, as run.json has it in the stage's validation."""

    autoencoder: dict[str, Axis] = Field(default_factory=dict)
    prior: dict[str, Axis] = Field(default_factory=dict)
    diffusion: dict[str, Axis] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _has_influence(self) -> Space:
        late = [name for name in self.axes if name.partition(".")[0] not in self.stages]
        if late:
            raise ValueError(f"{', '.join(late)} cannot change {self.objective}, which an earlier stage gives")
        if not self.axes:
            raise ValueError("no field is to be tried")
        return self

    @property
    def axes(self) -> dict[str, Axis]:
        """All fields by their dotted names."""
        tables = {"autoencoder": self.autoencoder, "prior": self.prior, "diffusion": self.diffusion}
        return {f"{stage}.{field}": axis for stage, table in tables.items() for field, axis in table.items()}

    @property
    def stage(self) -> str:
        """The stage that gives the figure."""
        return self.objective.partition(".")[0]

    @property
    def figure(self) -> str:
        """Its name within the stage's validation."""
        return self.objective.partition(".")[2]

    @property
    def stages(self) -> tuple[str, ...]:
        """Those that a trial needs: the one that gives the figure, and the earlier ones."""
        return STAGES[: STAGES.index(self.stage) + 1]

    @property
    def direction(self) -> str:
        """Where better figures lie, as Optuna says it."""
        return "maximize" if self.figure == HIGHEST else "minimize"

    def start(self, config: TrainingConfig) -> dict[str, Any]:
        """What a configuration itself says of the fields, as far as the space holds it."""
        values = {name: json.loads(text) for name, text in config.fields().items()}
        return {name: values[name] for name, axis in self.axes.items() if axis.holds(values.get(name))}


def read_space(path: Path) -> Space:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, or says what no search can try.
    """
    try:
        return Space.model_validate(read_toml(path))
    except ValidationError as error:
        raise ConfigError(source=str(path), problems=problems_of(error)) from error


def changes(values: Mapping[str, Any]) -> list[str]:
    """Values of fields as `hndsr-train run --set` takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]
