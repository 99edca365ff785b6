"""Memory as the workers of the gateway may take it, in this process."""

from __future__ import annotations

import contextlib
import resource
from collections.abc import Iterator

from hndsr_gateway.images.limits import Allowance


@contextlib.contextmanager
def limited(allowed_bytes: int) -> Iterator[Allowance]:
    """No more than that beside what the process has, until the context ends."""
    limits = {what: resource.getrlimit(what) for what in (resource.RLIMIT_DATA, resource.RLIMIT_FSIZE)}
    allowance = Allowance()
    allowance.grant(allowed_bytes)
    try:
        yield allowance
    finally:
        for what, before in limits.items():
            resource.setrlimit(what, before)
