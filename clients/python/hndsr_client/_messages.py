"""What the errors of the SDK are called on the command line."""

from __future__ import annotations

import re

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
OVERWRITING = "allow overwriting it", "replace it with --overwrite"


def error_message(error: HndsrError) -> str:
    """What is wrong, in the words of the command line."""
    if isinstance(error, ServiceError):
        hint = "; for hndsr: set HNDSR_API_KEY" if error.reason == "UNAUTHENTICATED" else ""
        return f"{error}{hint} [{error.reason}]"
    if isinstance(error, LocalFileError):
        return str(error).replace(*OVERWRITING)
    message = str(error)
    for word, option in WORDS.items():
        message = message.replace(word, option, 1)
    return named_as_options(message)


def named_as_options(message: str) -> str:
    """A message whose subject is an argument of the SDK, with that as an option."""
    subject = SUBJECT.match(message)
    return message if subject is None else f"{ARGUMENTS[subject[1]]}{message[subject.end() :]}"


def file_error_message(source: object, error: HndsrError) -> str:
    """The same, led by the file that it concerns; what is wrong with files names them itself."""
    message = error_message(error)
    return message if isinstance(error, LocalFileError) else f"{source}: {message}"
