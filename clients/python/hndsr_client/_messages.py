"""What the errors of the SDK are called on the command line."""

from __future__ import annotations

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
}
CERTIFICATES = "root_certificates: ", "--ca: "
OVERWRITING = "allow overwriting it", "replace it with --overwrite"


def error_message(error: HndsrError) -> str:
    """What is wrong, in the words of the command line."""
    if isinstance(error, ServiceError):
        return f"{error} [{error.reason}]"
    if isinstance(error, LocalFileError):
        return str(error).replace(*OVERWRITING)
    name, verb, rest = str(error).replace(*CERTIFICATES).partition(" is ")
    return f"{ARGUMENTS.get(name, name)}{verb}{rest}"


def file_error_message(source: object, error: HndsrError) -> str:
    """The same, led by the file that it concerns; what is wrong with files names them itself."""
    message = error_message(error)
    return message if isinstance(error, LocalFileError) else f"{source}: {message}"
