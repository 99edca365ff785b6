"""Names of callers that others chose, as they are shown."""

from __future__ import annotations

MAX_LENGTH = 128


def shown(name: str) -> str:
    """A name that forges no line of a log and moves no terminal's cursor: what cannot be printed becomes `?`."""
    return "".join(character if character.isprintable() else "?" for character in name[:MAX_LENGTH])
