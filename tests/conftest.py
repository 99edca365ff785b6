"""Shapes and sample types in annotations are checked while the tests run, and nothing is sent home."""

from __future__ import annotations

import os
from typing import Any

import pytest
from jaxtyping import install_import_hook
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
install_import_hook(["hndsr_ensemble"], "beartype.beartype")

WITH_SERVICES = ("tests/integration/", "tests/e2e/")


class Scheduling(LoadScopeScheduling):
    """One process has all tests that start services, the others the rest, file by file."""

    def _split_scope(self, nodeid: str) -> str:
        return "services" if nodeid.startswith(WITH_SERVICES) else nodeid.partition("::")[0]


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Scheduling:
    """Called in the process that hands out the tests."""
    return Scheduling(config, log)
