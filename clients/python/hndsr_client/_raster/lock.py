"""A file that says that a process works on a target."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from hndsr_client._stream.journal import local, locked


class Lock(AbstractContextManager["Lock"]):
    """Held from the first look at a job's files to the last; a process that ends lets go of it.

    Attributes:
        descriptor: To be inherited by a process that must be waited for.
    """

    def __init__(self, path: Path) -> None:
        """Take it.

        Raises:
            JobInUseError: Another process has it.
            LocalFileError: It cannot be made.
        """
        self._path = path
        with local(path):
            self.descriptor = locked(path)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it. Closing twice is fine."""
        if self.descriptor < 0:
            return
        try:
            with local(self._path):
                self._path.unlink(missing_ok=True)
        finally:
            os.close(self.descriptor)
            self.descriptor = -1
