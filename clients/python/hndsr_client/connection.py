"""How a client reaches a server and how often it tries, as frozen data that both kinds of client take."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

from hndsr_client.errors import ArgumentError

Pem = str | os.PathLike[str] | bytes
"""A PEM file's path, or its content."""

# gRPC lets no ping follow another sooner.
MIN_KEEPALIVE_TIME_S = 10.0
MAX_SPAN_S = 1_000_000.0
MAX_ATTEMPTS = 100
MAX_MULTIPLIER = 100.0


@dataclass(frozen=True)
class Tls:
    """An encrypted connection, and who is believed at the other end of it.

    The files are read when a client is made with it. The key is never shown.

    Raises:
        ArgumentError: A client key without its certificate, or the reverse.
    """

    root_certificates: Pem | None = None
    """The authorities that may vouch for the server; None: those that gRPC brings, of the public web."""
    client_key: Pem | None = field(default=None, repr=False)
    """With `client_certificate`: who this client is, for servers that ask. An encrypted key cannot be used."""
    client_certificate: Pem | None = None
    server_name: str | None = None
    """The name in the server's certificate where it is not the target's host."""

    def __post_init__(self) -> None:
        if (self.client_key is None) != (self.client_certificate is None):
            missing = "client_key" if self.client_key is None else "client_certificate"
            raise ArgumentError(f"{missing} is not given, accepted are client_key and client_certificate together")


@dataclass(frozen=True)
class RetryBudget:
    """How many retries one client makes while little succeeds, so that a broken fleet is left in peace.

    A bucket of tokens: a retry takes one and needs the bucket more than half full, a call that succeeds puts some back.

    Source: gRFC A6, throttling of retries.

    Raises:
        ArgumentError: No tokens, or a negative number of them put back.
    """

    tokens: float = 10.0
    """What the bucket holds at first and at most."""
    tokens_per_success: float = 0.1

    def __post_init__(self) -> None:
        _check("tokens", self.tokens, minimum=1.0, maximum=MAX_SPAN_S)
        _check("tokens_per_success", self.tokens_per_success, minimum=0.0, maximum=MAX_SPAN_S)


@dataclass(frozen=True)
class Retry:
    """How calls are tried again: after UNAVAILABLE, and after OVERLOADED and QUOTA_EXCEEDED where the
    server says when.

    Before attempt n + 1 a client waits what the server asks for, and on top of it a random part of
    `initial_delay_s * multiplier ** (n - 1)`, or of `max_delay_s` if that is less. A call's `timeout_s` covers all of
    its attempts and pauses.

    Raises:
        ArgumentError: A number outside of what its field says.
    """

    max_attempts: int = 4
    """The first one included, 1 to 100."""
    initial_delay_s: float = 0.5
    max_delay_s: float = 20.0
    multiplier: float = 2.0
    """1 to 100."""
    budget: RetryBudget | None = field(default_factory=RetryBudget)
    """None: every call may use all of its attempts."""

    def __post_init__(self) -> None:
        if not isinstance(self.max_attempts, int):
            raise ArgumentError(f"max_attempts is {self.max_attempts!r}, accepted is an integer")
        _check("max_attempts", self.max_attempts, minimum=1, maximum=MAX_ATTEMPTS)
        _check("initial_delay_s", self.initial_delay_s, minimum=0.0, maximum=MAX_SPAN_S)
        _check("max_delay_s", self.max_delay_s, minimum=0.0, maximum=MAX_SPAN_S)
        _check("multiplier", self.multiplier, minimum=1.0, maximum=MAX_MULTIPLIER)


@dataclass(frozen=True)
class Keepalive:
    """When a connection that carries a call is pinged, so that a dead one is noticed.

    Raises:
        ArgumentError: A time below ten seconds, or no time to answer.
    """

    time_s: float = 310.0
    """Seconds of silence before a ping. Servers end connections that ping more often than they allow: every five
    minutes, unless told otherwise."""
    timeout_s: float = 20.0
    """Seconds that the ping's answer may take."""

    def __post_init__(self) -> None:
        _check("time_s", self.time_s, minimum=MIN_KEEPALIVE_TIME_S, maximum=MAX_SPAN_S)
        _check("timeout_s", self.timeout_s, minimum=0.001, maximum=MAX_SPAN_S)


def _check(name: str, value: float, *, minimum: float, maximum: float) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or not minimum <= value <= maximum:
        raise ArgumentError(f"{name} is {value!r}, accepted is a number from {minimum:g} to {maximum:,.0f}")
