"""Files appear under their names when they are whole, and nothing else appears."""

from __future__ import annotations

import os
import resource
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from PIL import Image

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import ArgumentError, Client, DestinationError, HndsrError, ImageTooLargeError, LocalFileError
from hndsr_client._core.files import ImageDestination, png_size_px
from hndsr_client.testing._servicer import NearestServicer


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def largest_file_bytes(limit: int) -> Iterator[None]:
    """Writing beyond the limit fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_upscale_file_makes_the_service_image(client: Client, source: Path, folder: Path) -> None:
    client.upscale_file(source, folder / "made.png", scale=3)
    made = np.asarray(Image.open(folder / "made.png"))
    np.testing.assert_array_equal(made, client.upscale(source, scale=3).image)


def test_upscale_file_asks_for_png(client: Client, service: NearestServicer, source: Path, folder: Path) -> None:
    client.upscale_file(source, folder / "made.png")
    assert service.requests[0].output_format == pb.IMAGE_FORMAT_PNG


def test_upscale_file_tells_what_was_done(client: Client, source: Path, folder: Path) -> None:
    assert client.upscale_file(source, str(folder / "made.PNG")).format == "png"


def test_upscale_file_leaves_nothing_else(client: Client, source: Path, folder: Path) -> None:
    client.upscale_file(source, folder / "made.png")
    assert os.listdir(folder) == ["made.png"]  # noqa: PTH208  hidden files too


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_upscale_file_follows_the_umask(client: Client, source: Path, folder: Path, mask: int, mode: int) -> None:
    with umask(mask):
        client.upscale_file(source, folder / "made.png")
    assert stat.S_IMODE((folder / "made.png").stat().st_mode) == mode


def test_upscale_file_refuses_an_existing_destination(client: Client, source: Path, folder: Path) -> None:
    (folder / "made.png").touch()
    with pytest.raises(DestinationError, match=r"made.png: exists"):
        client.upscale_file(source, folder / "made.png")


def test_upscale_file_asks_nothing_of_the_service_when_the_destination_is_refused(
    client: Client, service: NearestServicer, source: Path, folder: Path
) -> None:
    (folder / "made.png").touch()
    with pytest.raises(DestinationError):
        client.upscale_file(source, folder / "made.png")
    assert service.requests == []


def test_upscale_file_overwrites_when_told(client: Client, source: Path, folder: Path) -> None:
    (folder / "made.png").write_text("before")
    client.upscale_file(source, folder / "made.png", overwrite=True)
    assert png_size_px(folder / "made.png") == (20, 28)


def test_upscale_file_follows_a_link(client: Client, source: Path, folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "made.png")
    client.upscale_file(source, folder / "link.png")
    assert ((folder / "link.png").is_symlink(), png_size_px(folder / "made.png")) == (True, (20, 28))


def test_upscale_file_refuses_the_reference_as_destination(client: Client, source: Path) -> None:
    reference = source.with_name("truth.png")
    reference.write_bytes(source.read_bytes())
    with pytest.raises(DestinationError, match="is the reference itself"):
        client.upscale_file(source, reference, reference=reference, overwrite=True)


def test_upscale_file_refuses_a_destination_that_is_no_regular_file(client: Client, source: Path) -> None:
    pipe = source.with_name("pipe.png")
    os.mkfifo(pipe)
    with pytest.raises(LocalFileError, match="is no regular file"):
        client.upscale_file(source, pipe, overwrite=True)


@pytest.mark.parametrize("make", ["same", "symlink", "hardlink"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_upscale_file_refuses_the_source_as_destination(
    client: Client, source: Path, make: str, *, overwrite: bool
) -> None:
    destination = source if make == "same" else source.with_name("other.png")
    if make == "symlink":
        destination.symlink_to(source)
    if make == "hardlink":
        destination.hardlink_to(source)
    with pytest.raises(DestinationError, match="is the source itself"):
        client.upscale_file(source, destination, overwrite=overwrite)


@pytest.mark.parametrize("name", ["made.gif", "made", "made.png.zip", ".png"])
def test_upscale_file_refuses_other_extensions(client: Client, source: Path, folder: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=r"accepted are \.png, \.jpg, \.jpeg, \.webp, \.tif and \.tiff"):
        client.upscale_file(source, folder / name)


@pytest.mark.parametrize(
    ("name", "file_format"),
    [
        ("made.png", "png"),
        ("made.PNG", "png"),
        ("made.jpg", "jpeg"),
        ("made.JPEG", "jpeg"),
        ("made.webp", "webp"),
        ("made.tif", "tiff"),
        ("made.x4.Tiff", "tiff"),
    ],
)
def test_destination_takes_its_format_from_the_extension(
    source: Path, folder: Path, name: str, file_format: str
) -> None:
    assert ImageDestination(folder / name, source=source).format == file_format


def test_upscale_file_takes_any_extension_where_the_format_is_given(client: Client, source: Path, folder: Path) -> None:
    client.upscale_file(source, folder / "made.img", format="tiff")
    assert (folder / "made.img").read_bytes()[:4] == b"II*\0"


@pytest.mark.parametrize("which", ["source", "destination", "reference"])
def test_upscale_file_refuses_a_name_that_no_file_can_have(
    client: Client, source: Path, folder: Path, which: str
) -> None:
    paths = {"source": source, "destination": folder / "made.png", "reference": source} | {which: folder / "a\0.png"}
    with pytest.raises(LocalFileError, match="embedded null byte"):
        client.upscale_file(**paths)


def test_upscale_file_refuses_a_folder_as_destination(client: Client, source: Path, folder: Path) -> None:
    (folder / "made.png").mkdir()
    with pytest.raises(LocalFileError, match="is a folder"):
        client.upscale_file(source, folder / "made.png", overwrite=True)


def test_upscale_file_refuses_a_missing_folder(client: Client, source: Path, folder: Path) -> None:
    with pytest.raises(LocalFileError, match="its folder does not exist"):
        client.upscale_file(source, folder / "missing" / "made.png")


def test_upscale_file_refuses_a_name_longer_than_names_can_be(client: Client, source: Path, folder: Path) -> None:
    with pytest.raises(LocalFileError, match="file name too long"):
        client.upscale_file(source, folder / f"{'n' * 300}.png")


def test_upscale_file_makes_the_longest_name(client: Client, source: Path, folder: Path) -> None:
    destination = folder / f"{'n' * 251}.png"
    client.upscale_file(source, destination)
    assert destination.exists()


def test_upscale_file_leaves_nothing_when_the_service_refuses(
    client: Client, service: NearestServicer, source: Path, folder: Path
) -> None:
    service.refuse = lambda context: context.abort(grpc.StatusCode.INTERNAL, "no")
    with pytest.raises(HndsrError):
        client.upscale_file(source, folder / "made.png")
    assert list(folder.iterdir()) == []


def test_upscale_file_leaves_nothing_when_the_disk_is_full(client: Client, source: Path, folder: Path) -> None:
    with largest_file_bytes(10), pytest.raises(LocalFileError, match="file too large"):
        client.upscale_file(source, folder / "made.png")
    assert list(folder.iterdir()) == []


def test_upscale_file_keeps_the_existing_file_when_the_disk_is_full(client: Client, source: Path, folder: Path) -> None:
    (folder / "made.png").write_text("before")
    with largest_file_bytes(10), pytest.raises(LocalFileError):
        client.upscale_file(source, folder / "made.png", overwrite=True)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"made.png": "before"}


def test_write_refuses_a_destination_that_came_to_exist(source: Path, folder: Path) -> None:
    destination = ImageDestination(folder / "made.png", source=source)
    (folder / "made.png").write_text("of somebody else")
    with pytest.raises(DestinationError, match="exists"):
        destination.write(b"ours")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {"made.png": "of somebody else"}


def test_write_lets_one_of_many_win(source: Path, folder: Path) -> None:
    destinations = [ImageDestination(folder / "made.png", source=source) for _ in range(8)]
    refused: list[DestinationError] = []

    def write(destination: Destination) -> None:
        try:
            destination.write(b"content")
        except DestinationError as error:
            refused.append(error)

    threads = [threading.Thread(target=write, args=[destination]) for destination in destinations]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 7


@pytest.mark.parametrize("name", ["missing.png", "."])
def test_upscale_names_a_source_that_cannot_be_read(client: Client, source: Path, name: str) -> None:
    with pytest.raises(LocalFileError, match=str(source.parent)):
        client.upscale(source.parent / name)


def test_upscale_refuses_a_file_over_the_message_limit_before_reading_it(client: Client, folder: Path) -> None:
    with (folder / "large.tif").open("wb") as file:
        file.truncate(2**29 + 1)
    with pytest.raises(ImageTooLargeError, match="536,870,913 bytes"):
        client.upscale(folder / "large.tif")


def test_png_size_px_reads_the_header(source: Path) -> None:
    assert png_size_px(source) == (5, 7)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff" * 20])
def test_png_size_px_knows_no_other_files(folder: Path, content: bytes) -> None:
    (folder / "other.png").write_bytes(content)
    assert png_size_px(folder / "other.png") is None


def test_png_size_px_leaves_pipes_alone(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    assert png_size_px(folder / "pipe") is None
