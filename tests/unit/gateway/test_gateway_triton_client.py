"""What a Triton that is not ours may answer."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from hndsr_gateway.errors import UnavailableError
from hndsr_gateway.triton.client import TritonBackend


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
