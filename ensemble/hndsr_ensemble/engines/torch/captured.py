"""Work over fixed buffers: recorded once as a CUDA graph and replayed, or called plainly elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import torch

TRIAL_RUNS = 2
"""Before it is recorded: libraries set up what may not be set up while a graph is recorded, kernels are compiled."""
SIGNS_OF_FULL_MEMORY = ("out of memory", "ALLOC_FAILED")
"""In errors of CUDA and its libraries, which ask for memory without torch: for graphs, kernels and handles."""


class GraphMemory:
    """Memory that graphs of one device share, and so hold once: they are never replayed side by side.

    None of them leaves anything in it; what a graph takes and gives lies in buffers of its caller.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None


class Captured:
    """A function without arguments that reads and writes fixed buffers.

    Args:
        function: called a few times on construction; may not wait for the device.
        memory: of its device.
    """

    def __init__(self, function: Callable[[], None], memory: GraphMemory) -> None:
        self._call = function if memory.pool is None else _record(function, memory)

    def __call__(self) -> None:
        """Run, or on a GPU queue, the function."""
        self._call()


@cache
def _stream_aside(device: torch.device) -> torch.cuda.Stream:
    """One for all recordings: libraries keep working memory for each stream that they have seen."""
    return torch.cuda.Stream(device)


def _record(function: Callable[[], None], memory: GraphMemory) -> Callable[[], None]:
    aside, current = _stream_aside(memory.device), torch.cuda.current_stream(memory.device)
    aside.wait_stream(current)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(aside):
            for _ in range(TRIAL_RUNS):
                function()
        # Other threads of this process may go on using CUDA.
        with torch.cuda.graph(graph, pool=memory.pool, stream=aside, capture_error_mode="thread_local"):
            function()
    except RuntimeError as error:
        if _is_full(error):
            raise torch.cuda.OutOfMemoryError(str(error)) from None
        raise
    finally:
        # A recording that broke leaves its stream the current one, and buffers that work is queued on there.
        torch.cuda.set_stream(current)
        current.wait_stream(aside)
    return graph.replay


def _is_full(error: RuntimeError) -> bool:
    """Whether it was for want of memory: a recording that broke cannot be ended either, and that hides why it broke."""
    causes = (error, error.__context__)
    return any(isinstance(cause, torch.cuda.OutOfMemoryError) or _says_full(str(cause)) for cause in causes)


def _says_full(message: str) -> bool:
    return any(sign in message for sign in SIGNS_OF_FULL_MEMORY)
