"""Every file of the corpus, straight through the decoder: right pixels or an honest reason, never anything else."""

from __future__ import annotations

import resource
from collections.abc import Iterator

import pytest
from corpus.cases import CASES
from corpus.verdicts import Read, Turned, disagreement

from hndsr_gateway.errors import InvalidRequestError
from hndsr_gateway.images.decode import decode
from hndsr_gateway.images.limits import private_bytes

MAX_PX = 32_000_000
MEMORY_BYTES = 2**30


@pytest.fixture(autouse=True)
def _memory_of_a_worker() -> Iterator[None]:
    """As much as a worker allows itself, so that a bomb fails its own test alone."""
    before = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (private_bytes() + MEMORY_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_DATA, before)


def outcome(content: bytes) -> Read | Turned:
    """What becomes of a file; other errors than refusals fail the test."""
    try:
        picture = decode(content, max_px=MAX_PX)
    except InvalidRequestError as error:
        return Turned(error.reason, str(error))
    except MemoryError:
        return Turned("DECOMPRESSION_BOMB", "out of memory")
    raster = picture.raster
    return Read(raster.pixels, picture.format.value, picture.alpha, raster.mask)


@pytest.mark.parametrize("name", CASES)
def test_decode_reads_or_refuses_as_the_format_demands(name: str) -> None:
    case = CASES[name]
    wrong = disagreement(case.expected, outcome(case.content))
    assert wrong == ""
