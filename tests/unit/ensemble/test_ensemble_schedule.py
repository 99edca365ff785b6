"""The sampler recovers what an exact velocity points to, and is not asked where noise has no influence."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hndsr_ensemble.diffusion import draw_latent, read_residual_std
from hndsr_ensemble.noise import window_noise
from hndsr_ensemble.schedule import ddim, ddim_times, textured

STD = np.linspace(0.5, 1.5, 64, dtype=np.float32).reshape(1, 64, 1, 1)


def latents(seed: int, windows: int = 1, side: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((windows, 64, side, side), dtype=np.float32)


def draw(prior: np.ndarray, velocity: object, **changes: object) -> np.ndarray:
    """Draw with two steps, full texture and seed 3 at the image's corner, where nothing else is said."""
    count = len(prior)
    arguments = {
        "velocity": velocity,
        "residual_std": STD,
        "seed": np.full(count, 3, np.uint64),
        "position": np.zeros((count, 2), np.int64),
        "steps": np.full(count, 2, np.int32),
        "texture": np.ones(count, np.float32),
    }
    return draw_latent(prior, **(arguments | changes))


def never(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    raise AssertionError(x.shape, t)


@pytest.mark.parametrize("steps", [1, 2, 4, 100])
def test_times_run_evenly_from_noise_to_data(steps: int) -> None:
    np.testing.assert_allclose(ddim_times(steps), [1 - i / steps for i in range(steps + 1)], rtol=0, atol=1e-7)


@given(steps=st.integers(1, 30), seed=st.integers(0, 2**32))
@settings(deadline=None, max_examples=30)
def test_ddim_recovers_the_point_that_the_exact_velocity_is_of(steps: int, seed: int) -> None:
    data, noise = latents(seed), latents(seed + 1)

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        alpha, sigma = math.cos(math.pi / 2 * t), math.sin(math.pi / 2 * t)
        np.testing.assert_allclose(x, alpha * data + sigma * noise, rtol=0, atol=1e-4)
        return (alpha * noise - sigma * data).astype(np.float32)

    np.testing.assert_allclose(ddim(velocity, noise, steps), data, rtol=0, atol=1e-4)


def test_ddim_of_one_step_is_minus_the_velocity_at_the_noise() -> None:
    velocity = latents(1)
    np.testing.assert_allclose(ddim(lambda _x, _t: velocity, latents(2), 1), -velocity, rtol=0, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_ddim_asks_for_the_velocity_at_each_time_but_the_last(steps: int) -> None:
    asked = list[float]()

    def velocity(x: np.ndarray, t: float) -> np.ndarray:
        asked.append(t)
        return x

    ddim(velocity, latents(0), steps)
    assert asked == ddim_times(steps)[:-1].tolist()


def test_ddim_follows_its_recurrence() -> None:
    noise, steps = latents(0), 5
    x = noise.astype(np.float64)
    for index in range(steps):
        now, following = 1 - index / steps, 1 - (index + 1) / steps
        alpha, sigma = math.cos(math.pi * now / 2), math.sin(math.pi * now / 2)
        v = np.tanh(x) * (1 + now)
        data, epsilon = alpha * x - sigma * v, sigma * x + alpha * v
        x = math.cos(math.pi * following / 2) * data + math.sin(math.pi * following / 2) * epsilon
    result = ddim(lambda x, t: np.tanh(x) * np.float32(1 + t), noise, steps)
    np.testing.assert_allclose(result, x, rtol=0, atol=1e-5)


@pytest.mark.parametrize("weight", [0.25, 1.0, 1.5])
def test_texture_weighs_the_residual_of_each_channel(weight: float) -> None:
    prior, residual = latents(0, 2), latents(1, 2)
    result = textured(prior, residual, residual_std=STD, texture=np.array([0, weight], np.float32))
    expected = prior[1] + weight * np.linspace(0.5, 1.5, 64)[:, None, None] * residual[1]
    np.testing.assert_allclose(result[1], expected, rtol=0, atol=1e-5)


def test_texture_0_is_the_prior_exactly() -> None:
    prior, residual = latents(0, 2), latents(1, 2)
    result = textured(prior, residual, residual_std=STD, texture=np.array([0, 1], np.float32))
    assert np.array_equal(result[0], prior[0])


@pytest.mark.parametrize(("steps", "texture"), [(0, 1.0), (0, 0.0), (4, 0.0)])
def test_draw_latent_is_the_prior_when_noise_has_no_influence(steps: int, texture: float) -> None:
    prior = latents(0, 3)
    result = draw(prior, never, steps=np.full(3, steps, np.int32), texture=np.full(3, texture, np.float32))
    assert result.tobytes() == prior.tobytes()


def test_draw_latent_starts_from_the_noise_of_each_windows_place() -> None:
    seen = list[np.ndarray]()

    def velocity(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        seen.append(x)
        return x * t[:, None, None, None]

    draw(latents(0, 2), velocity, position=np.array([[0, 448], [224, 4096]]))
    places = [(0, 112), (56, 1024)]
    assert np.array_equal(seen[0], [window_noise(seed=3, y=y, x=x, side=4) for y, x in places])


def test_draw_latent_tells_the_velocity_the_time_of_every_window() -> None:
    times = list[list[float]]()

    def velocity(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        times.append(t.tolist())
        return x

    draw(latents(0, 3), velocity)
    assert times == [[1.0] * 3, [0.5] * 3]


def test_draw_latent_adds_the_residual_that_the_velocity_points_to() -> None:
    prior, residual = latents(0), latents(1)

    def velocity(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        alpha, sigma = (f(np.pi / 2 * t)[:, None, None, None] for f in (np.cos, np.sin))
        noise = window_noise(seed=3, y=0, x=0, side=4)
        return (alpha * noise - sigma * residual).astype(x.dtype)

    expected = prior + 1.5 * STD * residual
    np.testing.assert_allclose(draw(prior, velocity, texture=np.array([1.5], np.float32)), expected, atol=1e-5)


def test_draw_latent_of_a_window_does_not_depend_on_its_batch() -> None:
    prior, position = latents(0, 2), np.array([[0, 224], [448, 672]])

    def velocity(x: np.ndarray, t: np.ndarray) -> np.ndarray:
        return np.tanh(x + t[:, None, None, None])

    together = draw(prior, velocity, position=position)
    assert np.array_equal(together[1:], draw(prior[1:], velocity, position=position[1:]))


def test_residual_std_is_positive_for_every_channel(repository: Path) -> None:
    assert (read_residual_std(repository / "unet/1/weights.safetensors") > 0).all()
