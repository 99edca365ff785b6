"""What is wrong with the settings of limits."""

from __future__ import annotations

import re
from importlib.util import find_spec
from urllib.parse import urlsplit

from hndsr_gateway.settings import Settings

RATES = ("requests_per_minute", "target_px_per_hour", "address_requests_per_minute")


def problems(settings: Settings) -> list[str]:
    """What the operator has to mend, a line each; the address of Redis, which may hold a password, is not in them."""
    found = []
    rates = [f"HNDSR_{name.upper()}" for name in RATES if getattr(settings, name)]
    if rates and settings.processes > 1 and not settings.redis_url:
        named, need = " and ".join(rates), "needs" if len(rates) == 1 else "need"
        found.append(
            f"{named} with HNDSR_PROCESSES above 1 {need} HNDSR_REDIS_URL: each process would count for itself"
        )
    if settings.redis_url and not _is_redis(settings.redis_url):
        found.append("HNDSR_REDIS_URL is no address of Redis: write redis://HOST:PORT/0, or rediss:// for one with TLS")
    if settings.redis_url and find_spec("redis") is None:
        found.append("HNDSR_REDIS_URL needs the extra redis; install it with: pip install 'hndsr[redis]'")
    return found


def _is_redis(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    known = parts.scheme in {"redis", "rediss"} and parts.hostname and port != 0
    return bool(known and re.fullmatch(r"(/\d*)?", parts.path))
