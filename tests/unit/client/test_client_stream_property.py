"""However an image is cut, broken off and gone on with: the same bytes as of one call."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from unit.client.blocking import BlockingClient
from unit.client.stream_gateway import (
    QUICK,
    WAIT_S,
    After,
    Proxy,
    StreamGateway,
    gateway,
    raising,
    random_mask,
    scene,
)

from hndsr_client import Client

__all__ = ["gateway"]

SIDES = st.integers(1, 150)
IMAGES = st.fixed_dictionaries(
    {
        "size": st.tuples(SIDES, SIDES),
        "dtype": st.sampled_from(["uint8", "uint16"]),
        "masked": st.booleans(),
        "scale": st.sampled_from(["1.5", "2", "3.14", "22/7", "4"]),
        "cores": st.sampled_from([None, 1, 2, 3]),
        "seed": st.integers(0, 2**32 - 1),
    }
)
BREAKS = st.lists(st.integers(0, 400_000), max_size=3)
KINDS = st.sampled_from([Client, BlockingClient])
QUIETLY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class LeaveError(Exception):
    """What ends a run."""


def call_of(image: dict[str, Any]) -> tuple[np.ndarray, dict[str, Any]]:
    mask = random_mask(image["size"], seed=image["seed"]) if image["masked"] else None
    return scene(image["size"], image["dtype"], seed=image["seed"]), {
        "mask": mask,
        "model": "bicubic",
        "scale": image["scale"],
    }


@QUIETLY
@given(image=IMAGES, breaks=BREAKS, kind=KINDS)
def test_stream_makes_what_one_call_makes(
    gateway: StreamGateway, image: dict[str, Any], breaks: list[int], kind: Callable[..., Client]
) -> None:
    source, call = call_of(image)
    with (
        Proxy(gateway.address, breaks) as proxy,
        kind(proxy.address, retry=QUICK, timeout_s=WAIT_S) as client,
        Client(gateway.address) as other,
    ):
        result = client.upscale_array(source, cores_per_tile=image["cores"], **call)
        one = other.upscale(source, **call)
    assert np.array_equal(result.image, one.image)
    assert np.array_equal(True if result.mask is None else result.mask, True if one.mask is None else one.mask) or (
        one.mask is None and result.mask.all()
    )


@QUIETLY
@given(
    image=IMAGES,
    runs=st.lists(st.integers(0, 12), max_size=3),
    spoiling=st.tuples(st.integers(0, 400), st.none() | st.integers(0, 2**40)),
    kind=KINDS,
)
def test_job_makes_what_one_call_makes(
    gateway: StreamGateway,
    image: dict[str, Any],
    runs: list[int],
    spoiling: tuple[int, int | None],
    kind: Callable[..., Client],
) -> None:
    source, call = call_of(image)
    with tempfile.TemporaryDirectory() as folder, kind(gateway.address, retry=QUICK, timeout_s=WAIT_S) as client:
        sink = Path(folder) / "target.npy"
        for tiles in runs:
            sink.unlink(missing_ok=True)
            try:
                leave = After(tiles, raising(LeaveError()))
                client.upscale_array(source, sink, cores_per_tile=image["cores"], on_progress=leave, **call)
            except LeaveError:
                spoil(sink, *spoiling)
        sink.unlink(missing_ok=True)
        client.upscale_array(source, sink, cores_per_tile=image["cores"], **call)
        assert np.array_equal(np.load(sink), client.upscale(source, **call).image)
        assert os.listdir(folder) == ["target.npy"]  # noqa: PTH208  names alone


def spoil(sink: Path, torn: int, damage: int | None) -> None:
    """Tear the journal's end off, all but its first line, and change a byte of the work file."""
    journal, work = (sink.with_name(f"{sink.name}.hndsr-{kind}") for kind in ("journal", "work"))
    first = journal.read_bytes().index(b"\n") + 1
    os.truncate(journal, max(first, journal.stat().st_size - torn))
    if damage is not None:
        content = bytearray(work.read_bytes())
        content[damage % len(content)] ^= 0x55
        work.write_bytes(content)


def test_stream_makes_the_smallest_image(gateway: StreamGateway) -> None:
    with Client(gateway.address, retry=QUICK) as client:
        assert client.upscale_array(np.zeros((1, 1, 3), np.uint8), scale=4).image.shape == (4, 4, 3)


@pytest.mark.parametrize("valid", [True, False])
def test_stream_makes_an_image_of_one_mask(gateway: StreamGateway, valid: bool) -> None:  # noqa: FBT001  a case
    with Client(gateway.address, retry=QUICK) as client:
        result = client.upscale_array(scene((9, 9)), mask=np.full((9, 9), valid), scale=4)
    assert result.invalid_px == (0 if valid else 36 * 36)
    assert result.mask is None if valid else not result.mask.any()
