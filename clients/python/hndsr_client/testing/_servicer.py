"""The contract's service, as the fake serves it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import Message

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1.upscale_pb2_grpc import UpscaleServiceServicer
from hndsr_client.testing import _answers
from hndsr_client.testing._failures import BeyondFakeError, Failure, Refusal
from hndsr_client.testing._parameters import Served
from hndsr_client.testing._queues import taken
from hndsr_client.testing._recorded import RecordedRequest
from hndsr_client.testing._streams import LostError, Script, stream

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
    script: Script = field(default_factory=Script)
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
        """The tiles."""
        return self._answer("PlanUpscale", request, context, partial(_answers.plan, request, self.served))

    def Upscale(  # noqa: N802  the contract's name
        self, request: pb.UpscaleRequest, context: grpc.ServicerContext
    ) -> pb.UpscaleResponse:
        """The nearest neighbours."""
        return self._answer("Upscale", request, context, partial(_answers.upscale, request, self.served))

    def UpscaleStream(  # noqa: N802  the contract's name
        self, request_iterator: Iterator[pb.UpscaleStreamRequest], context: grpc.ServicerContext
    ) -> Iterator[pb.UpscaleStreamResponse]:
        """The nearest neighbours, tile by tile; of what came in, the first message is kept."""
        first = next(request_iterator, pb.UpscaleStreamRequest())
        self._receive("UpscaleStream", first, context)
        try:
            yield from stream(first, request_iterator, lambda: self.served, self.script)
        except (Refusal, LostError) as ending:
            ending.failure.abort(context)

    def Compare(  # noqa: N802  the contract's name
        self, request: pb.CompareRequest, context: grpc.ServicerContext
    ) -> pb.CompareResponse:
        """How close two images are."""
        return self._answer("Compare", request, context, partial(_answers.compare, request))

    def _answer(self, method: str, request: Message, context: grpc.ServicerContext, answer: Callable[[], Any]) -> Any:
        failure = self._receive(method, request, context)
        try:
            response = answer()
        except (Refusal, BeyondFakeError) as refusal:
            refusal.failure.abort(context)
        else:
            if failure is not None:
                _answers.degrade(response.metadata, failure)
            return response

    def _receive(self, method: str, request: Message, context: grpc.ServicerContext) -> Failure | None:
        """Keep a request, and do with it what the test asked for; the failure that is to end in a lesser answer."""
        self.recorded.append(RecordedRequest(method, request, dict(context.invocation_metadata())))
        failure = taken(self.failures)
        self._hold_back(context)
        self.refuse(context)
        if failure is not None and not _answers.may_degrade(request, failure):
            failure.abort(context)
        return failure

    def _hold_back(self, context: grpc.ServicerContext) -> None:
        """Wait as long as the test asked for, or until the caller has gone."""
        ended = threading.Event()
        delay_s = taken(self.delays_s) or 0.0
        context.add_callback(ended.set)
        self.received.set()
        ended.wait(delay_s)
        if self.release is not None:
            context.add_callback(self.release.set)
            self.release.wait()
