"""Which pictures may overlap, and how they would lie: words in common that agree on one placement.

The work grows with the number of words, not with that of pairs: a word that many keypoints share, since many files show
one ground or since it is of a texture that repeats, links each picture with the nearest ones that have it, in the order
of the pictures. These links are chains, so ground that any number of files show still connects all of them.

Source: words of pictures: Sivic and Zisserman 2003, "Video Google: a text retrieval approach to object matching in
videos", section 4; votes for a placement in overlapping cells: Lowe 2004, section 7.3.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Int64, Shaped, UInt64

from hndsr_ensemble.training.imagery import orientations
from hndsr_ensemble.training.imagery.keypoints import LEVELS, Keypoints, Words, plain_words, probed_words

CELL_PX: Final = 24
"""Side of a cell of shifts that keypoints vote for; cells overlap by half."""
MIN_VOTES: Final = 4
"""Keypoints that must agree before pixels are compared."""
PLACEMENTS: Final = 3
"""Placements of a pair that are tried, those with most votes."""
CROWD: Final = 24
"""Keypoints that are all matched with each other where they share a word; of more, neighbours are."""
NEIGHBOURS: Final = 4
"""Keypoints on either side that one of a crowd is matched with."""
QUERIES_AT_ONCE: Final = 64
SHIFT_CELLS: Final = 1 << 10
"""More than half the cells of shifts along one axis."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a picture would lie over another: turned by `orientation`, then enlarged by `ratio`, then shifted.

    The position p of the turned picture, from its centre, comes to lie at `ratio · p + shift_px` from the centre of the
    other one.
    """

    orientation: int
    ratio: float
    shift_px: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two pictures, by their place in the sequence, that may overlap."""

    first: int
    second: int
    placement: Placement
    votes: int


class _Marks(NamedTuple):
    """Descriptions of keypoints of several pictures, one row each."""

    pictures: Int64[np.ndarray, "count"]
    keypoints: Int64[np.ndarray, "count"]
    levels: Int64[np.ndarray, "count"]
    orientations: Int64[np.ndarray, "count"]
    positions_px: Float32[np.ndarray, "count 2"]

    def rows(self, which: Shaped[np.ndarray, "_some"]) -> _Marks:
        return _Marks(*(column[which] for column in self))

    def joined(self, other: _Marks) -> _Marks:
        return _Marks(*(np.concatenate(columns) for columns in zip(self, other, strict=True)))


class _Described(NamedTuple):
    """Marks, and the words of each."""

    marks: _Marks
    words: UInt64[np.ndarray, "count probes"]


class _Index(NamedTuple):
    """Marks to be found by their words."""

    words: UInt64[np.ndarray, "listed"]
    """Ascending."""
    rows: Int64[np.ndarray, "listed"]
    """The mark of each word; ascending among those of one word."""
    marks: _Marks
    owners: Int64[np.ndarray, "pictures"]
    """Of each picture, as in `find_candidates`."""

    @classmethod
    def of(cls, described: _Described, owners: Int64[np.ndarray, "pictures"]) -> _Index:
        words = described.words.ravel()
        order = np.argsort(words, kind="stable")
        return cls(words[order], order // described.words.shape[1], described.marks, owners)

    def matches(self, queries: _Described) -> tuple[_Marks, _Marks]:
        """Queries and marks that share a word, row by row; in a crowd, neighbours that do."""
        words, probes = queries.words.ravel(), queries.words.shape[1]
        starts = np.searchsorted(self.words, words, side="left")
        stops = np.searchsorted(self.words, words, side="right")
        crowded = np.flatnonzero(stops - starts > CROWD)
        alone = np.flatnonzero(stops - starts <= CROWD)
        owners = self.owners[queries.marks.pictures[crowded // probes]]
        begin, end = (self._place(starts[crowded], stops[crowded], owners + after) for after in (0, 1))
        asking = np.concatenate([alone, crowded, crowded])
        starts = np.concatenate([starts[alone], np.maximum(begin - NEIGHBOURS, starts[crowded]), end])
        stops = np.concatenate([stops[alone], begin, np.minimum(end + NEIGHBOURS, stops[crowded])])
        counts = stops - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        found = self.marks.rows(self.rows[np.repeat(starts, counts) + within])
        return queries.marks.rows(np.repeat(asking, counts) // probes), found

    def _place(
        self, starts: Int64[np.ndarray, "asked"], stops: Int64[np.ndarray, "asked"], owners: Int64[np.ndarray, "asked"]
    ) -> Int64[np.ndarray, "asked"]:
        """Where in each span of marks those of an owner begin, or would."""
        low, high = starts.copy(), stops.copy()
        while (open_ := np.flatnonzero(low < high)).size:
            middle = (low[open_] + high[open_]) // 2
            before = self.owners[self.marks.pictures[self.rows[middle]]] < owners[open_]
            low[open_[before]] = middle[before] + 1
            high[open_[~before]] = middle[~before]
        return low


def find_candidates(
    pictures: Sequence[Keypoints], *, owners: Int64[np.ndarray, "pictures"], fresh: Bool[np.ndarray, "pictures"]
) -> Iterator[list[Candidate]]:
    """Placements to look at closer, some pictures at a time, of each pair those with most votes first.

    Args:
        pictures: their keypoints.
        owners: number of the image that each picture is a piece of, ascending; pieces of one image are not compared.
        fresh: pictures that have not been compared before; of each pair at least one is.
    """
    everything = range(len(pictures))
    plain = _Index.of(_described(pictures, everything, plain_words, levels=1), owners)
    probed = _Index.of(_described(pictures, everything, probed_words, levels=1), owners)
    for start in everything[::QUERIES_AT_ONCE]:
        numbers = everything[start : start + QUERIES_AT_ONCE]
        queries = _described(pictures, numbers, plain_words, levels=len(LEVELS))
        asking, answering = probed.matches(queries)
        both_ways = plain.matches(_described(pictures, numbers, probed_words, levels=1))
        asking, answering = asking.joined(both_ways[0]), answering.joined(both_ways[1])
        first, second = asking.pictures, answering.pictures
        # At full size a pair meets from both sides, so one order is enough; a reduced picture is on one side only.
        ordered = (first < second) | (asking.levels > 0)
        kept = ordered & (owners[first] != owners[second]) & (fresh[first] | fresh[second])
        yield list(_agreeing(asking.rows(kept), answering.rows(kept), len(pictures)))


def _described(
    pictures: Sequence[Keypoints], numbers: range, describe: Callable[[Keypoints], Words], *, levels: int
) -> _Described:
    parts = [_of_picture(number, pictures[number], describe, levels) for number in numbers]
    marks = _Marks(*(np.concatenate(columns) for columns in zip(*(part.marks for part in parts), strict=True)))
    return _Described(marks, np.concatenate([part.words for part in parts]))


def _of_picture(number: int, picture: Keypoints, describe: Callable[[Keypoints], Words], levels: int) -> _Described:
    asked = Keypoints(*(column[picture.levels < levels] for column in picture))
    keypoints, described_in, words = describe(asked)
    pictures = np.full(len(keypoints), number, np.int64)
    at_level = asked.levels[keypoints].astype(np.int64)
    return _Described(_Marks(pictures, keypoints, at_level, described_in, asked.positions_px[keypoints]), words)


def _agreeing(asking: _Marks, answering: _Marks, pictures: int) -> Iterator[Candidate]:
    """The placements of each pair that most of its matches agree on."""
    turns = orientations.AFTER[orientations.INVERSE[answering.orientations], asking.orientations]
    ratios = np.array(LEVELS, np.float32)[asking.levels]
    shifts = answering.positions_px - ratios[:, None] * orientations.moved(asking.positions_px, turns)
    pairs = asking.pictures * pictures + answering.pictures
    kinds = (pairs * len(LEVELS) + asking.levels) * orientations.COUNT + turns
    offsets = product((0.0, CELL_PX / 2), repeat=2)
    found = [_voted(kinds, shifts, asking.keypoints, offset=np.array(offset)) for offset in offsets]
    votes, cells, means = (np.concatenate(parts) for parts in zip(*found, strict=True))
    tried: dict[tuple[int, int], list[Placement]] = defaultdict(list)
    for at in np.lexsort((cells, -votes)):
        rest, turn = divmod(int(cells[at]), orientations.COUNT)
        pair, level = divmod(rest, len(LEVELS))
        first, second = divmod(pair, pictures)
        placement = Placement(turn, LEVELS[level], (float(means[at, 0]), float(means[at, 1])))
        others = tried[min(first, second), max(first, second)]
        if len(others) < PLACEMENTS and not any(_is_near(placement, other) for other in others):
            others.append(placement)
            yield Candidate(first, second, placement, int(votes[at]))


def _is_near(one: Placement, other: Placement) -> bool:
    """Whether two placements came from cells that overlap."""
    apart = max(abs(mine - its) for mine, its in zip(one.shift_px, other.shift_px, strict=True))
    return (one.orientation, one.ratio) == (other.orientation, other.ratio) and apart < CELL_PX / 2


def _voted(
    kinds: Int64[np.ndarray, "matches"],
    shifts: Float32[np.ndarray, "matches 2"],
    keypoints: Int64[np.ndarray, "matches"],
    *,
    offset: Shaped[np.ndarray, "2"],
) -> tuple[Int64[np.ndarray, "_cells"], Int64[np.ndarray, "_cells"], Float32[np.ndarray, "_cells 2"]]:
    """Cells with enough different keypoints: how many, the cell's kind, the mean shift of its matches."""
    places = np.floor((shifts + offset) / CELL_PX).astype(np.int64) + SHIFT_CELLS
    cells = (kinds * (2 * SHIFT_CELLS) + places[:, 0]) * (2 * SHIFT_CELLS) + places[:, 1]
    order = np.lexsort((keypoints, cells))
    cells, keypoints, shifts, kinds = cells[order], keypoints[order], shifts[order], kinds[order]
    different = np.ones(len(cells), np.bool_)
    different[1:] = (np.diff(cells) != 0) | (np.diff(keypoints) != 0)
    cells, shifts, kinds = cells[different], shifts[different], kinds[different]
    _, starts, votes = np.unique(cells, return_index=True, return_counts=True)
    winning = np.flatnonzero(votes >= MIN_VOTES)
    sums = np.concatenate([np.zeros((1, 2)), np.cumsum(shifts, axis=0, dtype=np.float64)])
    ends = starts[winning] + votes[winning]
    means = (sums[ends] - sums[starts[winning]]) / votes[winning, None]
    return votes[winning], kinds[starts[winning]], means.astype(np.float32)
