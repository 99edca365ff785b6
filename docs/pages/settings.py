"""The page of the gateway's settings, and where those of its predecessor went."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic.fields import FieldInfo

from hndsr_gateway.settings import ENVIRONMENT_PREFIX, Settings
from pages.markdown import table

HEAD = """# Settings

All settings of the gateway are environment variables; a misspelt one stops the start. `hndsr-gateway --help` shows the
same list. This page is made from the code by `make docs`.

"""
PREDECESSOR_HEAD = """
## Coming from the FastAPI service

"""
SIGNS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


@dataclass(frozen=True, slots=True)
class Successor:
    """What a variable of the FastAPI service has become."""

    variable: str
    settings: tuple[str, ...]
    change: str = ""


SUCCESSORS = (
    Successor("DEVICE", ("HNDSR_DEVICE",)),
    Successor(
        "MODEL_DIR", ("HNDSR_MODEL_REPOSITORY",), "A Triton model repository instead of a folder of checkpoints."
    ),
    Successor("MAX_CONCURRENT", ("HNDSR_MAX_CONCURRENT_REQUESTS",)),
    Successor("MAX_QUEUE_DEPTH", ("HNDSR_MAX_QUEUE_DEPTH",)),
    Successor("REQUEST_TIMEOUT_S", ("HNDSR_REQUEST_TIMEOUT_S",)),
    Successor("MAX_PAYLOAD_MB", ("HNDSR_MAX_MESSAGE_BYTES",), "Bytes, not MB; it holds for answers as well."),
    Successor(
        "MAX_IMAGE_PIXELS",
        ("HNDSR_MAX_SOURCE_PX", "HNDSR_MAX_TARGET_PX"),
        "Source and target have a limit each.",
    ),
    Successor("USE_FP16", ("HNDSR_PRECISION",), "The name of the arithmetic instead of yes or no."),
    Successor("DDIM_STEPS", ("HNDSR_DEFAULT_STEPS",), "Each request may name its own number."),
    Successor("TILE_SIZE", ("HNDSR_CORES_PER_TILE",), "Cores of the plan, not pixels; it never changes the result."),
    Successor("OVERLAP", (), "The windows' overlap is part of the model, because it decides pixels."),
)


def settings_page() -> str:
    """Every setting with its default and what it decides, then the predecessor's."""
    settings = table(["variable", "default", "allowed", "meaning"], _settings_rows())
    successors = table(["there", "here", "what is different"], _successor_rows())
    return HEAD + settings + PREDECESSOR_HEAD + successors


def _settings_rows() -> list[list[str]]:
    return [
        [f"`{ENVIRONMENT_PREFIX}{name.upper()}`", _shown(field.default), _allowed(field), field.description or ""]
        for name, field in Settings.model_fields.items()
    ]


def _shown(default: object) -> str:
    return "" if default in ("", None) else f"`{default}`"


def _allowed(field: FieldInfo) -> str:
    """The bounds of a number."""
    bounds = {name: getattr(one, name) for one in field.metadata for name in SIGNS if hasattr(one, name)}
    if {"ge", "le"} <= set(bounds):
        return f"{bounds['ge']:,} to {bounds['le']:,}"
    return ", ".join(f"{sign} {bounds[name]:,}" for name, sign in SIGNS.items() if name in bounds)


def _successor_rows() -> list[list[str]]:
    return [
        [f"`{one.variable}`", ", ".join(f"`{name}`" for name in one.settings) or "none", one.change]
        for one in SUCCESSORS
    ]
