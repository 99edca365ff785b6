"""Rules of the repository itself: locks, READMEs, paths."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
LOCKS = ["serve", "dev", "proto", "dvc", "audit", "fuzz"]
PYPROJECTS = ["pyproject.toml", "proto/pyproject.toml", "clients/python/pyproject.toml"]
NPM_FOLDERS = ["tools", "examples/node"]
OURS = {"hndsr", "hndsr-proto", "hndsr-client"}
README_LINES = 60


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.lock").read_text()


def locked(name: str) -> dict[str, str]:
    """Every pin of a lock with the hashes behind it, joined into one line each."""
    lines = re.sub(r" *\\\n *", " ", lock(name)).splitlines()
    return dict(line.partition(" --hash=")[::2] for line in lines if line and not line.lstrip().startswith("#"))


def pins(name: str) -> dict[str, str]:
    """Distribution → version that a lock holds for the Python that runs the tests."""
    found = [Requirement(pin) for pin in locked(name)]
    return {one.name: str(one.specifier)[2:] for one in found if one.marker is None or one.marker.evaluate()}


def requirements(pyproject: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / pyproject).read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    return [Requirement(line) for group in [project["dependencies"], *extras] for line in group]


def tracked() -> list[str]:
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)  # noqa: S607  # git is found as any developer finds it
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def top_level_folders() -> set[str]:
    return {name.split("/")[0] for name in tracked() if "/" in name and not name.startswith(".")}


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_and_hashes_every_requirement(name: str) -> None:
    loose = [pin for pin, hashes in locked(name).items() if "==" not in pin or not hashes.startswith("sha256:")]
    assert locked(name)
    assert loose == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_address_and_no_path(name: str) -> None:
    assert re.findall(r"^.*(?:://|--index|--find-links|@ |(?:^|[ =])/).*$", lock(name), re.MULTILINE) == []


def test_serve_lock_agrees_with_dev_lock() -> None:
    assert pins("serve").items() <= pins("dev").items()


@pytest.mark.parametrize("name", ["serve", "dev"])
def test_lock_leaves_torch_and_its_cuda_to_the_machine(name: str) -> None:
    assert [pin for pin in pins(name) if re.match(r"torch$|triton$|nvidia-(?!pytriton)|cuda-", pin)] == []


@pytest.mark.parametrize("pyproject", PYPROJECTS)
def test_dev_lock_satisfies_pyproject(pyproject: str) -> None:
    wanted = [one for one in requirements(pyproject) if one.marker is None or one.marker.evaluate()]
    third_party = [one for one in wanted if canonicalize_name(one.name) not in {*OURS, "torch"}]
    unmet = [str(one) for one in third_party if pins("dev").get(canonicalize_name(one.name), "0") not in one.specifier]
    assert third_party
    assert unmet == [], "run `make lock`"


@pytest.mark.parametrize("folder", NPM_FOLDERS)
def test_lock_from_npm_hashes_every_package_and_names_no_address(folder: str) -> None:
    packages = json.loads((ROOT / folder / "package-lock.json").read_text())["packages"]
    installed = {name: package for name, package in packages.items() if name}
    assert [name for name, package in installed.items() if "integrity" not in package or "resolved" in package] == []


@pytest.mark.parametrize("folder", NPM_FOLDERS)
def test_requirements_from_npm_are_pinned_exactly(folder: str) -> None:
    package = json.loads((ROOT / folder / "package.json").read_text())
    wanted = {**package.get("dependencies", {}), **package.get("devDependencies", {})}
    assert [f"{name}@{version}" for name, version in wanted.items() if not re.fullmatch(r"[0-9.]+", version)] == []


def test_top_level_folders_have_a_short_readme() -> None:
    files = {folder: ROOT / folder / "README.md" for folder in top_level_folders()}
    wrong = {name for name, file in files.items() if not file.is_file() or len(lines(file)) > README_LINES}
    assert wrong == set()


def test_tracked_files_name_no_home_directory() -> None:
    home = re.compile(rb"/(home|Users|root)/\w")
    named = {name for name in tracked() if home.search((ROOT / name).read_bytes())}
    assert {name for name in named if b"\0" not in (ROOT / name).read_bytes()} == set()


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / name for name in tracked() if name.endswith(".md")]
    links = [(page, link) for page in pages for link in re.findall(r"\]\(([^)\s#]+)", page.read_text())]
    dead = [f"{page.name}: {link}" for page, link in links if "://" not in link and not (page.parent / link).exists()]
    assert dead == []
