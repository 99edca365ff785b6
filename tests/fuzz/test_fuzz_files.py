"""Changed image files, rasters and connections: whatever hypothesis makes of sound ones."""

from __future__ import annotations

from collections.abc import Sequence

import connection_bytes
import grpc
import image_files
import pytest
import raster_headers
from hypothesis import given, settings
from hypothesis import strategies as st

ENDED_BY_A_NAME = pytest.mark.skipif(
    (1, 84) <= tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 86),
    reason="grpcio 1.84 and 1.85 serve no more when a call names a method that is no text",
)
IMAGES, RASTERS = list(image_files.seeds()), raster_headers.seeds()
CONNECTIONS = connection_bytes.seeds()
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True), st.sampled_from(("set", "flip", "cut", "double")), st.integers(0, 255)
    ),
    min_size=1,
    max_size=8,
)


def changed(contents: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of these files with one to eight changes."""
    return st.builds(_applied, st.sampled_from([content for content in contents if content]), CHANGES)


def _applied(content: bytes, changes: Sequence[tuple[float, str, int]]) -> bytes:
    result = bytearray(content)
    for part, kind, value in changes:
        at = int(part * len(result))
        if kind == "set":
            result[at : at + 1] = bytes([value])
        elif kind == "flip":
            result[at : at + 1] = bytes(byte ^ 1 << value % 8 for byte in result[at : at + 1])
        elif kind == "cut":
            del result[at : at + value]
        else:
            result[at:at] = result[at : at + value]
    return bytes(result)


@settings(max_examples=100, deadline=None)
@given(changed(IMAGES).map(image_files.mended))
def test_image_file_becomes_a_picture_or_is_refused(content: bytes) -> None:
    image_files.check(content)


@settings(max_examples=100, deadline=None)
@given(changed(RASTERS))
def test_raster_is_read_or_refused_by_an_error_of_the_client(content: bytes) -> None:
    raster_headers.check(content)


@ENDED_BY_A_NAME
@settings(max_examples=50, deadline=None)
@given(changed(CONNECTIONS))
def test_gateway_serves_others_whatever_comes_down_a_connection(content: bytes) -> None:
    connection_bytes.check(content)


@pytest.mark.slow
@settings(max_examples=10_000, deadline=None)
@given(changed(IMAGES).map(image_files.mended) | st.binary(max_size=200))
def test_many_image_files_become_pictures_or_are_refused(content: bytes) -> None:
    image_files.check(content)


@pytest.mark.slow
@settings(max_examples=1500, deadline=None)
@given(changed(RASTERS))
def test_many_rasters_are_read_or_refused_by_errors_of_the_client(content: bytes) -> None:
    raster_headers.check(content)


@ENDED_BY_A_NAME
@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(changed(CONNECTIONS))
def test_gateway_serves_others_whatever_comes_down_many_connections(content: bytes) -> None:
    connection_bytes.check(content)
