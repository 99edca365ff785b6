"""Noise belongs to a place."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hndsr_ensemble.manifest import Manifest, ManifestError, check_noise
from hndsr_ensemble.noise import noise_torus, torus_digest, window_noise

coordinates = st.integers(0, 2**34 // 4)


@given(y=coordinates, x=coordinates, turns=st.tuples(st.integers(0, 9), st.integers(0, 9)))
@settings(deadline=None, max_examples=30)
def test_noise_repeats_after_512_latents(y: int, x: int, turns: tuple[int, int]) -> None:
    here = window_noise(seed=1, y=y, x=x, side=8)
    there = window_noise(seed=1, y=y + 512 * turns[0], x=x + 512 * turns[1], side=8)
    assert np.array_equal(here, there)


@given(y=coordinates, x=coordinates, by=st.tuples(st.integers(0, 63), st.integers(0, 63)))
@settings(deadline=None, max_examples=30)
def test_overlapping_windows_see_the_same_noise(y: int, x: int, by: tuple[int, int]) -> None:
    one, other = (window_noise(seed=1, y=y + dy, x=x + dx, side=64) for dy, dx in ((0, 0), by))
    assert np.array_equal(one[:, by[0] :, by[1] :], other[:, : 64 - by[0], : 64 - by[1]])


@given(y=st.integers(0, 2000), x=st.integers(0, 2000), channel=st.integers(0, 63))
@settings(deadline=None, max_examples=30)
def test_noise_is_the_torus_at_absolute_coordinates(y: int, x: int, channel: int) -> None:
    window = window_noise(seed=1, y=y, x=x, side=4)
    assert window[channel, 3, 2] == noise_torus(1)[(y + 3) % 512, (x + 2) % 512, channel]


@pytest.mark.parametrize("seed", [1, 2, 2**63, 2**64 - 1])
def test_noise_differs_when_the_seed_does(seed: int) -> None:
    one, other = (window_noise(seed=either, y=0, x=0, side=64) for either in (0, seed))
    assert (one != other).mean() > 0.999


def test_noise_is_made_by_philox_keyed_with_the_seed() -> None:
    generator = np.random.Generator(np.random.Philox(key=5))
    expected = generator.standard_normal(512 * 512 * 64, dtype=np.float32)
    assert noise_torus(5).tobytes() == expected.tobytes()


def test_noise_is_standard_normal() -> None:
    torus = noise_torus(0).astype(np.float64)
    assert abs(torus.mean()) < 1e-3
    assert abs(torus.std() - 1) < 1e-3


def test_torus_cannot_be_written_to() -> None:
    with pytest.raises(ValueError, match="read-only"):
        noise_torus(0)[0, 0, 0] = 1


def test_digest_is_that_of_the_torus_of_seed_0() -> None:
    assert torus_digest() == hashlib.sha256(noise_torus(0).tobytes()).hexdigest()


def test_digest_is_the_one_of_the_committed_manifests(hndsr: Manifest, bicubic: Manifest) -> None:
    assert {hndsr.noise_digest, bicubic.noise_digest} == {torus_digest()}


def test_check_noise_accepts_the_noise_of_the_release(hndsr: Manifest) -> None:
    check_noise(hndsr)


def test_check_noise_refuses_other_noise(hndsr: Manifest) -> None:
    other = Manifest.parse(hndsr.text.replace(hndsr.noise_digest, "0" * 64))
    with pytest.raises(ManifestError, match="other noise"):
        check_noise(other)


def test_torus_is_drawn_once_when_windows_ask_for_it_at_once() -> None:
    with ThreadPoolExecutor(4) as threads:
        tori = list(threads.map(noise_torus, [77] * 4))
    assert {id(torus) for torus in tori} == {id(tori[0])}
