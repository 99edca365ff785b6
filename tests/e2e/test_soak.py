"""However many requests of every kind a gateway has answered, it holds no more than before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from chaos.holdings import GATEWAY, Holdings
from chaos.soak import grown, soak

HELD = Holdings(
    processes=6, descriptors={GATEWAY: 20}, memory_mib={GATEWAY: 70.0}, regions=2, regions_mib=2.0, files=13
)


@pytest.mark.slow
def test_gateway_holds_no_more_after_requests_of_every_kind(tmp_path: Path) -> None:
    assert soak(tmp_path, first=200, total=600, seed=0).faults == []


def test_what_stays_as_it_was_has_not_grown() -> None:
    assert grown(HELD, HELD) == []


@pytest.mark.parametrize(
    "more",
    [
        {"processes": 7},
        {"files": 14},
        {"regions": 5},
        {"regions_mib": 20.0},
        {"descriptors": {GATEWAY: 23}},
        {"memory_mib": {GATEWAY: 100.0}},
        {"descriptors": {GATEWAY: 20, "another": 3}},
    ],
    ids=str,
)
def test_what_is_held_beyond_its_bound_has_grown(more: dict[str, Any]) -> None:
    assert len(grown(HELD, replace(HELD, **more))) == 1
