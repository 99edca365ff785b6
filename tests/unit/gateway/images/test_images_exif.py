"""EXIF blocks: orientation, what is kept, and what broken ones do."""

from __future__ import annotations

import numpy as np
import pytest
from corpus.exif import exif_block, orientations
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from unit.gateway.images.files import camera_exif, samples

from hndsr_gateway.images import exif
from hndsr_gateway.images.decode import oriented
from hndsr_gateway.images.ifd import Field

STORED = samples(3, 5, 3)
IFD = 13


@pytest.mark.parametrize(("orientation", "upright"), list(orientations(STORED)), ids=range(1, 9))
def test_oriented_turns_pixels_upright(orientation: int, upright: np.ndarray) -> None:
    np.testing.assert_array_equal(oriented(STORED, orientation), upright)


@pytest.mark.parametrize("order", ["<", ">"])
def test_orientation_is_read_in_either_byte_order(order: str) -> None:
    assert exif.orientation(exif_block(6, order=order)) == 6


@pytest.mark.parametrize(
    "block", [b"", b"II", b"Exif\0\0", exif_block(0), exif_block(9), exif_block(6)[:-8]], ids=range(6)
)
def test_orientation_is_upright_when_the_block_does_not_say(block: bytes) -> None:
    assert exif.orientation(block) == 1


def test_kept_is_what_pillow_reads_of_camera_place_and_time() -> None:
    found = Image.Exif()
    found.load(exif.kept(camera_exif(orientation=6)))
    assert (dict(found.get_ifd(0x8769)), set(found.get_ifd(0x8825)), set(found)) == (
        {0x9003: "2020:01:02 03:04:05"},
        {1, 2, 3, 4},
        {0x010F, 0x0110, 0x8769, 0x8825},
    )


def test_kept_of_what_is_kept_is_the_same() -> None:
    block = exif.kept(camera_exif())
    assert exif.kept(block) == block


@pytest.mark.parametrize("where", ["details", "place"])
def test_kept_has_no_directories_within_directories(where: str) -> None:
    directories = {"details": {}, "place": {}, where: {0xABCD: Field(IFD, 1, b"\0\0\0\x08")}}
    described = {0x010E: Field(2, 2, b"x\0")}
    assert exif.kept(exif.Exif(">", described, **directories).packed()) == exif.Exif(">", described, {}, {}).packed()


def test_kept_is_nothing_when_only_orientation_is_said() -> None:
    assert exif.kept(exif_block(6)) == b""


def test_kept_is_nothing_when_it_is_too_large() -> None:
    camera = Image.Exif()
    camera[0x010E] = "x" * 65_600
    assert exif.kept(camera.tobytes()) == b""


@given(position=st.integers(0, len(camera_exif()) - 1), value=st.integers(0, 255), length=st.integers(0, 2000))
@settings(max_examples=500, deadline=None)
def test_kept_of_a_damaged_block_is_a_block_or_nothing(position: int, value: int, length: int) -> None:
    damaged = bytearray(camera_exif())
    damaged[position] = value
    block = exif.kept(bytes(damaged[:length]))
    assert exif.kept(block) == block


@pytest.mark.parametrize("description", ['{"shape": [60, 80, 3]}', "ImageJ=1.54\nimages=1", "<?xml version='1.0'?>"])
def test_kept_has_no_description_of_the_pixels_that_a_program_wrote(description: str) -> None:
    block = Image.Exif()
    block[270], block[271] = description, "A camera"
    found = Image.Exif()
    found.load(exif.kept(block.tobytes()))
    assert dict(found) == {271: "A camera"}
