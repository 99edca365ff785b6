"""Real gateway processes, with the model that costs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from gateway_process import GatewayProcess, gateway_process


@pytest.fixture
def gateway() -> Iterator[GatewayProcess]:
    """A gateway of the test's own, to be stopped or broken."""
    with gateway_process() as running:
        yield running


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a gateway that a module's tests share."""
    with gateway_process() as (_, bound):
        yield bound
