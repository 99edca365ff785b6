"""Where a raster appears, whole or not at all: a file, or a folder of zarr."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from hndsr_client._core.files import Destination, is_same, sync_folder
from hndsr_client._raster.choices import RasterFormat, RasterTarget
from hndsr_client._stream.journal import local
from hndsr_client.errors import DestinationError, LocalFileError

_MOST_NAME_BYTES = 255
_LONGEST_END = ".99.hndsr-journal-new"
SOURCE = "is the source itself, or a part of it"
SIDECARS = ".aux.xml", ".ovr", ".msk"
"""What GDAL takes for a part of the file whose name they follow."""


class Place:
    """The name of a target.

    Attributes:
        path: Where it will be; a link is followed, so that it stays a link.
        part: Where it is written.
        lock_path: The file that is locked by who makes it.
    """

    def __init__(self, target: RasterTarget, file_format: RasterFormat, *, files: Iterable[Path]) -> None:
        """Look at the name; nothing is checked yet.

        Args:
            target: What is to be made.
            file_format: Of what format.
            files: Those of the source.

        Raises:
            LocalFileError: No file can have the name.
        """
        self._target, self._is_folder, self._files = target, file_format == "zarr", tuple(files)
        with local(target.path):
            self.path = Path(os.path.realpath(target.path))
        self.part = self.path.with_name(f"{self.path.name}.hndsr-part")
        self.lock_path = self.path.with_name(f"{self.path.name}.hndsr-lock")
        self._old = self.path.with_name(f"{self.path.name}.hndsr-old")

    @property
    def size_bytes(self) -> int:
        """Of the target."""
        with local(self.path):
            files = self.path.rglob("*") if self._is_folder else [self.path]
            return sum(file.stat().st_size for file in files if file.is_file())

    def restore(self) -> None:
        """Bring back what was to be replaced by a run that was killed just then.

        Raises:
            LocalFileError: It cannot be named so.
        """
        with local(self.path):
            if self._old.exists() and not os.path.lexists(self.path):
                self._old.rename(self.path)

    def check(self) -> None:
        """Refuse what must not be written to.

        Raises:
            DestinationError: It exists and is not to be overwritten, or it is a part of the source.
            LocalFileError: Its folder is missing or cannot be written to, or something else has its name.
        """
        for file in self._files:
            with local(file):
                is_inside = self._is_folder and self.path in file.resolve().parents
                if is_inside or any(is_same(file, path) for path in (self.path, *self._sidecars())):
                    raise DestinationError(path=self._target.path, problem=f"{SOURCE}; name another destination")
        self._check_name()
        if self._is_folder and os.path.lexists(self.path):
            self._check_folder()
        else:
            Destination(self._target.path, source=None, overwrite=self._target.overwrite)
        self._check_sidecars()

    def publish(self) -> None:
        """Give what is whole its name.

        Raises:
            DestinationError: Another came to exist meanwhile and is not to be overwritten.
            LocalFileError: It cannot be named so.
        """
        if self._is_folder:
            self._publish_folder()
        else:
            self._check_sidecars()
            Destination(self._target.path, source=None, overwrite=self._target.overwrite).publish(self.part)
        self.tidy()

    def tidy(self) -> None:
        """Remove what belonged to a target that was replaced."""
        for sidecar in self._sidecars():
            with local(sidecar):
                sidecar.unlink(missing_ok=True)
        shutil.rmtree(self._old, ignore_errors=True)

    def discard(self) -> None:
        """Remove what was not named, or has got its name."""
        with local(self.part):
            if self.part.is_dir():
                shutil.rmtree(self.part)
            else:
                self.part.unlink(missing_ok=True)

    def _check_name(self) -> None:
        """Leave room for the names of the job's files, which are longer."""
        most = _MOST_NAME_BYTES - len(_LONGEST_END)
        if len(os.fsencode(self.path.name)) > most:
            raise LocalFileError(
                path=self._target.path,
                problem=f"its name is too long: at most {most} bytes leave room for its job's files",
            )

    def _publish_folder(self) -> None:
        with local(self.path):
            shutil.rmtree(self._old, ignore_errors=True)
            if os.path.lexists(self.path):
                self._check_folder()
                self.path.rename(self._old)
            try:
                self.part.rename(self.path)
            except BaseException:
                self.restore()
                raise
            sync_folder(self.path.parent)

    def _check_folder(self) -> None:
        if not self._target.overwrite:
            raise DestinationError(
                path=self._target.path, problem="exists; allow overwriting it or name another destination"
            )
        if not self.path.is_dir():
            raise LocalFileError(path=self._target.path, problem="is no folder, as zarr is; name another destination")
        with local(self.path):
            is_store = any((self.path / name).exists() for name in (".zgroup", ".zarray", "zarr.json"))
            if not is_store and any(self.path.iterdir()):
                raise LocalFileError(path=self._target.path, problem="is a folder, and not one of zarr")

    def _sidecars(self) -> list[Path]:
        return [] if self._is_folder else [self.path.with_name(f"{self.path.name}{end}") for end in SIDECARS]

    def _check_sidecars(self) -> None:
        for sidecar in self._sidecars():
            if sidecar.exists() and not self._target.overwrite:
                raise DestinationError(
                    path=sidecar,
                    problem="exists and would be taken for a part of the target; remove it or allow overwriting it",
                )
