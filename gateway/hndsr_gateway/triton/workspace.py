"""The private folder of one server, and the clearing of what servers left whose owner was killed."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from hndsr_gateway.triton import guard
from hndsr_gateway.triton.errors import ModelLoadError, NoModelsError, TemporaryFolderError
from hndsr_gateway.triton.wheel import TritonWheel

_log = logging.getLogger(__name__)
_FALLBACK = Path("/tmp")  # noqa: S108 - the work folder in it gets a name that nobody can guess
_PLAIN = re.compile(r"[A-Za-z0-9_./-]+")
_CONFIG = "config.pbtxt"
_INSTANCE_GROUP = re.compile(r"^instance_group \[.*\]\n", re.MULTILINE)
_NAME = re.compile(r"hndsr_(?P<namespace>\d+)_(?P<pid>\d+)_(?P<start>\d+)_[a-z0-9_]{8}")
_REGION = "_region"
_SOCKETS = "hndsr-"
_OWNER = "owner"


@dataclass(frozen=True)
class Workspace:
    """A folder only this user can enter. Its name also begins the names of the server's shared memory."""

    folder: Path

    @property
    def name(self) -> str:
        """`hndsr_<pid namespace>_<pid>_<start time>_<random>`: whoever meets it can tell whether its owner lives."""
        return self.folder.name

    @property
    def backends(self) -> Path:
        """What the server takes as its backend directory."""
        return self.folder / "backends"

    @property
    def models(self) -> Path:
        """What the server takes as its model repository."""
        return self.folder / "models"

    def close_shared_memory(self) -> None:
        """Close to other users what the server's models exchange tensors through: they make it readable to everybody.

        They make it when they are loaded, under the same names for good, so nothing of a caller was in it before.
        """
        for region in filter(_is_own, guard.SHARED_MEMORY.glob(f"{self.name}_*")):
            with contextlib.suppress(FileNotFoundError):  # the server may end at any time
                region.chmod(stat.S_IRUSR | stat.S_IWUSR)


def create_workspace(owner: int) -> Workspace:
    """A new, empty work folder that belongs to the process `owner`.

    Raises:
        TemporaryFolderError: there is no place for it.
    """
    return Workspace(Path(tempfile.mkdtemp(prefix=_owned_by(owner), dir=temporary_folder())))


def create_socket_folder(owner: int) -> Path:
    """A new folder only this user can enter, for sockets of the process `owner`.

    Paths of sockets have to be short, so a file in it says whose it is, not its name.

    Raises:
        TemporaryFolderError: there is no place for it.
    """
    folder = Path(tempfile.mkdtemp(prefix=_SOCKETS, dir=temporary_folder()))
    (folder / _OWNER).write_text(f"{_owned_by(owner)}{secrets.token_hex(4)}")
    return folder


def region_name(owner: int) -> str:
    """A new name for shared memory that belongs to the process `owner` and to no work folder."""
    return f"{_owned_by(owner)}{secrets.token_hex(4)}{_REGION}"


def is_region_name(name: str) -> bool:
    """Tell names of `region_name`, of any owner, from others."""
    return re.fullmatch(_NAME.pattern + _REGION, name) is not None


def _owned_by(owner: int) -> str:
    return f"hndsr_{_pid_namespace()}_{owner}_{_start_time(owner)}_"


def temporary_folder() -> Path:
    """Where work folders lie: the default, or /tmp when the default's path has characters that shells interpret.

    Triton starts every model process by its path through `bash -c`, without quotes.

    Raises:
        TemporaryFolderError: /tmp would be needed and cannot be written.
    """
    default = Path(tempfile.gettempdir())
    if _PLAIN.fullmatch(str(default)):
        return default
    if not os.access(_FALLBACK, os.W_OK | os.X_OK):
        raise TemporaryFolderError(folder=default)
    _log.debug("Triton's work folder goes to %s: its shell would misread %s", _FALLBACK, default)
    return _FALLBACK


def fill_workspace(
    workspace: Workspace,
    *,
    wheel: TritonWheel,
    models: Iterable[Path],
    instance_groups: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Put the Python backend with this Python's model process, and the models to serve, into the folder."""
    backend = workspace.backends / "python"
    for folder in (backend, workspace.models):
        folder.mkdir(parents=True)
    for part in (*wheel.backend.glob("*.so"), *wheel.backend.glob("*.py")):
        (backend / part.name).symlink_to(part)
    _place_program(wheel.stub, backend / wheel.stub.name)
    for model in models:
        place = workspace.models / model.name
        if model.name in instance_groups:
            _place_model(model, place, instance_groups[model.name])
        else:
            place.symlink_to(model.absolute())


def _place_model(model: Path, place: Path, instance_group: str) -> None:
    """A model with another instance group than its own."""
    place.mkdir()
    for part in model.iterdir():
        if part.name != _CONFIG:
            (place / part.name).symlink_to(part.absolute())
    config, count = _INSTANCE_GROUP.subn("", (model / _CONFIG).read_text(encoding="utf-8"))
    if count != 1:
        raise ModelLoadError(causes={model.name: f"its {_CONFIG} has not one instance_group in a line of its own"})
    (place / _CONFIG).write_text(f"{config}instance_group [{instance_group}]\n", encoding="utf-8")


def _place_program(source: Path, target: Path) -> None:
    if os.access(source, os.X_OK):
        target.symlink_to(source)
    else:  # some installers drop the bit, and the server cannot set it on what another user owns
        shutil.copyfile(source, target)
        target.chmod(stat.S_IRWXU)


def find_models(repository: Path, names: tuple[str, ...]) -> tuple[Path, ...]:
    """Folders of the named models and of the steps of ensembles among them, or of all models when no name is given.

    Raises:
        NoModelsError: the repository holds no model.
        ModelLoadError: a model is not in the repository.
    """
    configs = {config.parent.name: config for config in sorted(repository.glob("*/config.pbtxt"))}
    if not configs:
        raise NoModelsError(repository=repository)
    wanted = dict.fromkeys(names or configs)
    while steps := {step for name in wanted if name in configs for step in _steps(configs[name])} - wanted.keys():
        wanted |= dict.fromkeys(sorted(steps))
    if missing := [name for name in wanted if name not in configs]:
        raise ModelLoadError(causes={name: f"there is no {name}/config.pbtxt in {repository}" for name in missing})
    return tuple(configs[name].parent for name in wanted)


def _steps(config: Path) -> set[str]:
    return set(re.findall(r'^[^#\n]*\bmodel_name\s*:\s*"([^"]+)"', config.read_text(), re.MULTILINE))


def clear_leftovers() -> None:
    """Remove what servers left here whose owner is dead: processes, shared memory, work folders, sockets.

    Raises:
        TemporaryFolderError: there is no place for work folders.
    """
    temporary = temporary_folder()
    places = (*guard.SHARED_MEMORY.glob("hndsr_*"), *temporary.glob("hndsr_*"))
    owners = [match for place in places if _is_own(place) and (match := _NAME.match(place.name))]
    for name in {owner[0] for owner in owners if not _lives(owner)}:
        guard.clear(name, temporary / name)
    for folder in filter(_is_own, temporary.glob(f"{_SOCKETS}*")):
        if (owner := _owner_of(folder)) and not _lives(owner):
            shutil.rmtree(folder, ignore_errors=True)


def _owner_of(sockets: Path) -> re.Match[str] | None:
    """Whose a folder of sockets is; None where nothing tells, as in one that is just being made."""
    try:
        return _NAME.fullmatch((sockets / _OWNER).read_text())
    except (OSError, ValueError):
        return None


def _is_own(place: Path) -> bool:
    try:
        return place.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _lives(owner: re.Match[str]) -> bool:
    """Whether a name's owner is alive; those of other pid namespaces cannot be seen and count as alive."""
    return owner["namespace"] != _pid_namespace() or owner["start"] == _start_time(int(owner["pid"]))


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _start_time(pid: int) -> str:
    """Clock ticks from boot to the start of a process, which with the pid names it for good; empty for none."""
    fields = guard.status(pid)
    return fields[19] if fields and fields[0] != "Z" else ""
