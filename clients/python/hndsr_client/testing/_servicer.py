"""The contract's service, as the fake serves it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1.upscale_pb2_grpc import UpscaleServiceServicer
from hndsr_client.testing import _answers
from hndsr_client.testing._failures import BeyondFakeError, Failure, Refusal
from hndsr_client.testing._parameters import Served
from hndsr_client.testing._recorded import RecordedRequest

ItemT = TypeVar("ItemT")

MODEL = "nearest"
REVISION = "5ca1ab1e" * 8


@dataclass
class NearestServicer(UpscaleServiceServicer):
    """Keeps each request; `refuse` may abort a call, `release` holds it back until it is set."""

    revision: str = REVISION
    models: tuple[str, ...] = (MODEL,)
    recorded: list[RecordedRequest] = field(default_factory=list)
    failures: deque[Failure] = field(default_factory=deque)
    delays_s: deque[float] = field(default_factory=deque)
    refuse: Callable[[grpc.ServicerContext], None] = lambda _: None
    received: threading.Event = field(default_factory=threading.Event)
    release: threading.Event | None = None

    @property
    def served(self) -> Served:
        """What it says it serves, now."""
        return Served(self.models, self.revision)

    @property
    def requests(self) -> list[Any]:
        """The messages alone."""
        return [request.message for request in self.recorded]

    def GetModelInfo(  # noqa: N802  the contract's name
        self, request: pb.GetModelInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetModelInfoResponse:
        """The models and their limits."""
        return self._answer("GetModelInfo", request, context, partial(_answers.info, self.served))

    def PlanUpscale(  # noqa: N802  the contract's name
        self, request: pb.PlanUpscaleRequest, context: grpc.ServicerContext
    ) -> pb.PlanUpscaleResponse:
        """One tile."""
        return self._answer("PlanUpscale", request, context, partial(_answers.plan, request, self.served))

    def Upscale(  # noqa: N802  the contract's name
        self, request: pb.UpscaleRequest, context: grpc.ServicerContext
    ) -> pb.UpscaleResponse:
        """The nearest neighbours."""
        return self._answer("Upscale", request, context, partial(_answers.upscale, request, self.served))

    def Compare(  # noqa: N802  the contract's name
        self, request: pb.CompareRequest, context: grpc.ServicerContext
    ) -> pb.CompareResponse:
        """How close two images are."""
        return self._answer("Compare", request, context, partial(_answers.compare, request))

    def _answer(self, method: str, request: Message, context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
        self.recorded.append(RecordedRequest(method, request, dict(context.invocation_metadata())))
        failure = _next(self.failures)
        self._hold_back(context)
        self.refuse(context)
        if failure is not None:
            failure.abort(context)
        try:
            return answer()
        except (Refusal, BeyondFakeError) as refusal:
            refusal.failure.abort(context)

    def _hold_back(self, context: grpc.ServicerContext) -> None:
        """Wait as long as the test asked for, or until the caller has gone."""
        ended = threading.Event()
        delay_s = _next(self.delays_s) or 0.0
        context.add_callback(ended.set)
        self.received.set()
        ended.wait(delay_s)
        if self.release is not None:
            context.add_callback(self.release.set)
            self.release.wait()


def _next(queue: deque[ItemT]) -> ItemT | None:
    """What comes next, each to one of the threads; None where nothing does."""
    try:
        return queue.popleft()
    except IndexError:
        return None
