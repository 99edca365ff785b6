"""Shapes and sample types in annotations are checked while the tests run, and nothing is sent home."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
install_import_hook(["hndsr_ensemble"], "beartype.beartype")

TESTS = Path(__file__).parent
WITH_SERVICES = {"integration", "e2e"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process have all tests that start services, and another the rest, file by file."""
    for item in items:
        place = item.path.relative_to(TESTS)
        group = "services" if place.parts[0] in WITH_SERVICES else place.as_posix()
        item.add_marker(pytest.mark.xdist_group(group))
