"""Where and how a run computes: the device, the arithmetic, and the processes that share the work."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from hndsr_ensemble.engines.torch.compiling import OPTIONS, may_compile
from hndsr_ensemble.engines.torch.device import open_device
from hndsr_ensemble.training.config import TrainingConfig
from hndsr_ensemble.training.crops import Share
from hndsr_ensemble.training.errors import TrainingError

COMPILATIONS = 64
"""Of one piece of code: for every shape, with and without gradients, and for every network that shares the code."""
PATIENCE = timedelta(minutes=30)
"""How long processes wait for one another: the first compiles and writes while the others wait."""
SHARE_FOR_IMAGES = 0.4
"""Of a GPU's free memory, for each split of images that is to lie there; a batch needs the rest."""
MIB = 2**20

_alone = ContextVar("alone", default=False)


class DeviceError(TrainingError):
    """The device that was asked for is not there."""

    def __init__(self, *, device: str, wanted: int, found: int) -> None:
        super().__init__(
            f"{wanted} {device} devices are needed on this machine, {found} are there: start as many processes, "
            "or give --device cpu"
        )


class PrecisionError(TrainingError):
    """The device does not have the arithmetic that was asked for."""

    def __init__(self, *, precision: str, device: str) -> None:
        super().__init__(f"{device} has no {precision}; set precision to auto or float32")


class BatchError(TrainingError):
    """A batch cannot be shared out evenly."""

    def __init__(self, *, stage: str, batch: int, processes: int) -> None:
        super().__init__(f"{stage}.batch is {batch}, which {processes} processes cannot share evenly")


@dataclass(frozen=True)
class Execution:
    """One of the processes of a run."""

    device: torch.device
    share: Share
    is_bfloat16: bool
    """Whether most products are computed in bfloat16; weights, sums and what is sensitive stay in float32."""
    compiles: bool
    """Whether stages that are long enough are compiled."""

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and speaks."""
        return self.share.rank == 0

    def require_even(self, stage: str, batch: int) -> None:
        """Check that all processes get as much.

        Raises:
            BatchError: they do not.
        """
        if batch % self.share.ranks:
            raise BatchError(stage=stage, batch=batch, processes=self.share.ranks)

    def arithmetic(self) -> torch.autocast:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.is_bfloat16)

    def place(self, module: nn.Module) -> nn.Module:
        """Bring a module to the device; on a GPU its convolutions in the order that tensor cores read."""
        module.to(self.device)
        if self.device.type == "cuda":
            for part in module.modules():
                if isinstance(part, nn.Conv2d):
                    part.to(memory_format=torch.channels_last)
        return module

    def compile(self, module: nn.Module, *, dynamic: bool = False) -> None:
        """Have a module compiled when it is first called; `dynamic`: once for all shapes."""
        settings = torch._dynamo.config  # noqa: SLF001 - the compiler's settings have no other name
        settings.recompile_limit = COMPILATIONS
        # Else a part that is compiled while gradients are shared would be split into the pieces that they are sent in.
        settings.optimize_ddp = False
        module.compile(fullgraph=True, dynamic=dynamic, options=dict(OPTIONS))

    def uncompile(self, module: nn.Module) -> None:
        """Have a module and its parts run as they are written."""
        for part in module.modules():
            part._compiled_call_impl = None  # noqa: SLF001 - what `compile` sets, which has no opposite

    def room_for_images(self, limit_mib: int) -> int:
        """Bytes that a split's images may take on the device: of a GPU's, no more than a share of what is free."""
        if self.device.type != "cuda":
            return limit_mib * MIB
        free, _ = torch.cuda.mem_get_info(self.device)
        return min(limit_mib * MIB, int(SHARE_FOR_IMAGES * free))

    def shared(self, module: nn.Module) -> nn.Module:
        """A module whose gradients are the mean over all processes."""
        if self.share.ranks == 1:
            return module
        return DistributedDataParallel(module, broadcast_buffers=False)

    def finish(self) -> None:
        """Wait until the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def wait(self) -> None:
        """Wait until all processes have come here."""
        if self.share.ranks > 1:
            distributed.barrier()

    def agreed(self, value: int) -> int:
        """The first process's value."""
        if self.share.ranks == 1:
            return value
        shared = torch.tensor([value], device=self.device)
        distributed.broadcast(shared, 0)
        return int(shared)

    def all_agree(self, *, value: bool) -> bool:
        """Whether it is true in all processes."""
        if self.share.ranks == 1:
            return value
        shared = torch.tensor([int(value)], device=self.device)
        distributed.all_reduce(shared, distributed.ReduceOp.MIN)
        return bool(shared)


@contextmanager
def alone() -> Iterator[None]:
    """Wait for no other process: what is tried here may fail in one of them."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def mean_of_all(value: Tensor) -> Tensor:
    """The mean of a tensor over all processes, or of this one's if it is `alone`; without gradient."""
    if _alone.get() or not (distributed.is_available() and distributed.is_initialized()):
        return value.detach()
    total = value.detach().clone()
    distributed.all_reduce(total)
    return total / distributed.get_world_size()


@contextmanager
def open_execution(
    config: TrainingConfig, device: str, environment: Mapping[str, str] = os.environ
) -> Iterator[Execution]:
    """Open the device; join the other processes where `torchrun` started several.

    Args:
        config: precision and compilation.
        device: `auto`, `cpu` or `cuda`.
        environment: RANK, LOCAL_RANK, LOCAL_WORLD_SIZE and WORLD_SIZE as `torchrun` sets them.

    Raises:
        DeviceError: there are fewer GPUs than processes; with `auto`, some, but fewer.
        PrecisionError: the device has no bfloat16.
    """
    share = Share(int(environment.get("RANK", "0")), int(environment.get("WORLD_SIZE", "1")))
    kind = _kind(device, int(environment.get("LOCAL_WORLD_SIZE", "1")))
    opened = open_device(kind, index=int(environment.get("LOCAL_RANK", "0")))
    execution = Execution(
        device=opened,
        share=share,
        is_bfloat16=_is_bfloat16(config.precision, opened),
        compiles=config.compile == "auto" and may_compile(opened),
    )
    if share.ranks == 1:
        yield execution
        return
    distributed.init_process_group("nccl" if kind == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield execution
    finally:
        distributed.destroy_process_group()


def _kind(device: str, wanted: int) -> str:
    found = torch.cuda.device_count()
    if device == "cpu" or (device == "auto" and not found):
        return "cpu"
    if found < wanted:
        raise DeviceError(device="cuda", wanted=wanted, found=found)
    return "cuda"


def _is_bfloat16(precision: str, device: torch.device) -> bool:
    has = device.type == "cpu" or torch.cuda.get_device_capability(device) >= (8, 0)
    if precision == "bfloat16" and not has:
        raise PrecisionError(precision=precision, device=torch.cuda.get_device_name(device))
    return precision == "bfloat16" or (precision == "auto" and device.type == "cuda" and has)
