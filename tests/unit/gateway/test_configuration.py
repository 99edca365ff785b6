"""Settings that contradict each other are refused before anything starts, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hndsr_gateway.configuration import ConfigurationError, read_settings
from hndsr_gateway.settings import Settings


def lines(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    """What a gateway with these settings is refused for, a line each."""
    environment = {f"HNDSR_{name}": value for name, value in variables.items()}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    try:
        read_settings(environment)
    except ConfigurationError as error:
        return str(error).splitlines()
    return []


def test_configuration_is_accepted_when_nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch) == []


def test_configuration_is_what_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_MAX_STREAMS", "3")
    assert read_settings({}, listen="127.0.0.1:1") == Settings(listen="127.0.0.1:1", max_streams=3)


CONTRADICTIONS = [
    ({"TLS_CERTIFICATE": "certificate.pem"}, "HNDSR_TLS_KEY is not set"),
    ({"TLS_KEY": "key.pem"}, "HNDSR_TLS_CERTIFICATE is not set"),
    ({"API_KEYS": "/none"}, "HNDSR_API_KEYS: "),
    ({"LISTEN": "0.0.0.0:1", "INSECURE": "anonymous"}, "HNDSR_INSECURE=plaintext"),
    ({"REDIS_URL": "http://somewhere"}, "HNDSR_REDIS_URL is no address"),
    ({"MODEL_REPOSITORY": "/none"}, "HNDSR_MODEL_REPOSITORY is '/none'"),
    ({"MODELS": "bicubic", "DEFAULT_MODEL": "hndsr"}, "HNDSR_DEFAULT_MODEL is 'hndsr'"),
    ({"STREAM_BYTES": "2000000", "MAX_STREAM_BYTES": "1500000"}, "HNDSR_STREAM_BYTES is 2,000,000"),
    ({"LISTEN": "127.0.0.1:7", "METRICS_LISTEN": "127.0.0.1:7"}, "HNDSR_LISTEN and HNDSR_METRICS_LISTEN"),
    ({"LISTEN": "127.0.0.1:7", "METRICS_LISTEN": "0.0.0.0:7"}, "both take port 7"),
    ({"LISTEN": "127.0.0.1:9", "METRICS_LISTEN": "127.0.0.1:7", "PROCESSES": "3"}, "both take port 9"),
    ({"LISTEN": "127.0.0.1:8002", "TRITON_METRICS_PORT": "8002"}, "HNDSR_LISTEN and HNDSR_TRITON_METRICS_PORT"),
]


@pytest.mark.parametrize(("variables", "said"), CONTRADICTIONS)
def test_configuration_that_contradicts_itself_is_refused_in_a_line(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    found = lines(monkeypatch, **variables)
    assert (len(found), said in found[0]) == (1, True), found


@pytest.mark.parametrize(
    "variables",
    [
        {"MODELS": "bicubic"},
        {"MODELS": "bicubic", "DEFAULT_MODEL": "hndsr", "TRITON_ENDPOINTS": "a:1"},
        {"MODEL_REPOSITORY": str(Path.cwd())},
        {"LISTEN": "127.0.0.1:0", "METRICS_LISTEN": "127.0.0.1:0"},
        {"LISTEN": "127.0.0.1:7", "METRICS_LISTEN": "127.0.0.2:7"},
        {"LISTEN": "127.0.0.1:0", "PROCESSES": "4"},
        {"TRITON_ENDPOINTS": "a:1", "LISTEN": "127.0.0.1:8002", "TRITON_METRICS_PORT": "8002"},
    ],
)
def test_configuration_is_accepted(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    assert lines(monkeypatch, **variables) == []


def test_configuration_names_unknown_wrong_and_contradicting_settings_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HNDSR_LISTN", "")
    found = lines(monkeypatch, MAX_SOURCE_PX="0", TILE_TIME_S="many", TLS_KEY="key.pem", LISTN="", REDIS_URL="http:")
    named = ["HNDSR_LISTN", "HNDSR_MAX_SOURCE_PX", "HNDSR_TILE_TIME_S", "HNDSR_TLS_CERTIFICATE", "HNDSR_REDIS_URL"]
    assert (len(found), [name for name in named if not any(name in line for line in found)]) == (5, [])


def test_configuration_is_not_said_to_contradict_what_was_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    found = lines(monkeypatch, STREAM_BYTES="1", MAX_STREAM_BYTES="2000000")
    assert (len(found), "HNDSR_STREAM_BYTES is '1'" in found[0]) == (1, True)


def test_configuration_refuses_an_exporter_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="OTEL_TRACES_EXPORTER"):
        read_settings({"OTEL_TRACES_EXPORTER": "fax"})


def test_configuration_keeps_each_problem_on_its_line_when_a_value_has_several(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert len(lines(monkeypatch, LISTEN="a\nhndsr-gateway: error: forged", API_KEYS="/no\nne")) == 2
