"""Settings come from the tests alone."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("HNDSR_")]:
        monkeypatch.delenv(name)
