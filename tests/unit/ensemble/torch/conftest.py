"""The networks in torch, on the CPU."""

from pathlib import Path

import pytest
import torch

from hndsr_ensemble.engines.torch.windows import Networks

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def float_networks(repository: Path) -> Networks:
    return Networks.load(repository, torch.float32, CPU)


@pytest.fixture(scope="session")
def brief_networks(repository: Path) -> Networks:
    """In the arithmetic that takes a CPU the least time."""
    return Networks.load(repository, torch.bfloat16, CPU)
