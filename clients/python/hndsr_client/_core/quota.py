"""Which share of a caller is spent, of those that the server names in words alone."""

from __future__ import annotations

import re

from hndsr_client.errors import ServiceError

_CALLS_AT_ONCE = re.compile(r"\bcalls? at once\b")


def is_of_calls_at_once(failure: ServiceError) -> bool:
    """Whether the caller has as many calls under way as it may, so that there is room when one of them ends."""
    return failure.reason == "QUOTA_EXCEEDED" and _CALLS_AT_ONCE.search(failure.message) is not None
