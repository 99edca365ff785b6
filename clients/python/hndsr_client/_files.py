"""Image files on this machine: read whole, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

from hndsr_client._core.requests import FileFormat, check_size
from hndsr_client.errors import ArgumentError, DestinationError, LocalFileError

# The first extension of a format is the one that is given to files named by this package.
EXTENSIONS: dict[str, FileFormat] = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".webp": "webp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def read_source(path: str | os.PathLike[str]) -> bytes:
    """The content of an image file.

    Raises:
        LocalFileError: It cannot be read.
        ImageTooLargeError: It does not fit in a message.
    """
    try:
        with Path(path).open("rb") as file:
            check_size(os.fstat(file.fileno()).st_size)
            return file.read()
    except OSError as error:
        raise LocalFileError(path=path, problem=_problem(error)) from error


def format_of(path: str | os.PathLike[str]) -> FileFormat:
    """The format that a file's extension stands for.

    Raises:
        ArgumentError: The extension stands for none that can be made.
    """
    file_format = EXTENSIONS.get(Path(path).suffix.lower())
    if file_format is None:
        *others, last = EXTENSIONS
        accepted = f"{', '.join(others)} and {last}"
        raise ArgumentError(f"{os.fspath(path)}: the destination's extension says no format, accepted are {accepted}")
    return file_format


def png_size_px(path: str | os.PathLike[str]) -> tuple[int, int] | None:
    """Height and width of a PNG file, None for any other file and for pipes, which can be read only once.

    Source: PNG specification, 11.2.2 IHDR.
    """
    if not Path(path).is_file():
        return None
    with Path(path).open("rb") as file:
        header = file.read(24)
    if len(header) < 24 or header[:8] != PNG_SIGNATURE or header[12:16] != b"IHDR":
        return None
    width_px, height_px = struct.unpack(">II", header[16:])
    return height_px, width_px


class Destination:
    """An image file to be made. What can be refused is refused here, before any work is spent on it.

    Attributes:
        format: What the extension says, in any case of letters.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, source: str | os.PathLike[str], overwrite: bool = False
    ) -> None:
        """Check that the file may be made; a link is followed, so that it stays a link.

        Raises:
            ArgumentError: The extension stands for no format that can be made.
            DestinationError: It exists and `overwrite` is not set, or it is the source itself.
            LocalFileError: Its folder is missing or cannot be written to.
        """
        self.format: FileFormat = format_of(path)
        self._name = path
        self._path = Path(os.path.realpath(path))
        self._overwrite = overwrite
        try:
            self._check(Path(source))
        except LocalFileError:
            raise
        except OSError as error:
            raise LocalFileError(path=path, problem=_problem(error)) from error

    def write(self, content: bytes) -> None:
        """Make the file: it appears under its name when all of it is on the disk.

        Raises:
            DestinationError: It came to exist meanwhile and `overwrite` is not set.
            LocalFileError: It cannot be written; nothing is left of it.
        """
        try:
            with _temporary_beside(self._path) as temporary:
                _write_through(temporary, content)
                self._publish(temporary)
            _sync_folder(self._path.parent)
        except FileExistsError as error:
            raise self._exists() from error
        except OSError as error:
            raise LocalFileError(path=self._name, problem=_problem(error)) from error

    def _check(self, source: Path) -> None:
        if self._path.is_dir():
            raise LocalFileError(path=self._name, problem="is a folder")
        if self._path.exists() and source.exists() and self._path.samefile(source):
            raise DestinationError(path=self._name, problem="is the source itself; name another destination")
        if self._path.exists() and not self._overwrite:
            raise self._exists()
        if not self._path.parent.is_dir():
            raise LocalFileError(path=self._name, problem="its folder does not exist")
        if not os.access(self._path.parent, os.W_OK):
            raise LocalFileError(path=self._name, problem="its folder cannot be written to")

    def _exists(self) -> DestinationError:
        return DestinationError(path=self._name, problem="exists; allow overwriting it or name another destination")

    def _publish(self, temporary: Path) -> None:
        if self._overwrite:
            temporary.replace(self._path)
            return
        # A link, unlike a rename, never replaces a file that came to exist meanwhile.
        try:
            self._path.hardlink_to(temporary)
        except FileExistsError:
            raise
        except OSError:
            if os.path.lexists(self._path):
                raise FileExistsError from None
            temporary.replace(self._path)


@contextlib.contextmanager
def _temporary_beside(path: Path) -> Iterator[Path]:
    """A name in the same folder that is gone in the end; it is short, since the path's own may be as long as can be."""
    temporary = path.with_name(f".hndsr-{secrets.token_hex(8)}.part")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _write_through(path: Path, content: bytes) -> None:
    # A new file's mode is what the umask allows.
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, on the file systems that can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _problem(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
