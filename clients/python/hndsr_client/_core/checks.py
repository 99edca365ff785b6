"""Where to call, how long to wait and what to send along, checked before anything is called."""

from __future__ import annotations

import inspect
import ipaddress
import re
from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np

from hndsr_client.errors import ArgumentError

HookT = TypeVar("HookT", bound=Callable[[], Mapping[str, str]])

# About three years. gRPC takes spans of centuries for none at all.
MAX_TIMEOUT_S = 100_000_000
MAX_PORT = 65_535

# Left to gRPC are names with a scheme, with a path, without a port, and ports that have names.
_HOST_AND_PORT = re.compile(r"(?P<host>\[[^\]]*\]|[^:/\[\]]*):(?P<port>[+-]?[0-9]*)")
_SCHEMES = {"dns", "ipv4", "ipv6", "unix", "unix-abstract", "vsock", "xds"}
_SCHEME = re.compile(r"(dns:(///)?|ipv4:|ipv6:)")
# What may stand behind "Bearer": RFC 6750, 2.1.
_API_KEY = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_METADATA_NAME = re.compile(r"(?!grpc-)[a-z0-9_.-]+(?<!-bin)")


def checked_target(target: str) -> str:
    """The address, if gRPC would call what is written.

    Raises:
        ArgumentError: No readable text, empty, a URL, or HOST:PORT without a host or with a port outside 1 to 65535.
    """
    if not isinstance(target, str) or not target.strip() or not target.isprintable():
        raise ArgumentError(f"the target is {target!r}, accepted is HOST:PORT")
    if target.startswith(("http://", "https://")):
        raise ArgumentError(f"the target is {target!r}, accepted is HOST:PORT without a scheme; tls says if it is TLS")
    parts = _HOST_AND_PORT.fullmatch(target)
    if parts is not None and parts["host"] not in _SCHEMES:
        _check_parts(target, host=parts["host"], port=parts["port"])
    return target


def checked_timeout_s(timeout_s: float | None) -> float | None:
    """The span, if a call can be given it; None for any.

    Raises:
        ArgumentError: No number, or outside 0 to `MAX_TIMEOUT_S`.
    """
    if timeout_s is None:
        return None
    is_number = isinstance(timeout_s, (int, float, np.integer, np.floating)) and not isinstance(timeout_s, bool)
    if not is_number or not 0 < timeout_s <= MAX_TIMEOUT_S:
        raise ArgumentError(f"timeout_s is {timeout_s!r}, accepted is a number above 0, at most {MAX_TIMEOUT_S:,}")
    return float(timeout_s)


def checked_metadata(metadata: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """What is sent beside a request, if gRPC would send it. No message ever shows a value: they may be secrets.

    Raises:
        ArgumentError: No mapping, a name that is not lower case or belongs to gRPC, or a value that is no plain text.
    """
    if not isinstance(metadata, Mapping):
        raise ArgumentError(f"the metadata is {type(metadata).__name__}, accepted is a mapping of text to text")
    for name, value in metadata.items():
        _check_metadata(name, value)
    return tuple(metadata.items())


def checked_api_key(api_key: str | None) -> tuple[tuple[str, str], ...]:
    """What is sent of a key beside a request, nothing of None. No message ever shows it.

    Raises:
        ArgumentError: No text, empty, or with what no key has, such as a line's end.
    """
    if api_key is None:
        return ()
    if not isinstance(api_key, str) or not _API_KEY.fullmatch(api_key):
        raise ArgumentError("the API key cannot be sent, accepted is text of ASCII letters, digits and signs")
    return (("authorization", f"Bearer {api_key}"),)


def beside_key(
    authorization: tuple[tuple[str, str], ...], metadata: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Both together.

    Raises:
        ArgumentError: Both say who calls.
    """
    if authorization and any(name == "authorization" for name, _ in metadata):
        raise ArgumentError("api_key and the metadata's 'authorization' say the same; give one of them")
    return authorization + metadata


def is_on_this_machine(target: str) -> bool:
    """Whether nobody else sees what is sent to an address."""
    if target.startswith(("unix:", "unix-abstract:")):
        return True
    host = _SCHEME.sub("", target).rpartition(":")[0].strip("[]")
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def checked_hook(hook: HookT) -> HookT:
    """The function that is asked for metadata, if a client that does not await can call it.

    Raises:
        ArgumentError: It is async.
    """
    if inspect.iscoroutinefunction(hook):
        raise ArgumentError("the metadata's function is async; AsyncClient takes such, Client takes plain ones")
    return hook


def _check_metadata(name: str, value: str) -> None:
    if not isinstance(name, str) or not _METADATA_NAME.fullmatch(name):
        raise ArgumentError(
            f"the metadata's name {name!r} cannot be sent, accepted are lower-case letters, digits, '_', '.' and '-', "
            "neither beginning with 'grpc-' nor ending with '-bin'"
        )
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ArgumentError(f"the metadata's value of {name!r} cannot be sent, accepted is ASCII without line breaks")


def _check_parts(target: str, *, host: str, port: str) -> None:
    # gRPC drops the upper bits of a larger port, and so calls another.
    port_is_valid = port.isdigit() and len(port) <= len(str(MAX_PORT)) and 1 <= int(port) <= MAX_PORT
    if not host.strip() or not port_is_valid:
        raise ArgumentError(f"the target is {target!r}, accepted is HOST:PORT with a port from 1 to {MAX_PORT}")
