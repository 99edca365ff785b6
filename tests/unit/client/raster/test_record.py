"""What a target says of its making."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from hndsr_client._raster.bands import Triple
from hndsr_client._raster.record import Record, TripleRecord, made_record
from hndsr_client.results import Options, Plan, Span

RECORD = Record(
    scale="7/2",
    model="hndsr",
    revision="ab",
    steps=3,
    texture=0.7,
    seed=9,
    rows_px=(0, 100, 200),
    columns_px=(0, 150, 301),
    triples=(TripleRecord((1, 2, 3), "d0", (1, 2, 3, 2**32 - 1)), TripleRecord((4,), "d1", (5, 6, 7, 8))),
    lossless=True,
)


def _said(**changed: Any) -> str:
    """A text whose own checksum is right."""
    facts = json.loads(zlib.decompress(base64.b64decode(RECORD.text()[2:]))) | changed
    return "1:" + base64.b64encode(zlib.compress(json.dumps(facts).encode())).decode()


@pytest.mark.parametrize("record", [RECORD, replace(RECORD, masks=(9, 8, 7, 6))], ids=["no mask", "mask"])
def test_record_is_read_as_it_was_written(record: Record) -> None:
    assert Record.of(record.text()) == record


def test_record_is_a_line_of_plain_text_behind_its_version() -> None:
    version, packed = RECORD.text().split(":")
    assert version == "1"
    assert base64.b64encode(base64.b64decode(packed, validate=True)).decode() == packed


@pytest.mark.parametrize("text", ["", "1", "1:", "{}", "[1]", "1:{}", "1:AAAA", "0" + RECORD.text()[1:]])
def test_record_is_refused_when_it_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="its record is damaged, or of another version"):
        Record.of(text)


def test_record_is_refused_when_it_is_torn() -> None:
    for length in range(len(RECORD.text())):
        with pytest.raises(ValueError, match="its record is damaged"):
            Record.of(RECORD.text()[:length])


def test_record_is_refused_when_a_letter_was_changed() -> None:
    text = RECORD.text()
    for place in range(len(text) - 2):  # the last letters fill up the last byte
        letter = "B" if text[place] == "A" else "A"
        with pytest.raises(ValueError, match="its record is damaged"):
            Record.of(text[:place] + letter + text[place + 1 :])


@pytest.mark.parametrize(
    "changed",
    [
        {"rows_px": [0]},
        {"rows_px": [1, 100, 200]},
        {"columns_px": [0, 301, 150]},
        {"columns_px": ["0", "1", "2"]},
        {"triples": []},
        {"triples": [{}]},
        {"masks": base64.b64encode(bytes(12)).decode()},
        {"masks": "AAA"},
        {"masks": None},
        {"unknown": 1},
    ],
    ids=str,
)
def test_record_is_refused_when_it_makes_no_sense(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="its record is damaged"):
        Record.of(_said(**changed))


def test_record_counts_tiles() -> None:
    assert RECORD.tiles == 4


def _plan(digest: str) -> Plan:
    rows = (Span(0, 1, 0, 30, 0, 100), Span(1, 2, 20, 50, 100, 200))
    columns = (Span(0, 1, 0, 60, 0, 150), Span(1, 2, 40, 86, 150, 301))
    options = Options(3, 0.7, 9)
    return Plan(50, 86, 200, 301, Fraction(7, 2), "hndsr", "ab", rows, columns, digest, 1, options, 4, 1.0)


@pytest.mark.parametrize(("masks", "expected"), [(None, ()), ({3: 6, 0: 9, 1: 8, 2: 7}, (9, 8, 7, 6))])
def test_record_is_made_of_what_was_planned_and_written(masks: Any, expected: tuple[int, ...]) -> None:
    triples = [Triple((1, 2, 3), (0, 1, 2)), Triple((4, 4, 4), (0,))]
    checksums = [{1: 2, 0: 1, 2: 3, 3: 2**32 - 1}, {0: 5, 1: 6, 2: 7, 3: 8}]
    made = made_record([_plan("d0"), _plan("d1")], triples, checksums, masks=masks, lossless=True)
    assert made == replace(RECORD, masks=expected)
