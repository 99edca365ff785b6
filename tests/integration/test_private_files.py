"""What the embedded Triton leaves in folders of all users while it works: nothing that others can read."""

from __future__ import annotations

import asyncio
import stat
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import aio

from hndsr_gateway.triton.embedded import EmbeddedTriton, EmbeddedTritonOptions
from hndsr_gateway.triton.guard import SHARED_MEMORY
from hndsr_gateway.triton.workspace import temporary_folder

pytest.importorskip("pytriton")

MODELS = Path(__file__).with_name("tiny_models")
MORE_THAN_A_REGION_BYTES = 8 * 2**20
"""What makes Triton enlarge the region that it began with."""


async def modes_after_a_large_tensor() -> dict[str, int]:
    """Permissions by name, of all that appeared in the shared folders."""
    before = set(shared_files())
    async with EmbeddedTriton(EmbeddedTritonOptions(MODELS, ("reverses",), exit_timeout_s=5)) as triton:
        tensor = aio.InferInput("X", [MORE_THAN_A_REGION_BYTES], "UINT8")
        tensor.set_data_from_numpy(np.zeros(MORE_THAN_A_REGION_BYTES, np.uint8))
        async with aio.InferenceServerClient(triton.grpc_address) as client:
            await client.infer("reverses", [tensor], client_timeout=10)
        return {path.name: stat.S_IMODE(path.lstat().st_mode) for path in shared_files() if path not in before}


def shared_files() -> list[Path]:
    return [*SHARED_MEMORY.glob("hndsr_*"), *temporary_folder().glob("hndsr*")]


def test_embedded_triton_closes_all_that_it_makes_to_other_users() -> None:
    modes = asyncio.run(modes_after_a_large_tensor())
    assert len(modes) > 1
    assert {name: mode for name, mode in modes.items() if mode & 0o077} == {}
