"""Takes longer to load than any test waits."""

import time


class TritonPythonModel:
    """Sleeps in `initialize`."""

    def initialize(self, _: dict[str, str]) -> None:
        """Sleep."""
        time.sleep(60)
