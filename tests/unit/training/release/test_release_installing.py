"""A release is installed whole or not at all, whenever the process dies."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hndsr_ensemble.release import CARD, RECORD, RELEASED, write_record
from hndsr_ensemble.training.release.installing import (
    HalfInstalledError,
    NoRepositoryError,
    RepositoryBusyError,
    RepositoryNotWritableError,
    check_writable,
    copy_repository,
    finish,
    install,
    is_unfinished,
    kept_to_itself,
    leftovers,
)
from hndsr_ensemble.training.release.verification import verify

CRASHES = Path(__file__).with_name("crashes.py")
OTHER = "bicubic/config.pbtxt"


def made(folder: Path, content: str, *, recorded: bool = True) -> Path:
    """A repository whose released files all say the same."""
    for name in (*RELEASED, OTHER):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content} {name}")
    if recorded:
        write_record(folder)
    return folder


def contents(repository: Path) -> set[str]:
    """What the released files say."""
    return {(repository / name).read_text().split()[0] for name in RELEASED}


@pytest.fixture(scope="module")
def candidate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("candidate") / "repository", "new")


@pytest.fixture
def current(tmp_path: Path) -> Path:
    return made(tmp_path / "current", "old")


def crashed(candidate: Path, current: Path, folder: Path) -> list[Path]:
    command = [sys.executable, str(CRASHES), str(candidate), str(current), str(folder)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return [Path(left) for left in json.loads(printed)]


@pytest.fixture
def left_by_crashes(candidate: Path, current: Path, tmp_path: Path) -> list[Path]:
    """Repositories, each left by an installation that was killed one step later; the last one was not killed."""
    return crashed(candidate, current, tmp_path / "left")


def test_install_replaces_every_released_file(candidate: Path, current: Path) -> None:
    install(candidate, current)
    assert contents(current) == {"new"}
    assert (current / RECORD).read_text() == (candidate / RECORD).read_text()


def test_install_leaves_other_files_alone(candidate: Path, current: Path) -> None:
    install(candidate, current)
    assert (current / OTHER).read_text() == f"old {OTHER}"


def test_install_leaves_nothing_beside(candidate: Path, current: Path) -> None:
    before = {path.relative_to(current) for path in current.rglob("*")}
    install(candidate, current)
    assert {path.relative_to(current) for path in current.rglob("*")} == before


def test_install_writes_into_no_file_that_is_open(candidate: Path, current: Path) -> None:
    with (current / RELEASED[0]).open() as reader:
        install(candidate, current)
        assert reader.read() == f"old {RELEASED[0]}"


def test_install_makes_a_whole_repository_where_none_was(candidate: Path, tmp_path: Path) -> None:
    install(candidate, tmp_path / "fresh")
    assert contents(tmp_path / "fresh") == {"new"}
    assert (tmp_path / "fresh" / OTHER).read_text() == f"new {OTHER}"


def test_install_leaves_the_old_one_when_a_file_cannot_be_copied(
    candidate: Path, current: Path, tmp_path: Path
) -> None:
    incomplete = tmp_path / "incomplete"
    copy_repository(candidate, incomplete)
    (incomplete / CARD).unlink()
    before = sorted(current.rglob("*"))
    with pytest.raises(FileNotFoundError):
        install(incomplete, current)
    assert contents(current) == {"old"}
    assert sorted(current.rglob("*")) == before


def test_crash_leaves_the_old_release_or_one_that_can_be_finished(left_by_crashes: list[Path]) -> None:
    outcomes = [(finish(repository), contents(repository)) for repository in left_by_crashes[:-1]]
    assert {(True, frozenset({"new"})), (False, frozenset({"old"}))} <= {(one, frozenset(two)) for one, two in outcomes}
    assert all(said in ({"old"}, {"new"}) for _, said in outcomes)


def test_crash_is_found_whenever_it_left_a_mixture(left_by_crashes: list[Path]) -> None:
    mixed = [repository for repository in left_by_crashes if contents(repository) == {"old", "new"}]
    assert len(mixed) >= len(RELEASED) - 1
    assert all(is_unfinished(repository) and next(verify(repository)).fault for repository in mixed)


def test_crash_is_healed_by_installing_again(left_by_crashes: list[Path], candidate: Path) -> None:
    for repository in left_by_crashes:
        finish(repository)
        install(candidate, repository)
        assert contents(repository) == {"new"}
        assert list(repository.rglob(".*")) == []


def test_crash_leaves_no_half_repository_where_none_was(candidate: Path, tmp_path: Path) -> None:
    left = crashed(candidate, tmp_path / "none", tmp_path / "left")
    assert all(contents(repository) == {"new"} for repository in left if repository.exists())
    assert left[-1].exists()
    assert not left[0].exists()


def test_finish_does_nothing_when_nothing_was_interrupted(current: Path) -> None:
    assert not finish(current)


def test_finish_refuses_when_a_staged_file_is_damaged(left_by_crashes: list[Path]) -> None:
    repository = next(repository for repository in left_by_crashes if is_unfinished(repository))
    staged = next(repository.rglob(".weights.safetensors.incoming"))
    staged.write_text("torn")
    before = contents(repository)
    with pytest.raises(HalfInstalledError, match=r"weights\.safetensors"):
        finish(repository)
    assert contents(repository) == before


def test_leftovers_are_those_of_an_installation_that_was_not_committed(left_by_crashes: list[Path]) -> None:
    kept = [repository for repository in left_by_crashes if leftovers(repository)]
    assert kept
    assert all(contents(repository) == {"old"} for repository in kept)


@pytest.mark.parametrize("name", ["new", "deeper/new"])
def test_check_writable_refuses_a_place_that_takes_no_files(name: str) -> None:
    with pytest.raises(RepositoryNotWritableError, match="HNDSR_MODEL_REPOSITORY"):
        check_writable(Path("/proc") / name)


def test_check_writable_refuses_a_folder_that_is_no_repository(tmp_path: Path) -> None:
    with pytest.raises(NoRepositoryError):
        check_writable(tmp_path)


def test_check_writable_leaves_no_trace(current: Path) -> None:
    before = sorted(current.rglob("*"))
    check_writable(current)
    assert sorted(current.rglob("*")) == before


def test_copied_repository_can_be_written_when_the_source_could_not(current: Path, tmp_path: Path) -> None:
    folders = [current, *(path for path in current.rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        copy_repository(current, tmp_path / "copy")
    finally:
        for folder in folders:
            folder.chmod(0o755)
    modes = {path.stat().st_mode & 0o200 for path in (tmp_path / "copy").rglob("*")}
    assert modes == {0o200}


def test_kept_to_itself_keeps_a_second_release_out(current: Path) -> None:
    with kept_to_itself(current), pytest.raises(RepositoryBusyError), kept_to_itself(current):
        pytest.fail("both went in")


def test_kept_to_itself_lets_the_next_release_in(current: Path) -> None:
    with kept_to_itself(current):
        pass
    with kept_to_itself(current):
        assert contents(current) == {"old"}
