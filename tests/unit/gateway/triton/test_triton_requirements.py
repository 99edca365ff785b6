"""What the embedded Triton needs of the machine."""

from __future__ import annotations

import pytest

from hndsr_gateway.triton.errors import NumpyVersionError, SharedMemoryTooSmallError, UnsupportedPlatformError
from hndsr_gateway.triton.requirements import Machine, check_machine, check_numpy, check_shared_memory, this_machine


@pytest.mark.parametrize("libc", ["glibc 2.35", "glibc 2.36", "glibc 3.0"])
def test_check_machine_accepts_linux_with_a_recent_glibc(libc: str) -> None:
    check_machine(Machine("Linux", "x86_64", libc))


@pytest.mark.parametrize(
    "machine",
    [
        Machine("Linux", "x86_64", "glibc 2.34"),
        Machine("Linux", "x86_64", ""),
        Machine("Linux", "aarch64", "glibc 2.36"),
        Machine("Darwin", "arm64", ""),
        Machine("Windows", "AMD64", ""),
    ],
    ids=str,
)
def test_check_machine_refuses_others_and_names_them(machine: Machine) -> None:
    with pytest.raises(UnsupportedPlatformError, match=f"this is {machine}; .*docker compose.*HNDSR_TRITON_ENDPOINTS"):
        check_machine(machine)


def test_this_machine_names_its_system() -> None:
    assert this_machine().system


@pytest.mark.parametrize("version", ["1.26.4", "1.25.0rc1"])
def test_check_numpy_accepts_one(version: str) -> None:
    check_numpy(version)


@pytest.mark.parametrize("version", ["2.0.0", "2.1.0rc1", "10.0"])
def test_check_numpy_refuses_two_and_later(version: str) -> None:
    with pytest.raises(NumpyVersionError, match=f"NumPy {version}; .*numpy<2"):
        check_numpy(version)


def test_check_shared_memory_accepts_what_is_required() -> None:
    check_shared_memory(required_bytes=10, available_bytes=10)


def test_check_shared_memory_names_required_and_available_bytes() -> None:
    with pytest.raises(SharedMemoryTooSmallError, match=r"has 9 bytes free, the models need 10; .*--shm-size=10"):
        check_shared_memory(required_bytes=10, available_bytes=9)
