"""What keeps the gateway from knowing its callers, for its operator."""

from __future__ import annotations

from pathlib import Path

from hndsr_gateway.errors import StartupError


class UnusableFileError(StartupError):
    """A file of certificates or keys cannot be read, or does not hold what it should."""

    def __init__(self, *, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")


class IssuerError(StartupError):
    """The issuer of tokens did not give its keys."""

    def __init__(self, *, address: str, problem: str) -> None:
        super().__init__(f"{address} {problem}")


class TokensNotInstalledError(StartupError):
    """What checks tokens is not installed beside the gateway."""

    def __init__(self) -> None:
        super().__init__("tokens need the extra jwt; install it with: pip install 'hndsr[jwt]'")


class IdentityError(StartupError):
    """The settings that say who may call cannot be used; all problems are named, a line each."""

    def __init__(self, *, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
