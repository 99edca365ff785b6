"""What GDAL says of a file it could not write, which rasterio keeps to its log."""

from __future__ import annotations

import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from hndsr_client._raster.geotiff import failures_raised

LOG = logging.getLogger("rasterio._env")


def _fail() -> None:
    LOG.info("GDAL signalled an error: err_no=%r, msg=%r", 3, "a.tif: write error")


def test_failures_are_raised_when_the_log_says_so() -> None:
    with pytest.raises(OSError, match=r"^a\.tif: write error$"), failures_raised():
        _fail()


def test_failures_of_another_thread_are_not_raised() -> None:
    with ThreadPoolExecutor(1) as other, failures_raised():
        other.submit(_fail).result()


def test_failures_are_raised_by_the_thread_that_has_them_when_two_overlap() -> None:
    is_open, is_done = threading.Event(), threading.Event()

    def use() -> None:
        with failures_raised():
            is_open.set()
            is_done.wait()
            _fail()

    with ThreadPoolExecutor(1) as other:
        with failures_raised():
            failed = other.submit(use)
            is_open.wait()
        is_done.set()
        with pytest.raises(OSError, match="write error"):
            failed.result()


def test_failures_leave_the_log_as_it_was_when_two_threads_overlap() -> None:
    before, is_open, is_done = (LOG.level, list(LOG.filters)), threading.Event(), threading.Event()

    def use() -> None:
        with failures_raised():
            is_open.set()
            is_done.wait()

    with ThreadPoolExecutor(1) as other:
        with failures_raised():
            used = other.submit(use)
            is_open.wait()
        is_done.set()
        used.result()
    assert (LOG.level, LOG.filters) == before


def test_failures_show_others_no_more_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with ThreadPoolExecutor(1) as other, failures_raised():
        other.submit(_fail).result()
        other.submit(LOG.warning, "as ever").result()
    assert caplog.messages == ["as ever"]
