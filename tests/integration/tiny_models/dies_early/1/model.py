"""Ends its process while it loads."""

import os


class TritonPythonModel:
    """What a crash in native code looks like to the server before it is ready."""

    def initialize(self, _: dict[str, str]) -> None:
        """End at once."""
        os._exit(3)
