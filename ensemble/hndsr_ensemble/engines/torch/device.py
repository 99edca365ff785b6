"""The device: how it is opened, what it is called, and what keeps its bytes the same from run to run."""

from __future__ import annotations

import os

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
"""Arithmetic of the convolutions by the name that `EngineChoice` has for it."""
PRECISIONS = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
"""The same as it stands in a revision."""


def open_device(device: str, *, index: int = 0) -> torch.device:
    """A device to run on, made deterministic: no algorithm is chosen by a stopwatch, and fp32 is fp32.

    Args:
        device: `cpu` or `cuda`.
        index: of the CUDA device.
    """
    if device != "cuda":
        return torch.device("cpu")
    # cuBLAS reads it when its first handle is made.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.set_float32_matmul_precision("highest")
    opened = torch.device("cuda", index)
    torch.cuda.set_device(opened)
    return opened


def engine_name(device: torch.device, *, compiled: bool) -> str:
    """All that may decide about bytes: versions, whether kernels were compiled, and the GPU."""
    version = f"torch {torch.__version__} {'compiled' if compiled else 'eager'}"
    if device.type != "cuda":
        return f"{version}, cpu"
    major, minor = torch.cuda.get_device_capability(device)
    cudnn = torch.backends.cudnn.version()
    return f"{version}, {torch.cuda.get_device_name(device)}, sm_{major}{minor}, cudnn {cudnn}"


def upload(array: Shaped[np.ndarray, "..."], device: torch.device) -> Shaped[Tensor, "..."]:
    """A copy of an array on the device, made by the time that later work there needs it.

    The host does not wait: what it sends lies in pinned memory, which torch keeps until it has been sent.
    """
    is_gpu = device.type == "cuda"
    dtype = torch.from_numpy(np.empty(0, array.dtype)).dtype
    staged = torch.empty(array.shape, dtype=dtype, pin_memory=is_gpu)
    staged.numpy()[...] = array
    return staged.to(device, non_blocking=True) if is_gpu else staged
