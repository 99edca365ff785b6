"""Files that are read again: what holds when they change, break, vanish and come back."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from hndsr_gateway.identity.errors import UnusableFileError
from hndsr_gateway.identity.following import Followed, read_bytes


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("one")
    return path


def follow(path: Path, *, every_s: float = 0) -> Followed[str]:
    def read() -> str:
        text = read_bytes(path).decode()
        if text.startswith("broken"):
            raise UnusableFileError(path=path, problem="is broken")
        return text

    return Followed((path,), read, every_s=every_s)


def replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def test_followed_reads_once_what_does_not_change(file: Path) -> None:
    followed = follow(file)
    assert followed.content() is followed.content()


@pytest.mark.parametrize("text", ["two", "three"])
def test_followed_reads_again_what_was_replaced(file: Path, text: str) -> None:
    followed = follow(file)
    replace(file, text)
    assert followed.content() == text


def test_followed_reads_again_what_was_written_to(file: Path) -> None:
    followed = follow(file)
    before = file.stat()
    file.write_text("two")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert followed.content() == "two"


def test_followed_reads_again_behind_a_link_that_was_moved(tmp_path: Path) -> None:
    """As Kubernetes rotates what it mounts."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    (tmp_path / "data").symlink_to("first")
    (tmp_path / "file").symlink_to("data/file")
    followed = follow(tmp_path / "file")
    (tmp_path / "next").symlink_to("second")
    (tmp_path / "next").replace(tmp_path / "data")
    assert followed.content() == "second"


@pytest.mark.parametrize("change", [lambda file: replace(file, "broken"), Path.unlink], ids=["broken", "missing"])
def test_followed_keeps_what_it_read_when_a_change_cannot_be_used(file: Path, change: object) -> None:
    followed = follow(file)
    change(file)  # type: ignore[operator]
    assert followed.content() == "one"


def test_followed_says_once_that_a_change_cannot_be_used(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    followed = follow(file)
    replace(file, "broken")
    for _ in range(3):
        followed.content()
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert (len(errors), "is broken" in errors[0]) == (1, True)


def test_followed_goes_on_when_what_was_broken_is_mended(file: Path) -> None:
    followed = follow(file)
    replace(file, "broken")
    followed.content()
    replace(file, "two")
    assert followed.content() == "two"


def test_followed_does_not_look_again_too_soon(file: Path) -> None:
    followed = follow(file, every_s=3600)
    replace(file, "two")
    assert followed.content() == "one"


def test_followed_refuses_what_cannot_be_read_at_first(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match="file cannot be read: No such file or directory"):
        follow(tmp_path / "file")
