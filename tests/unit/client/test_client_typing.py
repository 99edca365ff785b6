"""What documentation tools and type checkers see of the public methods."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import pytest

from hndsr_client import AsyncClient, Client, async_upscale_files, upscale_files
from hndsr_client._core.calls import FileOptions

METHODS = [
    method for kind in (Client, AsyncClient) for name, method in vars(kind).items() if inspect.isfunction(method)
]


@pytest.mark.parametrize("function", [*METHODS, upscale_files, async_upscale_files], ids=lambda each: each.__qualname__)
def test_type_hints_can_be_read(function: Callable[..., Any]) -> None:
    assert "return" in get_type_hints(function)


def test_options_of_a_batch_are_those_of_a_file() -> None:
    of_a_file = set(inspect.signature(Client.upscale_file).parameters) - {"self", "source", "destination"}
    assert set(FileOptions.__annotations__) | {"format", "overwrite"} == of_a_file
