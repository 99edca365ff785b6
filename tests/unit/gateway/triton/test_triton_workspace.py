"""The private folder of one server, and the clearing after dead ones."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from hndsr_gateway.triton import guard, workspace
from hndsr_gateway.triton.errors import ModelLoadError, NoModelsError, TemporaryFolderError
from hndsr_gateway.triton.wheel import TritonWheel

Made = TypeVar("Made")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands for both the folder of temporary files and that of shared memory."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(guard, "SHARED_MEMORY", tmp_path)
    return tmp_path


def left_by_the_dead(create: Callable[[int], Made]) -> Made:
    """What is made for a process that has ended since."""
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as owner:
        return create(owner.pid)


@pytest.fixture
def dead() -> workspace.Workspace:
    """A workspace whose owner has ended."""
    return left_by_the_dead(workspace.create_workspace)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """An ensemble, its step, and a model apart; and what is no model."""
    folder = tmp_path / "repository"
    configs = {"chain": '# model_name: "old"\nstep [{ model_name: "step" }]', "step": "", "apart": ""}
    for name, config in configs.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "config.pbtxt").write_text(config)
    (folder / "notes").mkdir()
    return folder


def names(folders: tuple[Path, ...]) -> list[str]:
    return [folder.name for folder in folders]


def test_workspace_is_closed_to_other_users() -> None:
    assert stat.S_IMODE(workspace.create_workspace(os.getpid()).folder.stat().st_mode) == 0o700


def test_workspace_closes_its_servers_shared_memory_to_other_users(places: Path) -> None:
    made = workspace.create_workspace(os.getpid())
    region = places / f"{made.name}_uuid"
    region.touch(mode=0o644)
    made.close_shared_memory()
    assert stat.S_IMODE(region.stat().st_mode) == 0o600


def test_workspace_leaves_other_servers_shared_memory_alone(places: Path) -> None:
    other = places / "hndsr_1_2_3_abcdefgh_uuid"
    other.touch(mode=0o644)
    workspace.create_workspace(os.getpid()).close_shared_memory()
    assert stat.S_IMODE(other.stat().st_mode) == 0o644


def test_workspaces_of_one_owner_differ() -> None:
    assert workspace.create_workspace(os.getpid()) != workspace.create_workspace(os.getpid())


@pytest.mark.parametrize("name", ["a b", "a'b", "$HOME", "a;b", "ä"])
def test_workspace_lies_elsewhere_when_a_shell_would_misread_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    monkeypatch.setattr(workspace, "_FALLBACK", tmp_path)
    caplog.set_level("DEBUG")

    assert workspace.create_workspace(os.getpid()).folder.parent == tmp_path
    assert name in caplog.text


def test_clear_leftovers_says_so_when_there_is_no_place_for_a_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "a b"))
    monkeypatch.setattr(workspace, "_FALLBACK", tmp_path / "nowhere")
    with pytest.raises(TemporaryFolderError, match="TMPDIR"):
        workspace.clear_leftovers()


@pytest.mark.parametrize("executable", [True, False])
def test_fill_workspace_makes_the_model_process_executable(tmp_path: Path, *, executable: bool) -> None:
    stub = tmp_path / "stub"
    stub.touch(mode=0o700 if executable else 0o600)
    made = workspace.create_workspace(os.getpid())
    wheel = TritonWheel(server=tmp_path, backend=tmp_path, stub=stub, libraries=tmp_path)
    workspace.fill_workspace(made, wheel=wheel, models=())

    assert os.access(made.backends / "python" / "stub", os.X_OK)


def test_fill_workspace_offers_the_models_only(tmp_path: Path, repository: Path) -> None:
    (tmp_path / "stub").touch(mode=0o700)
    made = workspace.create_workspace(os.getpid())
    wheel = TritonWheel(server=tmp_path, backend=tmp_path, stub=tmp_path / "stub", libraries=tmp_path)
    workspace.fill_workspace(made, wheel=wheel, models=[repository / "apart"])

    assert [model.name for model in made.models.glob("*") if (model / "config.pbtxt").exists()] == ["apart"]


def test_find_models_finds_all_when_none_is_named(repository: Path) -> None:
    assert names(workspace.find_models(repository, ())) == ["apart", "chain", "step"]


def test_find_models_adds_the_steps_of_an_ensemble(repository: Path) -> None:
    assert names(workspace.find_models(repository, ("chain",))) == ["chain", "step"]


def test_find_models_names_what_is_missing(repository: Path) -> None:
    with pytest.raises(ModelLoadError, match=r"could not load absent; .*there is no absent/config\.pbtxt"):
        workspace.find_models(repository, ("apart", "absent"))


def test_find_models_refuses_an_empty_repository(tmp_path: Path) -> None:
    with pytest.raises(NoModelsError, match="no model in"):
        workspace.find_models(tmp_path / "nowhere", ())


def test_clear_leftovers_removes_what_a_dead_owner_left(dead: workspace.Workspace, places: Path) -> None:
    (dead.folder / "file").touch()
    (places / f"{dead.name}_region").touch()
    workspace.clear_leftovers()

    assert list(places.iterdir()) == []


def test_clear_leftovers_removes_the_sockets_of_a_dead_owner(places: Path) -> None:
    (left_by_the_dead(workspace.create_socket_folder) / "grpc:1").touch()
    workspace.clear_leftovers()

    assert list(places.iterdir()) == []


def test_clear_leftovers_spares_the_sockets_of_the_living() -> None:
    living = workspace.create_socket_folder(os.getpid())
    workspace.clear_leftovers()

    assert living.exists()


def test_clear_leftovers_spares_the_living(places: Path) -> None:
    living = workspace.create_workspace(os.getpid())
    workspace.clear_leftovers()

    assert list(places.iterdir()) == [living.folder]


def test_clear_leftovers_spares_other_namespaces(dead: workspace.Workspace, places: Path) -> None:
    _, namespace, rest = dead.name.split("_", 2)
    foreign = dead.folder.rename(places / f"hndsr_{int(namespace) + 1}_{rest}")
    workspace.clear_leftovers()

    assert foreign.exists()


@pytest.mark.parametrize("name", ["hndsr_notes", "hndsr_1_2", "hndsr-notes", "other"])
def test_clear_leftovers_spares_what_is_not_ours(places: Path, name: str) -> None:
    (places / name).mkdir()
    workspace.clear_leftovers()

    assert (places / name).exists()
