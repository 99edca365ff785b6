"""What does it cost to be watched? Throughput with traces, metrics and their export, over that without any."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
from service import noise, running_service
from timing import Rounds, Work, in_turn, median

from hndsr_client import Client

SAMPLED = 0.01
"""Share of the calls that are traced, as a busy service would have it."""
ROUNDS = Rounds(least=5, most=15, budget_s=60)
WAYS = ("off", "sampled", "all")


@dataclass(frozen=True)
class Load:
    """Requests at 0 steps from clients that each wait for their answer."""

    model: str
    clients: int
    requests: int
    side_px: int


LOADS = (
    Load(model="bicubic", clients=4, requests=60, side_px=48),
    Load(model="hndsr", clients=4, requests=12, side_px=48),
)


def measure() -> dict[str, Any]:
    """Requests per second of three services in turn: unwatched, with 1 % of the calls traced, and with all."""
    with contextlib.ExitStack() as stack:
        sink = stack.enter_context(_collector())
        watched = {"OTEL_EXPORTER_OTLP_ENDPOINT": sink, "HNDSR_METRICS_LISTEN": "127.0.0.1:0"}
        share = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": str(SAMPLED)}
        variables: dict[str, dict[str, str]] = {"off": {}, "sampled": {**watched, **share}, "all": watched}
        services = {way: stack.enter_context(running_service(**variables[way])).address for way in WAYS}
        return {"sampled": SAMPLED, "loads": [_measured(services, load) for load in LOADS]}


def _measured(services: dict[str, str], load: Load) -> dict[str, Any]:
    taken = in_turn({way: _prepared(address, load) for way, address in services.items()}, ROUNDS)
    count = load.clients * load.requests
    rates = {way: count / median(seconds) for way, seconds in taken.items()}
    ratios = {way: median([off / on for off, on in zip(taken["off"], taken[way], strict=True)]) for way in WAYS[1:]}
    return {"model": load.model, "clients": load.clients, "rounds": len(taken["off"]), "rates": rates, "ratios": ratios}


def _prepared(address: str, load: Load) -> Any:
    def prepare(run: int) -> Work:
        images = [
            [noise(load.side_px, (run * load.clients + client) * load.requests + one) for one in range(load.requests)]
            for client in range(load.clients)
        ]
        return lambda: _send(address, load, images)

    return prepare


def _send(address: str, load: Load, images: list[list[np.ndarray]]) -> None:
    def one(mine: list[np.ndarray]) -> None:
        for image in mine:
            client.upscale(image, model=load.model, steps=0)

    with Client(address) as client, ThreadPoolExecutor(load.clients) as pool:
        for _ in pool.map(one, images):
            pass


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    """Takes whatever comes by OTLP, and keeps nothing."""
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((_Anything(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop(grace=None).wait()


class _Anything(grpc.GenericRpcHandler):
    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:  # noqa: ARG002 - all
        return grpc.unary_unary_rpc_method_handler(lambda _, __: b"")
