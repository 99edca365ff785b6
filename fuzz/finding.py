"""What a target says of an input that did what none may do."""

from __future__ import annotations

import hashlib
import re
import traceback


class FindingError(Exception):
    """An input was answered as none may be."""


def signature(error: BaseException) -> str:
    """A short name for all errors of one kind: types, last lines of code, texts of findings but for their numbers."""
    chain = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    said = [f"{type(one).__name__} {_place(one)} {_text(one)}" for one in chain]
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def _text(error: BaseException) -> str:
    return re.sub("[0-9]+", "", str(error)) if isinstance(error, FindingError) else ""
