"""What the settings ask for, checked as a whole before anything is started."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hndsr_gateway import limits
from hndsr_gateway.errors import StartupError
from hndsr_gateway.identity import startup as identity
from hndsr_gateway.settings import ENVIRONMENT_PREFIX, Settings, refuse_unknown
from hndsr_gateway.telemetry.setup import exporter_of

EVERYWHERE = frozenset({"0.0.0.0", "[::]"})  # noqa: S104 - compared with, not bound to


class ConfigurationError(StartupError):
    """Settings are unknown, out of their range, or contradict each other; all of them are named, a line each."""

    def __init__(self, *, problems: list[str]) -> None:
        super().__init__("\n".join(problems))


def read_settings(environment: Mapping[str, str], **given: Any) -> Settings:
    """The settings of the variables of this process, and of what is given beside them.

    Raises:
        ConfigurationError: naming all that is wrong with them.
    """
    unknown, faults = _failure(lambda: refuse_unknown(environment)), {}
    try:
        settings = Settings(**given)
    except ValidationError as error:
        faults = {str(fault["loc"][0]): _described(fault) for fault in error.errors()}
        defaults = {name: Settings.model_fields[name].default for name in faults}
        settings = Settings(**{**given, **defaults})
    others = [
        problem
        for problem in problems(settings, environment)
        if not any(re.search(rf"\b{_variable(name)}\b", problem) for name in faults)  # of what was not given
    ]
    if found := [*unknown, *faults.values(), *others]:
        raise ConfigurationError(problems=[" ".join(problem.split()) for problem in found])
    return settings


def problems(settings: Settings, environment: Mapping[str, str]) -> list[str]:
    """What keeps a gateway from starting with settings that are each for itself in order, a line each."""
    return [
        *identity.problems(settings),
        *limits.problems(settings),
        *_models(settings),
        *_streams(settings),
        *_ports(settings),
        *_failure(lambda: exporter_of("traces", environment)),
        *_failure(lambda: exporter_of("metrics", environment)),
    ]


def _described(fault: Mapping[str, Any]) -> str:
    name = str(fault["loc"][0])
    should = f"it should be {_written(name)}" if fault["type"] == "string_pattern_mismatch" else fault["msg"]
    return f"{_variable(name)} is {fault['input']!r}: {should}"


def _written(name: str) -> str:
    """How a setting that follows a pattern is written."""
    one = "HOST:PORT"
    if name == "triton_endpoints":
        return f"{one}, dns:{one} or unix:PATH, or several with commas between"
    return "plaintext, anonymous, or both with a comma between" if name == "insecure" else one


def _models(settings: Settings) -> Iterator[str]:
    if settings.triton_addresses:
        return
    if settings.model_repository and not Path(settings.model_repository).is_dir():
        yield f"HNDSR_MODEL_REPOSITORY is {settings.model_repository!r}, which is no folder; give one, or nothing"
    chosen, served = settings.default_model, settings.model_names
    if "default_model" in settings.model_fields_set and served and chosen not in served:
        yield f"HNDSR_DEFAULT_MODEL is {chosen!r}, which is not among HNDSR_MODELS: {', '.join(served)}; add it there"


def _streams(settings: Settings) -> Iterator[str]:
    one, together = settings.stream_bytes, settings.max_stream_bytes
    if one > together and settings.model_fields_set & {"stream_bytes", "max_stream_bytes"}:
        yield (
            f"HNDSR_STREAM_BYTES is {one:,}, more than the {together:,} of HNDSR_MAX_STREAM_BYTES for all streams; "
            "lower the one or raise the other"
        )


def _ports(settings: Settings) -> Iterator[str]:
    """No two of our own listeners can have one port of one address."""
    host, _, port = settings.listen.rpartition(":")
    listeners = [(_variable("listen"), host, int(port))]
    if settings.metrics_listen:
        host, _, port = settings.metrics_listen.rpartition(":")
        numbers = range(int(port), int(port) + settings.processes) if int(port) else ()
        listeners += [(_variable("metrics_listen"), host, each) for each in numbers]
    if settings.triton_metrics_port and not settings.triton_addresses:
        listeners.append((_variable("triton_metrics_port"), "127.0.0.1", settings.triton_metrics_port))
    for (one, at, number), (other, other_at, other_number) in combinations(listeners, 2):
        if number and number == other_number and (at == other_at or {at, other_at} & EVERYWHERE):
            yield f"{one} and {other} both take port {number}; give one of them another"


def _failure(attempt: Callable[[], Any]) -> list[str]:
    try:
        attempt()
    except StartupError as error:
        return [str(error)]
    return []


def _variable(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()
