"""Which bands are upscaled together, and what is said to those who ask for others."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hndsr_client._raster.bands import Triple, band_numbers, band_of, triples_of
from hndsr_client._raster.description import Band, Raster
from hndsr_client.errors import ArgumentError


def raster(count: int, *, alpha: int | None = None, colors: Sequence[str] = (), dtype: str = "uint8") -> Raster:
    bands = tuple(Band(dtype, color=colors[i] if i < len(colors) else "undefined") for i in range(count))
    return Raster((4, 4), bands, "all" if alpha is None else "alpha", alpha=alpha)


@pytest.mark.parametrize(
    ("source", "choice", "expected"),
    [
        (raster(1), None, [Triple((1, 1, 1), (0,))]),
        (raster(3), None, [Triple((1, 2, 3), (0, 1, 2))]),
        (raster(3, alpha=4), None, [Triple((1, 2, 3), (0, 1, 2))]),
        (raster(3, alpha=1), None, [Triple((2, 3, 4), (0, 1, 2))]),
        (raster(1, alpha=2), None, [Triple((1, 1, 1), (0,))]),
        (raster(2), "all", [Triple((1, 2, 2), (0, 1))]),
        (raster(4), "all", [Triple((1, 2, 3), (0, 1, 2)), Triple((4, 4, 4), (0,))]),
        (raster(5, alpha=3), "all", [Triple((1, 2, 4), (0, 1, 2)), Triple((5, 6, 6), (0, 1))]),
        (raster(8), [(4, 3, 2), (8, 8, 8)], [Triple((4, 3, 2), (0, 1, 2)), Triple((8, 8, 8), (0,))]),
        (raster(5), [[4, 3, 2], [3, 1, 2]], [Triple((4, 3, 2), (0, 1, 2)), Triple((3, 1, 2), (1,))]),
        (raster(2), ((2, 1, 2),), [Triple((2, 1, 2), (0, 1))]),
    ],
)
def test_triples_of_takes_what_is_chosen(source: Raster, choice: Any, expected: list[Triple]) -> None:
    assert triples_of(source, choice) == tuple(expected)


@settings(deadline=None)
@given(count=st.integers(1, 12), data=st.data())
def test_triples_of_writes_each_band_once_in_the_order_of_naming(count: int, data: st.DataObject) -> None:
    number = st.integers(1, count)
    choice = data.draw(st.lists(st.tuples(number, number, number), min_size=1, max_size=1))
    choice += [triple for triple in data.draw(st.lists(st.tuples(number, number, number))) if triple not in choice]
    named: list[int] = []
    new = [triple for triple in choice if set(triple) - set(named) and not named.extend(triple)]
    written = [band for triple in triples_of(raster(count), new) for band in triple.written]
    assert written == list(dict.fromkeys(band for triple in new for band in triple))


@given(count=st.integers(1, 40), alpha=st.none() | st.integers(1, 41))
def test_triples_of_all_writes_every_band_but_alpha_in_order(count: int, alpha: int | None) -> None:
    source = raster(count, alpha=None if alpha is None else min(alpha, count + 1))
    written = [band for triple in triples_of(source, "all") for band in triple.written]
    assert written == list(band_numbers(source))


@pytest.mark.parametrize(
    ("count", "alpha", "command"), [(2, None, "--bands 1,2,2"), (4, None, "--bands 1,2,3"), (4, 2, "--bands 1,3,4")]
)
def test_triples_of_asks_for_a_choice_with_what_to_type(count: int, alpha: int | None, command: str) -> None:
    with pytest.raises(ArgumentError, match=rf"{command}\).*bands='all' \(hndsr: --bands all\)"):
        triples_of(raster(count, alpha=alpha), None)


def test_triples_of_names_the_bands_and_colours_there_are() -> None:
    bands = (
        Band("uint8", color="red", name="B4"),
        Band("uint8", color="green"),
        Band("uint8", name="B2"),
        Band("uint8"),
    )
    with pytest.raises(ArgumentError, match=r"4 bands: 1 B4 \(red\), 2 green, 3 B2, 4, and alpha, 5;"):
        triples_of(Raster((4, 4), bands, "alpha", alpha=5), None)


def test_triples_of_names_a_dozen_bands_at_most() -> None:
    with pytest.raises(ArgumentError, match="11, 12, 188 more;"):
        triples_of(raster(200), None)


@pytest.mark.parametrize(
    "choice", [[], [4, 3, 2], [(1, 2)], [(1, 2, 3, 4)], [(1.5, 2, 3)], "rgb", 3, [("1", "2", "3")], ""]
)
def test_triples_of_refuses_what_are_no_triples(choice: Any) -> None:
    with pytest.raises(ArgumentError, match="--bands 4,3,2"):
        triples_of(raster(4), choice)


@pytest.mark.parametrize("number", [0, -1, 6])
def test_triples_of_refuses_a_band_there_is_not(number: int) -> None:
    with pytest.raises(ArgumentError, match=f"no band {number}; the raster has 4 bands"):
        triples_of(raster(4, alpha=5), [(1, 2, number)])


def test_triples_of_refuses_alpha_by_name() -> None:
    with pytest.raises(ArgumentError, match="band 4 is alpha, which goes along by itself"):
        triples_of(raster(3, alpha=4), [(1, 2, 4)])


def test_triples_of_refuses_a_triple_that_adds_no_band() -> None:
    with pytest.raises(ArgumentError, match="3,2,1 were all named before"):
        triples_of(raster(3), [(1, 2, 3), (3, 2, 1)])


def test_triples_of_refuses_bands_of_different_types() -> None:
    source = Raster((4, 4), (Band("uint8"), Band("uint8"), Band("float32")), "all")
    with pytest.raises(ArgumentError, match="1 uint8, 3 float32"):
        triples_of(source, [(1, 1, 3)])


def test_triples_of_takes_bands_of_one_type_among_others() -> None:
    source = Raster((4, 4), (Band("uint8"), Band("uint8"), Band("float32")), "all")
    assert triples_of(source, [(1, 2, 2)])[0].written == (1, 2)


def test_band_of_counts_as_the_file_does() -> None:
    source = Raster((4, 4), (Band("uint8", name="first"), Band("uint8", name="third")), "alpha", alpha=2)
    assert band_of(source, 3).name == "third"
