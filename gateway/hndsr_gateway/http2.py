"""What the server allows on its connections, in the words of gRPC's own options."""

from __future__ import annotations

import resource
import sys

from hndsr_gateway.settings import Settings

MAX_CONNECTIONS = 4096
SHARE_OF_FILES = 0.5
"""Part of the files that the process may open that connections may take; workers and Triton need the rest."""

UNCOMPRESSED = 1 << 0
"""What messages may be compressed by: nothing. A thousand bytes of the way would be a million here, strangers' too."""

IDLE_S = 1800.0
"""How long a connection may carry no call before it is closed; its client opens another with its next call."""

HANDSHAKE_S = 20.0
"""How long a new connection may take until its settings are there."""

KEEPALIVE_S, KEEPALIVE_TIMEOUT_S = 60.0, 20.0
"""How long a connection may be silent before it is pinged, and how long the answer may take: else it is closed."""

MIN_PING_INTERVAL_S = 5.0
"""How often clients may ping, with calls or without; those that do so sooner, three times, are told to go away.

The SDK's shortest interval is ten seconds.
"""


def options(settings: Settings, *, calls: int) -> list[tuple[str, int]]:
    """Options of a server that allows so many calls at once.

    What gRPC sees to by itself is left as it is: streams that were reset count among those of their connection until
    they are gone, and of each read at most 32 new calls are taken.

    Source: grpc/impl/channel_arg_names.h.
    """
    chosen = {
        "grpc.max_receive_message_length": settings.max_message_bytes,
        "grpc.max_send_message_length": settings.max_message_bytes,
        "grpc.compression_enabled_algorithms_bitset": UNCOMPRESSED,
        "grpc.max_metadata_size": settings.max_metadata_bytes,
        "grpc.absolute_max_metadata_size": settings.max_metadata_bytes,
        "grpc.max_concurrent_streams": calls,  # a proxy may have one connection for everybody
        "grpc.max_allowed_incoming_connections": most_connections(),
        "grpc.max_connection_idle_ms": _milliseconds(IDLE_S),
        "grpc.server_handshake_timeout_ms": _milliseconds(HANDSHAKE_S),
        "grpc.keepalive_time_ms": _milliseconds(KEEPALIVE_S),
        "grpc.keepalive_timeout_ms": _milliseconds(KEEPALIVE_TIMEOUT_S),
        "grpc.http2.ping_timeout_ms": _milliseconds(KEEPALIVE_TIMEOUT_S),  # without it a minute, whatever that one says
        "grpc.keepalive_permit_without_calls": 1,
        "grpc.http2.max_pings_without_data": 0,  # of the server's own pings: all that are due
        "grpc.http2.min_ping_interval_without_data_ms": _milliseconds(MIN_PING_INTERVAL_S),
        "grpc.so_reuseport": int(settings.processes > 1),
    }
    if settings.max_connection_age_s:
        chosen["grpc.max_connection_age_ms"] = _milliseconds(settings.max_connection_age_s)
    return list(chosen.items())


def most_connections() -> int:
    """Connections that one process may have."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    known = files if files != resource.RLIM_INFINITY else sys.maxsize
    return min(MAX_CONNECTIONS, int(known * SHARE_OF_FILES))


def _milliseconds(span_s: float) -> int:
    return min(round(1000 * span_s), 2**31 - 1)
