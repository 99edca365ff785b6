"""Image files on this machine: read whole, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
import struct
from collections.abc import Iterator
from pathlib import Path

from hndsr_client._core.requests import FileFormat, check_size
from hndsr_client.errors import ArgumentError, DestinationError, HndsrError, LocalFileError

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
    except HndsrError:
        raise
    except (OSError, ValueError) as error:
        raise LocalFileError(path=path, problem=problem(error)) from error


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


def problem(error: OSError | ValueError) -> str:
    """What the operating system says, or Python of a name that no file can have."""
    return (getattr(error, "strerror", None) or str(error)).lower()


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
    """A file to be made. What can be refused is refused here, before any work is spent on it.

    Attributes:
        path: Where it will be; a link is followed, so that it stays a link.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        source: str | os.PathLike[str] | None,
        reference: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        work: Path | None = None,
    ) -> None:
        """Check that the file may be made.

        Args:
            path: Its name.
            source: What it is made from, None where that is no file.
            reference: What it is measured by.
            overwrite: Whether it may exist.
            work: What becomes of it when it is whole, which a run that was cut off may have given its name already.

        Raises:
            DestinationError: It exists and `overwrite` is not set, or it is the source or the reference itself.
            LocalFileError: Its folder is missing or cannot be written to, no file can have its name, or it is no file.
        """
        self._name, self._overwrite = path, overwrite
        try:
            self.path = Path(os.path.realpath(path))
            for name, other in (("source", source), ("reference", reference)):
                if other is not None:
                    self._check_apart(other, name)
            self._check(work)
        except HndsrError:
            raise
        except (OSError, ValueError) as error:
            raise LocalFileError(path=path, problem=problem(error)) from error

    def write(self, content: bytes) -> None:
        """Make the file: it appears under its name when all of it is on the disk.

        Raises:
            DestinationError: It came to exist meanwhile and `overwrite` is not set.
            LocalFileError: It cannot be written; nothing is left of it.
        """
        try:
            with _temporary_beside(self.path) as temporary:
                _write_through(temporary, content)
                self.publish(temporary)
        except HndsrError:
            raise
        except OSError as error:
            raise LocalFileError(path=self._name, problem=problem(error)) from error

    def publish(self, whole: Path) -> None:
        """Give a file that is whole, and on the disk, its name; it may keep its own beside that.

        Raises:
            DestinationError: Another came to exist meanwhile and `overwrite` is not set.
            LocalFileError: It cannot be named so.
        """
        try:
            self._publish(whole)
            sync_folder(self.path.parent)
        except FileExistsError as error:
            raise self._exists() from error
        except OSError as error:
            raise LocalFileError(path=self._name, problem=problem(error)) from error

    def _check_apart(self, other: str | os.PathLike[str], name: str) -> None:
        if self.path.exists() and Path(other).exists() and self.path.samefile(other):
            raise DestinationError(path=self._name, problem=f"is the {name} itself; name another destination")

    def _check(self, work: Path | None) -> None:
        if self.path.is_dir():
            raise LocalFileError(path=self._name, problem="is a folder")
        if self.path.exists() and not self.path.is_file():
            raise LocalFileError(path=self._name, problem="is no regular file")
        if self.path.exists() and not self._overwrite and not (work is not None and is_same(work, self.path)):
            raise self._exists()
        if not self.path.parent.is_dir():
            raise LocalFileError(path=self._name, problem="its folder does not exist")
        if not os.access(self.path.parent, os.W_OK):
            raise LocalFileError(path=self._name, problem="its folder cannot be written to")

    def _exists(self) -> DestinationError:
        return DestinationError(path=self._name, problem="exists; allow overwriting it or name another destination")

    def _publish(self, temporary: Path) -> None:
        if self._overwrite:
            temporary.replace(self.path)
            return
        # A link, unlike a rename, never replaces a file that came to exist meanwhile.
        try:
            self.path.hardlink_to(temporary)
        except FileExistsError:
            if not is_same(temporary, self.path):
                raise
        except OSError:
            if os.path.lexists(self.path):
                raise FileExistsError from None
            temporary.replace(self.path)


class ImageDestination(Destination):
    """An image file to be made.

    Attributes:
        format: What is given, or what the extension says, in any case of letters.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        source: str | os.PathLike[str],
        reference: str | os.PathLike[str] | None = None,
        overwrite: bool = False,
        file_format: FileFormat | None = None,
    ) -> None:
        """Check that the file may be made.

        Raises:
            ArgumentError: No format is given, and the extension stands for none that can be made.
            DestinationError: As any destination.
            LocalFileError: As any destination.
        """
        self.format: FileFormat = format_of(path) if file_format is None else file_format
        super().__init__(path, source=source, reference=reference, overwrite=overwrite)


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths are names of one file."""
    try:
        return one.samefile(other)
    except FileNotFoundError:
        return False


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


def sync(path: str | os.PathLike[str]) -> None:
    """Have a file, or the names in a folder, on the disk.

    Raises:
        OSError: The system cannot.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(folder: str | os.PathLike[str]) -> None:
    """Make new names durable, on the file systems that can."""
    with contextlib.suppress(OSError):
        sync(folder)
