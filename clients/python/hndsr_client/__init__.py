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
    GeoNotInstalledError,
    HndsrError,
    ImageTooLargeError,
    InvalidRequestError,
    JobError,
    JobInUseError,
    JobMismatchError,
    LocalFileError,
    NotFoundError,
    OverloadedError,
    PreconditionError,
    ServerError,
    ServiceError,
    SourceChangedError,
    UnavailableError,
)

if TYPE_CHECKING:
    from hndsr_client._core.parameters import UpscaleParameters
    from hndsr_client.async_client import AsyncClient
    from hndsr_client.batch import FileOutcome, async_upscale_files, upscale_files
    from hndsr_client.client import Client
    from hndsr_client.connection import Keepalive, Retry, RetryBudget, Tls
    from hndsr_client.raster import (
        RasterPlan,
        RasterProgress,
        RasterResult,
        RasterSource,
        RasterTarget,
        Verification,
        verify_raster,
    )
    from hndsr_client.results import (
        Degradation,
        Encoded,
        Limits,
        ModelInfo,
        Options,
        Plan,
        Progress,
        Quality,
        QualityReport,
        ServiceInfo,
        Span,
        StreamResult,
        TargetTile,
        Upscaled,
        UpscaleMetadata,
    )
    from hndsr_client.streaming import AsyncTileStream, TileStream, WindowedSink, WindowedSource

__all__ = [
    "AccessError",
    "AnswerError",
    "ArgumentError",
    "AsyncClient",
    "AsyncTileStream",
    "Client",
    "DeadlineError",
    "Degradation",
    "DestinationError",
    "EmbeddedGatewayError",
    "EmbeddedNotInstalledError",
    "Encoded",
    "FileOutcome",
    "GeoNotInstalledError",
    "HndsrError",
    "ImageTooLargeError",
    "InvalidRequestError",
    "JobError",
    "JobInUseError",
    "JobMismatchError",
    "Keepalive",
    "Limits",
    "LocalFileError",
    "ModelInfo",
    "NotFoundError",
    "Options",
    "OverloadedError",
    "Plan",
    "PreconditionError",
    "Progress",
    "Quality",
    "QualityReport",
    "RasterPlan",
    "RasterProgress",
    "RasterResult",
    "RasterSource",
    "RasterTarget",
    "Retry",
    "RetryBudget",
    "ServerError",
    "ServiceError",
    "ServiceInfo",
    "SourceChangedError",
    "Span",
    "StreamResult",
    "TargetTile",
    "TileStream",
    "Tls",
    "UnavailableError",
    "UpscaleMetadata",
    "UpscaleParameters",
    "Upscaled",
    "Verification",
    "WindowedSink",
    "WindowedSource",
    "async_upscale_files",
    "upscale_files",
    "verify_raster",
]

if not TYPE_CHECKING:
    # They take gRPC and NumPy with them: imported when first asked for, an interrupt finds the command ready for it.
    _MODULES = {
        "_core.parameters": ["UpscaleParameters"],
        "async_client": ["AsyncClient"],
        "batch": ["FileOutcome", "async_upscale_files", "upscale_files"],
        "client": ["Client"],
        "connection": ["Keepalive", "Retry", "RetryBudget", "Tls"],
        "results": [
            "Degradation",
            "Encoded",
            "Limits",
            "ModelInfo",
            "Options",
            "Plan",
            "Progress",
            "Quality",
            "QualityReport",
            "ServiceInfo",
            "Span",
            "StreamResult",
            "TargetTile",
            "UpscaleMetadata",
            "Upscaled",
        ],
        "raster": [
            "RasterPlan",
            "RasterProgress",
            "RasterResult",
            "RasterSource",
            "RasterTarget",
            "Verification",
            "verify_raster",
        ],
        "streaming": ["AsyncTileStream", "TileStream", "WindowedSink", "WindowedSource"],
        "notebook": [],
        "testing": [],
    }
    _LATER = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name: str) -> object:
        if name in _MODULES:
            return import_module(f"{__name__}.{name}")
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f"{__name__}.{_LATER[name]}"), name)

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
