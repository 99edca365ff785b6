"""What the fake keeps of each request."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message


@dataclass(frozen=True)
class RecordedRequest:
    """A request as it came in."""

    method: str
    """Of the contract's service, for instance "Upscale"."""
    message: Message
    metadata: dict[str, str | bytes]
    """What came beside it, gRPC's own included."""
