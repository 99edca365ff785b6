"""torch.compile, where it decides nothing by the clock."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import TypeVar

import torch
from torch.fx.experimental import _config as symbolic_shapes

Function = TypeVar("Function", bound=Callable[..., torch.Tensor])

COMPILER_PROCESSES = "4"
"""Of each process that compiles, of which there may be several for each GPU; left alone, it is up to 32."""

OPTIONS = {
    "deterministic": True,
    "max_autotune": False,
    "coordinate_descent_tuning": False,
    "triton.cudagraphs": False,
}
"""Of the compiler, so that no kernel is chosen by how long it took."""


def may_compile(device: torch.device) -> bool:
    """Whether compiling is worth a try: on a GPU, with a compiler that can be told to be deterministic."""
    if device.type != "cuda" or find_spec("triton") is None:
        return False
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", COMPILER_PROCESSES)
    from torch._inductor import config  # noqa: PLC0415 - takes seconds, and is of no use without a GPU

    return hasattr(config, "deterministic")


def compiled(function: Function, *, dynamic: bool) -> Function:
    """A function that is compiled when it is first called.

    Args:
        function: of tensors.
        dynamic: whether one compilation serves all shapes.
    """
    if dynamic:
        # Else sides that happen to be equal at the first call would have to be equal for ever.
        symbolic_shapes.use_duck_shape = False
    return torch.compile(function, fullgraph=True, dynamic=dynamic, options=dict(OPTIONS))
