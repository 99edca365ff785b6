"""The window cache keeps what was used last, within its bytes."""

from collections import OrderedDict

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hndsr_ensemble.cache import WindowCache


def window(side: int) -> np.ndarray:
    return np.full((side, side, 3), side, np.uint8)


def test_window_is_the_one_that_was_put() -> None:
    cache = WindowCache(1000)
    cache.put(b"a", window(4))
    assert np.array_equal(cache.get(b"a"), window(4))


def test_window_is_none_when_its_key_was_never_put() -> None:
    assert WindowCache(1000).get(b"a") is None


def test_oldest_window_is_dropped_first() -> None:
    cache = WindowCache(2 * 48)
    for key in (b"a", b"b", b"c"):
        cache.put(key, window(4))
    assert [cache.get(key) is None for key in (b"a", b"b", b"c")] == [True, False, False]


def test_window_that_was_used_is_not_the_oldest() -> None:
    cache = WindowCache(2 * 48)
    cache.put(b"a", window(4))
    cache.put(b"b", window(4))
    cache.get(b"a")
    cache.put(b"c", window(4))
    assert [cache.get(key) is None for key in (b"a", b"b", b"c")] == [False, True, False]


def test_nothing_is_kept_when_the_capacity_is_zero() -> None:
    cache = WindowCache(0)
    cache.put(b"a", window(1))
    assert cache.get(b"a") is None


def test_window_is_not_kept_when_it_is_larger_than_the_capacity() -> None:
    cache = WindowCache(47)
    cache.put(b"a", window(4))
    assert cache.get(b"a") is None


def test_window_is_kept_when_it_fills_the_capacity() -> None:
    cache = WindowCache(48)
    cache.put(b"a", window(4))
    assert cache.get(b"a") is not None


def test_window_is_kept_when_a_too_large_one_came_before() -> None:
    cache = WindowCache(48)
    cache.put(b"large", window(5))
    cache.put(b"a", window(4))
    assert cache.get(b"a") is not None


def kept_after(*puts: tuple[str, bool], capacity: int) -> str:
    """The names that a cache of so many windows holds after all were put, each lasting or not."""
    cache = WindowCache(capacity * 48)
    for name, lasting in puts:
        cache.put(name.encode(), window(4), lasting=lasting)
    return "".join(name for name, _ in puts if cache.get(name.encode()) is not None)


def test_lasting_window_outlasts_those_that_came_after_it() -> None:
    assert kept_after(("a", True), ("b", False), ("c", False), capacity=2) == "ac"


def test_lasting_window_drops_the_others_first() -> None:
    assert kept_after(("a", True), ("b", False), ("c", False), ("d", True), capacity=3) == "acd"


def test_oldest_lasting_window_is_dropped_first_when_they_leave_too_little_to_others() -> None:
    assert kept_after(("a", True), ("b", True), ("c", True), ("d", True), ("e", False), capacity=4) == "bcde"


def test_lasting_window_is_dropped_like_any_other_when_it_was_used_for_good() -> None:
    cache = WindowCache(2 * 48)
    cache.put(b"a", window(4), lasting=True)
    cache.get(b"a", for_good=True)
    for key in (b"b", b"c"):
        cache.put(key, window(4))
    assert [cache.get(key) is None for key in (b"a", b"b", b"c")] == [True, False, False]


@given(
    capacity=st.integers(0, 400),
    uses=st.lists(st.tuples(st.sampled_from([b"a", b"b", b"c", b"d"]), st.integers(1, 6)), max_size=40),
)
@settings(deadline=None, max_examples=100)
def test_cache_holds_the_most_recent_windows_that_fit(capacity: int, uses: list[tuple[bytes, int]]) -> None:
    cache, model = WindowCache(capacity), OrderedDict[bytes, int]()
    for key, side in uses:
        found = cache.get(key)
        assert (None if found is None else len(found)) == model.get(key)
        if found is not None:
            model.move_to_end(key)
            continue
        cache.put(key, window(side))
        model[key] = side
        while sum(3 * kept**2 for kept in model.values()) > capacity:
            model.popitem(last=False)
