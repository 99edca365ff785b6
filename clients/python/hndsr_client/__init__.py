"""Python SDK and command line of HNDSR: super-resolution of satellite and aerial imagery.

with Client("127.0.0.1:50051") as client:
    target = client.upscale(source, scale=4)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from hndsr_client.errors import (
    AccessError,
    AnswerError,
    ArgumentError,
    DeadlineError,
    DestinationError,
    EmbeddedGatewayError,
    EmbeddedNotInstalledError,
    HndsrError,
    ImageTooLargeError,
    InvalidRequestError,
    LocalFileError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    ServerError,
    ServiceError,
    UnavailableError,
)

if TYPE_CHECKING:
    from hndsr_client.client import Client
    from hndsr_client.results import Limits, ModelInfo, Options, Plan, ServiceInfo, Span, Upscaled, UpscaleMetadata

__all__ = [
    "AccessError",
    "AnswerError",
    "ArgumentError",
    "Client",
    "DeadlineError",
    "DestinationError",
    "EmbeddedGatewayError",
    "EmbeddedNotInstalledError",
    "HndsrError",
    "ImageTooLargeError",
    "InvalidRequestError",
    "Limits",
    "LocalFileError",
    "ModelInfo",
    "NotFoundError",
    "Options",
    "OverloadedError",
    "Plan",
    "PreconditionError",
    "ServerError",
    "ServiceError",
    "ServiceInfo",
    "Span",
    "UnavailableError",
    "UpscaleMetadata",
    "Upscaled",
]

if not TYPE_CHECKING:
    # They take gRPC and NumPy with them: imported when first asked for, an interrupt finds the command ready for it.
    _LATER = {
        "Client": "client",
        "Limits": "results",
        "ModelInfo": "results",
        "Options": "results",
        "Plan": "results",
        "ServiceInfo": "results",
        "Span": "results",
        "UpscaleMetadata": "results",
        "Upscaled": "results",
    }

    def __getattr__(name: str) -> object:
        if name in _LATER.values():
            return import_module(f"{__name__}.{name}")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
