"""Does not load."""


class TritonPythonModel:
    """Finds a reason in `initialize`."""

    def initialize(self, _: dict[str, str]) -> None:
        """Refuse."""
        raise ValueError("the weights are missing")
