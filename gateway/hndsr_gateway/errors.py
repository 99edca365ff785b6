"""Everything the gateway can refuse or fail at, as one tree without any transport in it.

GatewayError
├── InvalidRequestError       the caller can mend the request
│   ├── ImageTooLargeError, SideTooLongError, AnswerTooLargeError, EmptyImageError, RawImageError
│   ├── BeyondQuotaError, TileBeyondQuotaError
│   ├── UnsupportedFormatError, DamagedImageError, DecompressionBombError
│   ├── OutputUnsupportedError, ReferenceMismatchError
│   ├── ScaleOutOfRangeError, OptionOutOfRangeError, ValueRangeError
│   ├── PlanIncompatibleError
│   └── StreamProtocolError, TileMismatchError, ChecksumMismatchError
├── ModelNotFoundError        the caller can name another model
├── RevisionChangedError      the caller holds a stale view of the server
├── UnauthenticatedError      the caller can show who it is
├── PermissionDeniedError     the caller's operator can give it the right
├── OverloadedError           the caller can try again, later
├── QuotaExceededError        the caller can try again, later
├── UnavailableError          the caller can try again
│   └── StreamStalledError
├── BackendMismatchError      the operator can deploy gateway and models in one version
├── NotFiniteError            the caller can try other options
└── RequestTimeoutError       the caller gave too little time
StartupError                  the operator can mend the installation; no caller ever sees it

The message of an error is what happened and, behind a semicolon, the remedy of its class. `docs/errors.md` is made from
the classes: reason, status, first line of the docstring, remedy.
"""

from __future__ import annotations

from typing import ClassVar


class GatewayError(Exception):
    """Something unforeseen happened in the server."""

    reason: ClassVar[str] = "INTERNAL"
    """API: stable, upper snake case."""
    remedy: ClassVar[str] = "ask the server's operator to look into its log"

    def __init__(self, happened: str) -> None:
        super().__init__(f"{happened}; {self.remedy}")


class InvalidRequestError(GatewayError):
    """The request cannot be served as it is.

    `field` is the path of the offending field in the request.
    """

    reason = "INVALID_REQUEST"
    remedy = "mend the field that is named"

    def __init__(self, happened: str, *, field: str) -> None:
        super().__init__(happened)
        self.field = field


class ImageTooLargeError(InvalidRequestError):
    """The image exceeds `HNDSR_MAX_SOURCE_PX` or, enlarged, `HNDSR_MAX_TARGET_PX` or the message size."""

    reason = "IMAGE_TOO_LARGE"
    remedy = (
        "send it in parts, or have the operator raise HNDSR_MAX_SOURCE_PX, HNDSR_MAX_TARGET_PX or "
        "HNDSR_MAX_MESSAGE_BYTES"
    )

    def __init__(self, *, which: str, height: int, width: int, limit_px: int) -> None:
        super().__init__(
            f"the {which} image has {height} x {width} = {height * width:,} px, the limit is {limit_px:,} px",
            field="image",
        )


class AnswerTooLargeError(InvalidRequestError):
    """The answer's file does not fit into a message."""

    reason = "IMAGE_TOO_LARGE"
    remedy = "ask for another format or a lower quality, or have the operator raise HNDSR_MAX_MESSAGE_BYTES"

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(f"the answer takes {size_bytes:,} bytes, the limit is {limit_bytes:,}", field="output_format")


class SideTooLongError(InvalidRequestError):
    """A side of the target is longer than a plan can list."""

    reason = "IMAGE_TOO_LARGE"
    remedy = "send the image in parts"

    def __init__(self, *, length: int, limit: int) -> None:
        super().__init__(f"a side of the target has {length:,} px, the limit is {limit:,} px", field="image")


class BeyondQuotaError(InvalidRequestError):
    """The target has more pixels than the caller may have in an hour: waiting would not help."""

    reason = "IMAGE_TOO_LARGE"
    remedy = "send the image in parts or as a stream, or ask the server's operator for more"

    def __init__(self, *, target_px: int, limit_px: int) -> None:
        super().__init__(
            f"the target has {target_px:,} px, this caller may have {limit_px:,} px per hour", field="image"
        )
        self.target_px, self.limit_px = target_px, limit_px


class TileBeyondQuotaError(InvalidRequestError):
    """A tile of a stream has more pixels than the caller may have in an hour: waiting would not help."""

    reason = "IMAGE_TOO_LARGE"
    remedy = "ask for a smaller cores_per_tile (`--tile-cores`), or ask the server's operator for more"

    def __init__(self, *, target_px: int, limit_px: int) -> None:
        super().__init__(
            f"a tile has {target_px:,} px, this caller may have {limit_px:,} px per hour", field="start.cores_per_tile"
        )


class EmptyImageError(InvalidRequestError):
    """No image, or one without a pixel."""

    reason = "EMPTY_IMAGE"
    remedy = "send an image file or raw pixels of at least 1 x 1 px"

    def __init__(self, *, field: str = "image") -> None:
        super().__init__("the request holds no pixel", field=field)


class UnsupportedFormatError(InvalidRequestError):
    """The image file is of a kind that is not read: its format, its bands, its sample type, or more than one frame."""

    reason = "UNSUPPORTED_FORMAT"
    remedy = (
        "send a PNG, JPEG, WebP or TIFF file of one picture with 8- or 16-bit grey or colour samples, or raw pixels of "
        "three bands"
    )

    def __init__(self, found: str, *, field: str = "encoded") -> None:
        super().__init__(found, field=field)


class DamagedImageError(InvalidRequestError):
    """The image file is cut off, or contradicts its own format."""

    reason = "IMAGE_DAMAGED"
    remedy = "send the file whole, as it was written"

    def __init__(self, found: str, *, field: str = "encoded") -> None:
        super().__init__(found, field=field)


class DecompressionBombError(InvalidRequestError):
    """Reading the image file takes more memory or time than any honest file of its size would."""

    reason = "DECOMPRESSION_BOMB"
    remedy = "write the file anew without what bloats it, or send raw pixels"

    def __init__(self, *, what: str, limit: str, field: str = "encoded") -> None:
        super().__init__(f"reading the image file takes more than {limit} of {what}", field=field)


class RawImageError(InvalidRequestError):
    """Raw pixels, or their mask, do not have the size that their shape says."""

    reason = "RAW_IMAGE_INVALID"
    remedy = "send height x width x 3 little-endian samples of the type that is said, and one mask bit for each pixel"


class OutputUnsupportedError(InvalidRequestError):
    """The format that is asked for cannot hold the answer: its bits, its mask, its size, or its encoding options."""

    reason = "OUTPUT_UNSUPPORTED"
    remedy = "ask for another format or other encoding options; PNG and TIFF without any hold whatever can be sent"

    def __init__(self, found: str, *, field: str = "output_format") -> None:
        super().__init__(found, field=field)


class ReferenceMismatchError(InvalidRequestError):
    """The reference is not of the size or sample type of what is measured against it, or leaves nothing to measure."""

    reason = "REFERENCE_MISMATCH"
    remedy = "send a reference of the target's height, width and sample type, of at least 9 x 9 px"

    def __init__(self, found: str) -> None:
        super().__init__(found, field="reference")


class ScaleOutOfRangeError(InvalidRequestError):
    """The scale is no number, or the model does not support it."""

    reason = "SCALE_OUT_OF_RANGE"
    remedy = "ask GetModelInfo, or `hndsr info`, for the scales of the model"

    def __init__(self, happened: str) -> None:
        super().__init__(happened, field="parameters.scale")


class OptionOutOfRangeError(InvalidRequestError):
    """An option of a generative model, or of the answer's encoding, exceeds its range."""

    reason = "OPTION_OUT_OF_RANGE"
    remedy = "choose a value within the range"

    def __init__(self, *, option: str, value: float, limit: float, least: float = 0, path: str = "") -> None:
        super().__init__(
            f"{option} is {value:g}, allowed are {least:g} to {limit:g}", field=path or f"parameters.options.{option}"
        )


class PlanIncompatibleError(InvalidRequestError):
    """A plan is asked for that this server does not make: its tiles are too large, or it cuts the image otherwise."""

    reason = "PLAN_INCOMPATIBLE"
    remedy = "let the server choose the plan, which begins the job anew, or go to a server that can make that plan"

    def __init__(self, happened: str, *, field: str = "cores_per_tile") -> None:
        super().__init__(happened, field=field)


class StreamProtocolError(InvalidRequestError):
    """The messages of a stream come in an order that the contract does not have."""

    reason = "STREAM_PROTOCOL"
    remedy = "send one start, then the strips of one tile after the other, each from top to bottom up to its last"

    def __init__(self, found: str, *, field: str = "message") -> None:
        super().__init__(found, field=field)


class TileMismatchError(InvalidRequestError):
    """A strip that does not belong to a tile of the plan, or does not have the size that the plan says."""

    reason = "TILE_MISMATCH"
    remedy = "send whole rows of the source rectangles that the plan names, at most 2 MiB or one row in a strip"

    def __init__(self, found: str, *, field: str = "strip") -> None:
        super().__init__(found, field=field)


class ChecksumMismatchError(InvalidRequestError):
    """A message of a stream cannot be read, or a strip is not what its checksum says: it was changed on its way."""

    reason = "CHECKSUM_MISMATCH"
    remedy = "go on in another stream; if that does not help, the network or the client's checksum is at fault"

    def __init__(self, found: str, *, field: str = "strip.checksum") -> None:
        super().__init__(found, field=field)


class ValueRangeError(InvalidRequestError):
    """Value ranges that are not one for each band, or not within the sample type."""

    reason = "VALUE_RANGE_INVALID"
    remedy = "give none, or one for each of the three bands, each with its minimum below its maximum"

    def __init__(self, happened: str) -> None:
        super().__init__(happened, field="parameters.value_ranges")


class ModelNotFoundError(GatewayError):
    """The server has no model of that name."""

    reason = "MODEL_NOT_FOUND"
    remedy = "name one that is served, or none for the default"

    def __init__(self, *, name: str, served: list[str]) -> None:
        super().__init__(f"model {name[:64]!r} is not served here, served are {', '.join(served)}")


class RevisionChangedError(GatewayError):
    """The model that is served is not of the revision that the caller requires."""

    reason = "REVISION_CHANGED"
    remedy = "start again without a required revision, or send the request to a server of that revision"

    def __init__(self, *, required: str, served: str) -> None:
        super().__init__(f"revision {required[:64]!r} is required, {served} is served")


class UnauthenticatedError(GatewayError):
    """The call does not say who makes it, or says it with a key, token or certificate that does not count here."""

    reason = "UNAUTHENTICATED"
    remedy = "send the metadata 'authorization: Bearer KEY' with a key or token that the server's operator gave you"


class PermissionDeniedError(GatewayError):
    """The caller is known, but may not make this call."""

    reason = "PERMISSION_DENIED"
    remedy = "ask the server's operator for a key or token with that scope"

    def __init__(self, *, name: str, scope: str) -> None:
        super().__init__(f"{name or 'this caller'} does not have the scope {scope!r}")


class OverloadedError(GatewayError):
    """As much waits as the settings allow, or the request cannot be done before its deadline.

    As much: requests, bytes, streams, plans, messages that come in, answers that are not taken, watchers of the health.
    """

    reason = "OVERLOADED"
    remedy = "try again after the delay that the answer's RetryInfo names"

    def __init__(self, happened: str, *, retry_delay_s: float) -> None:
        super().__init__(happened)
        self.retry_delay_s = retry_delay_s


class QuotaExceededError(GatewayError):
    """The caller, or its address, has had what it may have for now: requests, target pixels, or calls at once.

    `subject` is who, `quota` what and how much of it there is, `left` how much of that is left.
    """

    reason = "QUOTA_EXCEEDED"
    remedy = "try again after the delay that the answer's RetryInfo names, or ask the server's operator for more"

    def __init__(self, *, subject: str, quota: str, left: int, retry_delay_s: float) -> None:
        super().__init__(f"{subject} has {left:,} left of {quota}")
        self.subject, self.quota, self.left = subject, quota, left
        self.retry_delay_s = retry_delay_s


class UnavailableError(GatewayError):
    """The models cannot answer now, or the server is about to stop."""

    reason = "BACKEND_UNAVAILABLE"
    remedy = "try again after the delay that the answer's RetryInfo names"

    def __init__(self, happened: str = "the models cannot answer now", *, retry_delay_s: float = 1.0) -> None:
        super().__init__(happened)
        self.retry_delay_s = retry_delay_s


class StreamStalledError(UnavailableError):
    """The caller of a stream did not read, or did not send, for longer than `HNDSR_STREAM_STALL_S`."""

    reason = "STREAM_STALLED"
    remedy = "go on in another stream with the tiles that are missing, and read while you send"


class BackendMismatchError(GatewayError):
    """The models refuse what the gateway sends: they are of different versions."""

    reason = "BACKEND_MISMATCH"
    remedy = "have the operator deploy gateway and models in one version"

    def __init__(self) -> None:
        super().__init__("the models refuse what the gateway sends")


class NotFiniteError(GatewayError):
    """The model answered with something that is no number; of this image, with these options, it always would."""

    reason = "NOT_FINITE"
    remedy = "try fewer steps, a lower texture or another seed, and tell the server's operator"

    def __init__(self) -> None:
        super().__init__("the model answered with no numbers")


class RequestTimeoutError(GatewayError):
    """The time that the caller or the server allows passed before the work was done."""

    reason = "DEADLINE_EXCEEDED"
    remedy = "allow more time, up to the server's HNDSR_REQUEST_TIMEOUT_S, or send a smaller image"

    def __init__(self, happened: str = "the deadline passed before the image was done") -> None:
        super().__init__(happened)


class StartupError(Exception):
    """The server cannot start on this machine as it is installed or configured; the message names the remedy."""
