"""The three wheels hold what they promise and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections import Counter
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
FOLDERS = {"hndsr": ".", "hndsr-proto": "proto", "hndsr-client": "clients/python"}
PACKAGES = {"hndsr_ensemble", "hndsr_gateway", "hndsr_client", "hndsr"}


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The wheels of this repository, built without the network."""
    folder = tmp_path_factory.mktemp("wheels")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    for source in FOLDERS.values():
        run(*build, str(ROOT / source))
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheels: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages that holds the three wheels and the namesake of a third one."""
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "install", *options, "--target", str(folder), *map(str, wheels))
    namesake = folder / "proto" / "__init__.py"  # proto-plus, which many Google clients bring along
    namesake.parent.mkdir()
    namesake.write_text("message = object()\n")
    return folder


def run(*command: str, site: Path | None = None) -> str:
    """Run a command away from the repository, `site` before all else on the path, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    if site:
        environment["PYTHONPATH"] = str(site)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=site)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def members(wheels: list[Path]) -> list[str]:
    return [name for wheel in wheels for name in zipfile.ZipFile(wheel).namelist()]


def ours(site: Path) -> dict[str, Distribution]:
    return {found.metadata["Name"]: found for found in distributions(path=[str(site)])}


def tracked(folder: str) -> set[str]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z", folder], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607  # git is found as any developer finds it
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return set(listed.stdout.split("\0")) - {""}


def test_wheels_are_one_for_each_distribution(site: Path) -> None:
    assert ours(site).keys() == FOLDERS.keys()


def test_wheels_bring_our_packages_only(wheels: list[Path]) -> None:
    names = {name.split("/")[0] for name in members(wheels)}
    assert {name for name in names if not name.endswith(".dist-info")} == PACKAGES


def test_wheels_share_no_file(wheels: list[Path]) -> None:
    assert [name for name, times in Counter(members(wheels)).items() if times > 1] == []


def test_wheels_hold_no_tests_or_caches(wheels: list[Path]) -> None:
    unwanted = {"tests", "__pycache__", "node_modules"}
    assert [name for name in members(wheels) if unwanted & set(name.split("/")) or name.endswith(".pyc")] == []


@pytest.mark.parametrize("package", ["hndsr_ensemble", "hndsr_gateway", "hndsr_client", "hndsr/v1"])
def test_wheels_say_that_they_are_typed(site: Path, package: str) -> None:
    assert (site / package / "py.typed").is_file()


def test_wheel_of_the_service_holds_the_whole_model_repository(site: Path) -> None:
    files = {name for name in tracked("model_repository") if not name.endswith(".md")}
    missing = {name for name in files if not (site / "hndsr_ensemble" / name).is_file()}
    assert files
    assert missing == set()


def test_wheel_of_the_service_finds_its_own_model_repository(site: Path) -> None:
    code = "from hndsr_ensemble.manifest import model_repository; print(model_repository())"
    assert run(sys.executable, "-c", code, site=site).strip() == str(site / "hndsr_ensemble" / "model_repository")


def test_wheel_of_the_contract_holds_the_proto(site: Path) -> None:
    assert (site / "hndsr" / "v1" / "upscale.proto").is_file()


def test_stubs_import_beside_a_package_named_proto(site: Path) -> None:
    code = "import proto; from hndsr.v1 import upscale_pb2, upscale_pb2_grpc as g; print(proto.__file__, g.__file__)"
    assert run(sys.executable, "-c", code, site=site).split() == [
        str(site / "proto" / "__init__.py"),
        str(site / "hndsr" / "v1" / "upscale_pb2_grpc.py"),
    ]


@pytest.mark.parametrize(("distribution", "command"), [("hndsr", "hndsr-gateway"), ("hndsr-client", "hndsr")])
def test_commands_start(site: Path, distribution: str, command: str) -> None:
    assert command in ours(site)[distribution].entry_points.names
    assert "usage" in run(sys.executable, str(site / "bin" / command), "--help", site=site).lower()


@pytest.mark.parametrize("distribution", FOLDERS)
def test_default_install_requires_no_torch_and_no_triton_server(site: Path, distribution: str) -> None:
    required = [Requirement(line) for line in ours(site)[distribution].requires or []]
    default = {one.name for one in required if one.marker is None or one.marker.evaluate({"extra": ""})}
    assert default.isdisjoint({"torch", "nvidia-pytriton", "onnx"})
