"""The server of the fake, and what a test tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any

import grpc

from hndsr.v1.upscale_pb2_grpc import add_UpscaleServiceServicer_to_server
from hndsr_client.errors import ArgumentError
from hndsr_client.testing._failures import DELAYS_S, Failure, usual_code
from hndsr_client.testing._recorded import RecordedRequest
from hndsr_client.testing._servicer import MODEL, REVISION, NearestServicer
from hndsr_client.testing._streams import TileFailure

THREADS = 32
"""A stream holds one for as long as it lasts."""


class FakeServer(AbstractContextManager["FakeServer"]):
    """A service on a free port of this machine that enlarges by the nearest neighbour. It serves until `close`.

    Attributes:
        target: "127.0.0.1:PORT", for `Client` and `AsyncClient`.
    """

    def __init__(
        self,
        *,
        revision: str = REVISION,
        models: Sequence[str] = (MODEL,),
        port: int = 0,
        max_message_bytes: int = -1,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        """Start to serve.

        Args:
            revision: What the models' revision is at first.
            models: Names of what it serves, all alike; requests that name none are for the first.
            port: Where it serves, 0 for any free port.
            max_message_bytes: The largest request that is taken, -1 for any.
            credentials: Those of TLS, `grpc.ssl_server_credentials(...)`; None: not encrypted.

        Raises:
            ArgumentError: No model.
        """
        if isinstance(models, str) or not models:
            raise ArgumentError(f"models is {models!r}, accepted is a list of one name or more")
        self._servicer = NearestServicer(revision=revision, models=tuple(models))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="hndsr-fake")
        self._server = grpc.server(self._threads, options=[("grpc.max_receive_message_length", max_message_bytes)])
        add_UpscaleServiceServicer_to_server(self._servicer, self._server)
        self.target: str = f"127.0.0.1:{_bound(self._server, port, credentials)}"
        self._server.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End calls under way and stop serving. Closing twice is fine."""
        self._server.stop(None).wait()
        self._threads.shutdown()

    @property
    def requests(self) -> tuple[RecordedRequest, ...]:
        """What came in so far, in order; what was refused is among it."""
        return tuple(self._servicer.recorded)

    @property
    def tiles(self) -> tuple[tuple[int, int], ...]:
        """The tiles, (row, column), that streams brought whole so far, in order; those that failed are among them."""
        return tuple(self._servicer.script.tiles)

    @property
    def revision(self) -> str:
        """The models' revision; set it, and the server has changed, and ends its streams at their next tile."""
        return self._servicer.revision

    @revision.setter
    def revision(self, revision: str) -> None:
        self._servicer.revision = revision

    def fail_next(
        self,
        *,
        code: str | None = None,
        reason: str | None = None,
        message: str = "the test asked for this",
        retry_delay_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        violations: Sequence[tuple[str, str]] = (),
        times: int = 1,
    ) -> None:
        """Fail the next requests, streams at their start; asking again adds to what was asked for before.

        Upscale calls that allow a lesser answer get one, as of a gateway, which `metadata.degraded` says.

        Args:
            code: Name of the gRPC status; None: the one that the gateway answers with the reason, and its delay of
                1 s where it names one; UNAVAILABLE without a reason.
            reason: As the gateway names it, for instance "OVERLOADED"; None: the bare status, as of a proxy.
            message: What the error says.
            retry_delay_s: When to try again, in the error's RetryInfo; needs a reason.
            metadata: The facts beside the reason.
            violations: Fields of the request that are at fault, each with a description.
            times: How many requests.

        Raises:
            ArgumentError: No status of that name, details without a reason, or a reason without a code that the
                gateway does not have.
        """
        if code is None:
            code = usual_code(reason)
            retry_delay_s = DELAYS_S.get(reason or "") if retry_delay_s is None else retry_delay_s
        failure = Failure(code, reason, message, retry_delay_s, metadata or {}, violations)
        self._servicer.failures.extend([failure] * times)

    def delay_next(self, seconds: float, *, times: int = 1) -> None:
        """Answer the next requests so much later, unless their callers go away before."""
        self._servicer.delays_s.extend([seconds] * times)

    def fail_tiles(
        self,
        *,
        reason: str = "BACKEND_UNAVAILABLE",
        message: str = "the test asked for this",
        retry_delay_s: float | None = None,
        times: int = 1,
        after: int = 0,
    ) -> None:
        """Answer the next tiles of streams by a TileError, which ends no stream.

        Args:
            reason: As the gateway names it.
            message: What the error says.
            retry_delay_s: When to send the tile again; None: the delay that the gateway names with the reason, and
                with most of them never.
            times: How many tiles.
            after: How many tiles are answered before.

        Raises:
            ArgumentError: A reason that the gateway does not have.
        """
        usual_code(reason)
        delay_s = DELAYS_S.get(reason) if retry_delay_s is None else retry_delay_s
        failure = TileFailure(reason, message, delay_s)
        self._servicer.script.failures.extend([None] * after + [failure] * times)

    def drop_streams(self, *, after_tiles: int = 0, times: int = 1) -> None:
        """Lose the connections of the next streams, each when so many of its tiles are answered."""
        self._servicer.script.drops.extend([after_tiles] * times)


def _bound(server: Any, port: int, credentials: grpc.ServerCredentials | None) -> int:
    """The port that it serves on."""
    address = f"127.0.0.1:{port}"
    return server.add_insecure_port(address) if credentials is None else server.add_secure_port(address, credentials)
