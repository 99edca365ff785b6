"""The words of the embedded Triton's errors: facts and a remedy in each."""

from __future__ import annotations

from pathlib import Path

import pytest

from hndsr_gateway.errors import StartupError
from hndsr_gateway.triton import errors


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            errors.UnsupportedPlatformError(found="Darwin arm64"),
            ["Darwin arm64", "docker compose"],
        ),
        (errors.TritonMissingError(part="tritonserver"), ["tritonserver", "pip install 'hndsr[embedded]'"]),
        (errors.UnsupportedPythonError(version="3.14", supported=["3.12"]), ["3.14", "3.12", "docker compose"]),
        (errors.SharedPythonMissingError(folders=[Path("/lib")]), ["/lib", "--enable-shared", "libpython3.X"]),
        (errors.NumpyVersionError(version="2.1.0"), ["2.1.0", "pip install 'numpy<2'"]),
        (errors.SharedMemoryTooSmallError(required_bytes=2, available_bytes=1), ["1 bytes", "need 2", "--shm-size=2"]),
        (errors.TemporaryFolderError(folder=Path("/a b")), ["'/a b'", "TMPDIR"]),
        (errors.SocketPathError(folder=Path("/deep"), limit_bytes=85), ["'/deep'", "85 bytes", "TMPDIR"]),
        (errors.NoModelsError(repository=Path("/models")), ["/models", "config.pbtxt"]),
        (errors.ModelLoadError(causes={"fno": "no weights"}), ["could not load fno", "fno: no weights"]),
        (errors.StartupTimeoutError(timeout_s=2.5, waiting_for=["fno"]), ["2.5 s", "fno", "more time"]),
        (errors.TritonDiedError(exit_code=137, dead_model=None, last_lines=["bye"]), ["137", "memory", "bye"]),
        (errors.TritonDiedError(exit_code=137, dead_model="fno", last_lines=[]), ["the process of model 'fno' died"]),
        (errors.TritonLostError(starts=5, cause="no luck"), ["5 times", "no luck", "start again"]),
        (errors.PortTakenError(), ["start again"]),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_error_names_facts_and_remedy(error: StartupError, words: list[str]) -> None:
    assert [word for word in words if word not in str(error)] == []


def test_every_error_is_the_operators_to_mend() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert all(issubclass(cls, StartupError) for cls in classes)
