"""Addresses of callers: who is at the other end of a connection, and which hosts only this machine can reach."""

from __future__ import annotations

import ipaddress
from urllib.parse import unquote

OTHERS = "others"
"""Stands for all callers without an address: those of a Unix socket, and what cannot be read."""
NETWORK_BITS = 64
"""Of IPv6: what one customer gets at least, and may choose addresses from as it likes. Source: RFC 6177, section 2."""


def is_loopback(host: str) -> bool:
    """Whether a host is this machine by its own name; a name that only resolves to it is not taken for it."""
    if host.lower() == "localhost":
        return True
    try:
        return _address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def network_of(peer: str) -> str:
    """The network that a peer belongs to: its IPv4 address, or the /64 of its IPv6 address.

    Args:
        peer: as gRPC writes it: `ipv4:10.0.0.1:4711`, `ipv6:%5B::1%5D:4711`, `unix:`.
    """
    host = unquote(peer).partition(":")[2].rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = _address(host)
    except ValueError:
        return OTHERS
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(ipaddress.ip_network((address, NETWORK_BITS), strict=False))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address, IPv4 where it is that within IPv6.

    Raises:
        ValueError: if it is none.
    """
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
