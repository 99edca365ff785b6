"""The pages that are made from the code are current and whole, and the examples are listed."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest
from pages.errors import answerable, errors_page
from pages.settings import SUCCESSORS, settings_page

import hndsr_gateway
from hndsr.v1 import upscale_pb2 as pb
from hndsr_gateway import errors
from hndsr_gateway.errors import GatewayError
from hndsr_gateway.settings import ENVIRONMENT_PREFIX, Settings

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DESCRIPTOR = pb.DESCRIPTOR
PREDECESSOR = {
    *("DEVICE", "MODEL_DIR", "MAX_CONCURRENT", "MAX_QUEUE_DEPTH", "REQUEST_TIMEOUT_S", "MAX_PAYLOAD_MB"),
    *("MAX_IMAGE_PIXELS", "USE_FP16", "DDIM_STEPS", "TILE_SIZE", "OVERLAP"),
}
"""The variables of the FastAPI service."""


def page(name: str) -> str:
    """A page as it is committed."""
    return (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """The cells of each row whose first cell is code, by that code."""
    lines = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    return {name: cells.split(" | ") for name, cells in lines}


def section(heading: str) -> str:
    """What stands under one heading of the API's page."""
    return re.split(r"^#+ ", page("api").partition(f" {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def all_errors() -> set[type[GatewayError]]:
    """Every class of the gateway that callers may get, wherever it stands."""
    names = [one.name for one in pkgutil.walk_packages(hndsr_gateway.__path__, "hndsr_gateway.")]
    modules = [import_module(name) for name in names if not name.endswith(".__main__")]
    classes = {one for module in modules for _, one in inspect.getmembers(module, inspect.isclass)}
    return {one for one in classes if issubclass(one, GatewayError)}


@pytest.mark.parametrize(("name", "made"), [("settings", settings_page), ("errors", errors_page)])
def test_page_is_current(name: str, made: object) -> None:
    assert callable(made)
    assert page(name) == made(), "run `make docs`"


def test_settings_page_has_a_row_for_every_setting() -> None:
    described = re.findall(r"^\| `(HNDSR_\w+)` \| .* \| .+\. \|$", settings_page(), re.MULTILINE)
    assert described == [ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields]


def test_settings_page_has_a_row_for_every_variable_of_the_predecessor() -> None:
    assert {one.variable for one in SUCCESSORS} == PREDECESSOR


def test_settings_page_names_settings_that_exist_for_those_of_the_predecessor() -> None:
    known = {ENVIRONMENT_PREFIX + name.upper() for name in Settings.model_fields}
    assert [name for one in SUCCESSORS for name in one.settings if name not in known] == []


def test_settings_page_says_why_when_a_variable_of_the_predecessor_has_no_successor() -> None:
    assert [one.variable for one in SUCCESSORS if not one.settings and not one.change] == []


def test_errors_page_knows_every_error_of_the_gateway() -> None:
    assert {one for one in all_errors() if one.__module__ != errors.__name__} == set()


def test_errors_page_has_a_row_for_every_reason_that_can_be_answered() -> None:
    assert list(rows(errors_page())) == list(dict.fromkeys(one.reason for one in answerable()))


@pytest.mark.parametrize("error", answerable(), ids=lambda error: error.__name__)
def test_errors_page_says_when_and_what_to_do(error: type[GatewayError]) -> None:
    _, when, remedy, _ = rows(errors_page())[error.reason]
    assert ((error.__doc__ or "").splitlines()[0] in when, error.remedy in remedy) == (True, True)


@pytest.mark.parametrize(
    ("reason", "status", "details"),
    [
        ("IMAGE_TOO_LARGE", "INVALID_ARGUMENT", "`BadRequest`"),
        ("OVERLOADED", "RESOURCE_EXHAUSTED", "`RetryInfo`"),
        ("MODEL_NOT_FOUND", "NOT_FOUND", ""),
        ("INTERNAL", "INTERNAL", ""),
    ],
)
def test_errors_page_says_status_and_details(reason: str, status: str, details: str) -> None:
    found, _, _, beside = rows(errors_page())[reason]
    assert (found, beside.strip()) == (status, details)


@pytest.mark.parametrize("name", DESCRIPTOR.message_types_by_name)
def test_api_page_has_every_field_of_a_message(name: str) -> None:
    assert list(rows(section(name))) == [field.name for field in DESCRIPTOR.message_types_by_name[name].fields]


@pytest.mark.parametrize("name", DESCRIPTOR.enum_types_by_name)
def test_api_page_has_every_value_of_an_enum(name: str) -> None:
    assert list(rows(section(name))) == [value.name for value in DESCRIPTOR.enum_types_by_name[name].values]


def test_api_page_has_every_call() -> None:
    calls = re.findall(r"^\| \*\*(\w+)\*\*", page("api"), re.MULTILINE)
    assert calls == [call.name for call in DESCRIPTOR.services_by_name["UpscaleService"].methods]


def test_api_page_links_lead_to_its_headings() -> None:
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", page("api"), re.MULTILINE)}
    assert set(re.findall(r"\(#(\w+)\)", page("api"))) <= headings


def test_readme_of_the_examples_mentions_every_file() -> None:
    code = {path for suffix in ("py", "sh", "mjs") for path in EXAMPLES.glob(f"*/*.{suffix}")}
    names = {path.relative_to(EXAMPLES).as_posix() for path in code}
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {name for name in names if f"`{name}`" not in readme} == set()
