"""Everything the gateway can refuse or fail at, as one tree without any transport in it.

GatewayError
├── InvalidRequestError       the caller can mend the request
│   ├── ImageTooLargeError, UnsupportedFormatError, RawImageError
│   ├── ScaleOutOfRangeError, OptionOutOfRangeError, ValueRangeError, EmptyImageError
│   └── PlanIncompatibleError, SideTooLongError
├── ModelNotFoundError        the caller can name another model
├── RevisionChangedError      the caller holds a stale view of the server
├── OverloadedError           the caller can try again, later
├── UnavailableError          the caller can try again
├── BackendMismatchError      the operator can deploy gateway and models in one version
├── RequestTimeoutError       the caller gave too little time
└── StartupError              the operator can mend the installation
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Base of all errors the gateway raises on purpose. `reason` is API: stable, upper snake case."""

    reason: ClassVar[str] = "INTERNAL"


class InvalidRequestError(GatewayError):
    """The request cannot be served as it is; the message names the limit and the remedy.

    `field` is the path of the offending field in the request.
    """

    reason = "INVALID_REQUEST"

    def __init__(self, message: str, *, field: str) -> None:
        super().__init__(message)
        self.field = field


class ImageTooLargeError(InvalidRequestError):
    """The image exceeds `Settings.max_source_px` or, enlarged, `Settings.max_target_px`."""

    reason = "IMAGE_TOO_LARGE"

    def __init__(self, *, which: str, height: int, width: int, limit_px: int) -> None:
        super().__init__(
            f"the {which} image has {height} x {width} = {height * width:,} px, the limit is {limit_px:,} px; "
            "send it in parts, or have the operator raise HNDSR_MAX_SOURCE_PX, HNDSR_MAX_TARGET_PX or the message size",
            field="image",
        )


class SideTooLongError(ImageTooLargeError):
    """A side of the target is longer than a plan can list."""

    def __init__(self, *, length: int, limit: int) -> None:
        InvalidRequestError.__init__(
            self,
            f"a side of the target has {length:,} px, the limit is {limit:,} px; send the image in parts",
            field="image",
        )


class EmptyImageError(InvalidRequestError):
    """No image, or one without a pixel."""

    reason = "EMPTY_IMAGE"

    def __init__(self) -> None:
        super().__init__("the request holds no pixel; send a PNG file or raw pixels of at least 1 x 1", field="image")


class UnsupportedFormatError(InvalidRequestError):
    """The image file is of a kind that is not read, or damaged."""

    reason = "UNSUPPORTED_FORMAT"

    def __init__(self, *, found: str, field: str = "encoded") -> None:
        super().__init__(
            f"{found}; accepted are PNG files of 8-bit RGB, and raw pixels of uint8 or uint16 with three bands",
            field=field,
        )


class RawImageError(InvalidRequestError):
    """Raw pixels, or their mask, do not have the size that their shape says."""

    reason = "RAW_IMAGE_INVALID"


class ScaleOutOfRangeError(InvalidRequestError):
    """The scale is no number, or the model does not support it."""

    reason = "SCALE_OUT_OF_RANGE"

    def __init__(self, message: str) -> None:
        super().__init__(message, field="parameters.scale")


class OptionOutOfRangeError(InvalidRequestError):
    """An option of a generative model exceeds its range."""

    reason = "OPTION_OUT_OF_RANGE"

    def __init__(self, *, option: str, value: float, limit: float) -> None:
        super().__init__(f"{option} is {value:g}, allowed are 0 to {limit:g}", field=f"parameters.options.{option}")


class PlanIncompatibleError(InvalidRequestError):
    """A plan is asked for that this server cannot make."""

    reason = "PLAN_INCOMPATIBLE"

    def __init__(self, *, cores_per_tile: int, limit: int) -> None:
        super().__init__(
            f"tiles of {cores_per_tile} cores a side are asked for, the limit is {limit}; "
            "ask for 0 to let the server choose",
            field="cores_per_tile",
        )


class ValueRangeError(InvalidRequestError):
    """Value ranges that are not one for each band, or not within the sample type."""

    reason = "VALUE_RANGE_INVALID"

    def __init__(self, message: str) -> None:
        super().__init__(message, field="parameters.value_ranges")


class ModelNotFoundError(GatewayError):
    """The server has no model of that name."""

    reason = "MODEL_NOT_FOUND"

    def __init__(self, *, name: str, served: list[str]) -> None:
        super().__init__(f"model {name[:64]!r} is not served here; served are {', '.join(served)}")


class RevisionChangedError(GatewayError):
    """The model that is served is not of the revision that the caller requires."""

    reason = "REVISION_CHANGED"

    def __init__(self, *, required: str, served: str) -> None:
        super().__init__(
            f"revision {required[:64]!r} is required, {served} is served; start again without a required revision, "
            "or send the request to a server of that revision"
        )


class OverloadedError(GatewayError):
    """As many requests are being worked on as `Settings.max_concurrent_requests` allows."""

    reason = "OVERLOADED"

    def __init__(self, *, limit: int, retry_delay_s: float = 5.0) -> None:
        super().__init__(f"{limit} requests are being worked on, the most at once; try again in {retry_delay_s:g} s")
        self.retry_delay_s = retry_delay_s


class UnavailableError(GatewayError):
    """The backend cannot answer now; trying again may succeed."""

    reason = "BACKEND_UNAVAILABLE"

    def __init__(self, *, retry_delay_s: float = 1.0) -> None:
        super().__init__(f"the models cannot answer now; try again in {retry_delay_s:g} s")
        self.retry_delay_s = retry_delay_s


class BackendMismatchError(GatewayError):
    """The models refuse what the gateway sends: they are of different versions."""

    reason = "BACKEND_MISMATCH"

    def __init__(self) -> None:
        super().__init__("the models refuse what the gateway sends; its operator has to deploy both in one version")


class RequestTimeoutError(GatewayError):
    """The time that the caller or the server allows passed before the work was done."""

    reason = "DEADLINE_EXCEEDED"

    def __init__(self) -> None:
        super().__init__("the deadline passed before the image was done; allow more time or send a smaller image")


class StartupError(GatewayError):
    """The server cannot start on this machine as it is installed or configured."""

    reason = "STARTUP"
