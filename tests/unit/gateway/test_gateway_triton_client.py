"""What a Triton that is not ours may answer, and what is known of an answer before it comes."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from hndsr_ensemble.geometry import Axis, WindowGeometry
from hndsr_ensemble.scale import Scale
from hndsr_ensemble.tiles import TileGeometry
from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton import client
from hndsr_gateway.triton.client import TritonBackend

WINDOW = WindowGeometry(256, 224)


class Answer:
    """An inference result with one tensor of text."""

    def __init__(self, text: str) -> None:
        self._text = text

    def as_numpy(self, name: str) -> np.ndarray:
        """The tensor, whatever its name."""
        return np.array([self._text.encode()], dtype=np.object_)


class ForeignTriton(TritonBackend):
    """A Triton that answers every request with the same text."""

    def __init__(self, text: str) -> None:
        super().__init__("127.0.0.1:1", describe_timeout_s=1, tile_timeout_s=1)
        self._text = text

    async def _infer(self, *arguments: Any, **options: Any) -> Answer:
        return Answer(self._text)


@pytest.mark.parametrize("text", ["", "{}", '{"models": 1}', '{"models": [{"manifest": "{}"}]}'])
def test_description_of_another_version_makes_the_backend_unavailable(text: str) -> None:
    async def describe() -> None:
        backend = ForeignTriton(text)
        try:
            await backend.describe()
        finally:
            await backend.close()

    with pytest.raises(UnavailableError):
        asyncio.run(describe())


@pytest.mark.parametrize("cores", [1, 2, 16])
@pytest.mark.parametrize("scale", ["1.5", "4", "7.3"])
def test_targets_of_tiles_add_up_to_the_target(scale: str, cores: int) -> None:
    rows, columns = (Axis(length, Scale.parse(scale), WINDOW) for length in (301, 97))
    tiles = [
        TileGeometry.of(rows, columns, row, column) for row in rows.spans(cores) for column in columns.spans(cores)
    ]
    samples = sum(client._target_samples(tile, WINDOW) for tile in tiles)

    assert samples == 3 * rows.target_length * columns.target_length


def test_target_of_cores_that_are_not_in_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="not within"):
        client._target_samples(TileGeometry(8, 8, Scale(4, 1), (0, 8, 0, 8), (0, 9, 0, 1)), WINDOW)
