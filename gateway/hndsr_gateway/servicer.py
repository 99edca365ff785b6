"""`hndsr.v1.UpscaleService` over the service layer."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from importlib.metadata import version
from typing import Any, TypeVar

import grpc

from hndsr.v1 import upscale_pb2 as pb
from hndsr.v1 import upscale_pb2_grpc as pb_grpc
from hndsr_gateway import convert, convert_stream
from hndsr_gateway.caller import current_caller
from hndsr_gateway.errors import OverloadedError
from hndsr_gateway.fair_gate import FairGate, Ticket
from hndsr_gateway.service import UpscaleService
from hndsr_gateway.settings import Settings
from hndsr_gateway.strips import Answer, StreamStart, Strip
from hndsr_gateway.telemetry.calls import current_call

SERVICE: str = pb.DESCRIPTOR.services_by_name["UpscaleService"].full_name
MAX_PLANS, MAX_PLANS_OF_ONE = 16, 4
"""Plans that are made or wait at once: of all callers, and of each."""
PLAN_S = 0.1
"""What a plan counts as between callers, whatever its size, which is not known before it is made."""
RETRY_S = 1.0

PlanT = TypeVar("PlanT")


class PlanTurns:
    """Makes one plan at a time: a large one keeps the interpreter busy for about a second, two of them for two.

    Callers take turns, and plans a thread that nothing else waits for.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="plan")
        self._gate = FairGate(1)
        self._there: Counter[str] = Counter()

    async def make(self, plan: Callable[[], PlanT]) -> PlanT:
        """What `plan` returns, called in the thread as soon as it is the current caller's turn.

        Raises:
            OverloadedError: if too many wait.
        """
        caller_id = current_caller().id
        with self._let_in(caller_id):
            async with self._gate.place(Ticket(0, time.monotonic(), caller_id=caller_id), cost_s=PLAN_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, copy_context().run, plan)

    @contextlib.contextmanager
    def _let_in(self, caller_id: str) -> Iterator[None]:
        for there, limit, whose in (
            (self._there[caller_id], MAX_PLANS_OF_ONE, " of one caller"),
            (self._there.total(), MAX_PLANS, ""),
        ):
            if there >= limit:
                raise OverloadedError(f"{there} plans{whose} are made or wait, the most at once", retry_delay_s=RETRY_S)
        self._there[caller_id] += 1
        try:
            yield
        finally:
            self._there[caller_id] -= 1
            self._there += Counter()  # without callers who have none


class UpscaleServicer(pb_grpc.UpscaleServiceServicer):
    """Reads messages, calls the service, writes messages; errors are answered by the interceptor."""

    def __init__(self, service: UpscaleService, settings: Settings) -> None:
        self._service, self._settings = service, settings
        self._plans = PlanTurns()

    async def GetModelInfo(self, request: pb.GetModelInfoRequest, context: Any) -> pb.GetModelInfoResponse:  # noqa: N802, ARG002 - the contract's names
        """The models and limits."""
        catalogue = self._service.catalogue
        return pb.GetModelInfoResponse(
            models=[convert.model_message(model) for model in catalogue.models],
            default_model=catalogue.default_model,
            limits=convert.limits_message(self._settings),
            gateway_version=version("hndsr"),
        )

    async def PlanUpscale(self, request: pb.PlanUpscaleRequest, context: Any) -> pb.PlanUpscaleResponse:  # noqa: N802, ARG002 - the contract's names
        """How an image would be cut."""
        size = (request.source_height_px, request.source_width_px)
        return await self._plans.make(lambda: self._plan(size, request))

    def _plan(self, size: tuple[int, int], request: pb.PlanUpscaleRequest) -> pb.PlanUpscaleResponse:
        plan, estimated_s = self._service.plan(
            size,
            convert.parameters_of(request.parameters),
            sample_type=convert.sample_type_name(request.sample_type),
            cores=request.cores_per_tile,
        )
        return convert.plan_response(plan, estimated_s=estimated_s)

    async def Upscale(self, request: pb.UpscaleRequest, context: Any) -> bytes:  # noqa: N802 - the contract's name
        """One whole image; answers with an UpscaleResponse."""
        answer = await self._service.upscale(convert.upscale_request_of(request), deadline_s=_deadline_s(context))
        return await asyncio.to_thread(convert.upscale_response, answer)

    async def UpscaleStream(self, requests: AsyncIterator[bytes], context: Any) -> None:  # noqa: N802 - the contract's name
        """An image of any size; writes to the context by itself, to see when its caller does not read."""
        call = current_call()

        async def start() -> StreamStart:
            message = await anext(requests, b"")
            call.received_bytes += len(message)
            return convert_stream.start_of(message)

        async def send(answer: Answer) -> None:
            message = convert_stream.answer_bytes(answer)
            await context.write(message)
            call.sent_bytes += len(message)

        async def strips() -> AsyncIterator[Strip]:
            async for request in requests:
                call.received_bytes += len(request)
                yield convert_stream.strip_of(request)

        await self._service.stream(start(), strips(), send)

    async def Compare(self, request: pb.CompareRequest, context: Any) -> pb.CompareResponse:  # noqa: N802 - the contract's name
        """How close one image is to another."""
        image = convert.source_of(request.image, field="image.")
        reference = convert.source_of(request.reference, field="reference.")
        answer = await self._service.compare(
            image, reference, data_range=request.data_range, deadline_s=_deadline_s(context)
        )
        return convert.compare_response(answer)


def _deadline_s(context: Any) -> float | None:
    """When a call's caller gives up, by the monotonic clock."""
    remaining_s = context.time_remaining()
    return None if remaining_s is None else time.monotonic() + remaining_s


def add_to_server(servicer: UpscaleServicer, server: Any) -> None:
    """Register a servicer, which takes and gives bytes instead of messages where that spares copies of pixels."""
    handlers = {
        "Upscale": grpc.unary_unary_rpc_method_handler(
            servicer.Upscale, request_deserializer=pb.UpscaleRequest.FromString
        ),
        "UpscaleStream": grpc.stream_stream_rpc_method_handler(servicer.UpscaleStream),
    }
    # Of several handlers of a name the first one counts, of several registered ones the last; before grpcio 1.81
    # asyncio's servers know the first kind only.
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    pb_grpc.add_UpscaleServiceServicer_to_server(servicer, server)
    server.add_registered_method_handlers(SERVICE, handlers)
