"""What the errors of the SDK are called on the command line."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from hndsr_client._core.quota import is_of_calls_at_once
from hndsr_client.errors import HndsrError, LocalFileError, ServiceError

ARGUMENTS = {
    "scale": "--scale",
    "steps": "--steps",
    "texture": "--texture",
    "seed": "--seed",
    "model": "--model",
    "quality": "--quality",
    "max_concurrency": "--jobs",
    "the target": "--target",
    "timeout_s": "--timeout",
    "source_height_px": "HEIGHT",
    "source_width_px": "WIDTH",
    "cores_per_tile": "--tile-cores",
    "bands": "--bands",
    "ranges": "--range",
    "percentiles": "--percentiles",
    "nodata": "--nodata",
    "nodata_rule": "--nodata-rule",
    "clip": "--clip",
    "region": "--window or --region",
    "the percentiles": "--percentiles",
    "the format": "--format",
    "the compression": "--compress",
    "the level": "--level",
    "the quality": "--quality",
    "the block": "--block",
    "the resampling": "--resampling",
    "the value range": "--range",
    "a value range": "--range",
}
SUBJECT = re.compile(rf"({'|'.join(map(re.escape, ARGUMENTS))})(?= (is|are|names|of band|goes)\b)")
WORDS = {
    "root_certificates: ": "--ca: ",
    "client_certificate: ": "--cert: ",
    "client_key: ": "--key: ",
    "the API key": "HNDSR_API_KEY",
    "pass tls=True, or tls=False": "give --tls, or --no-tls",
}
HINTS = {
    "UNAUTHENTICATED": "; for hndsr: set HNDSR_API_KEY",
}
SMALLER_TILES = "; for hndsr: a lower --tile-cores makes tiles smaller"
FEWER_CALLS = "; for hndsr batch: a lower --jobs makes fewer calls at once"
MAX_SHOWN_S = 600
SERVICE_WORDS = {
    " (Tls(root_certificates=...))": " (--ca)",
    " (Tls(server_name=...))": " (that of --target)",
    " (tls=True, Tls(root_certificates=...))": " (--tls, --ca)",
}
OVERWRITING = "allow overwriting it", "replace it with --overwrite"


def error_message(error: HndsrError) -> str:
    """What is wrong, in the words of the command line."""
    if isinstance(error, ServiceError):
        return f"{_replaced(str(error), SERVICE_WORDS)}{_delay(error.retry_delay_s)}{_hint(error)} [{error.reason}]"
    if isinstance(error, LocalFileError):
        return str(error).replace(*OVERWRITING)
    return named_as_options(_replaced(str(error), WORDS))


def named_as_options(message: str) -> str:
    """A message whose subject is an argument of the SDK, with that as an option."""
    subject = SUBJECT.match(message)
    return message if subject is None else f"{ARGUMENTS[subject[1]]}{message[subject.end() :]}"


def _replaced(message: str, words: Mapping[str, str]) -> str:
    for word, option in words.items():
        message = message.replace(word, option, 1)
    return message


def duration(seconds: float) -> str:
    """A span, rounded up: in seconds up to ten minutes, then in minutes."""
    if seconds <= 1:
        return f"{seconds:.2g} s"
    return f"{math.ceil(seconds)} s" if seconds <= MAX_SHOWN_S else f"{math.ceil(seconds / 60)} min"


def _delay(delay_s: float | None) -> str:
    return f"; that is in {duration(delay_s)}" if delay_s and delay_s > 0 else ""


def _hint(error: ServiceError) -> str:
    if error.reason == "IMAGE_TOO_LARGE" and "a tile has" in error.message and "--tile-cores" not in error.message:
        return SMALLER_TILES
    return FEWER_CALLS if is_of_calls_at_once(error) else HINTS.get(error.reason, "")


def file_error_message(source: object, error: HndsrError) -> str:
    """The same, led by the file that it concerns; what is wrong with files names them itself."""
    message = error_message(error)
    return message if isinstance(error, LocalFileError) else f"{source}: {message}"
