"""The DDIM loop on the device is the one of the CPU."""

import numpy as np
import pytest
import torch

from hndsr_ensemble.engines.torch.captured import GraphMemory
from hndsr_ensemble.engines.torch.diffusion import SEEDS_KEPT, Diffusion, Noise, ddim_coefficients, step_of
from hndsr_ensemble.manifest import MAX_STEPS, Options
from hndsr_ensemble.noise import window_noise
from hndsr_ensemble.schedule import ddim, ddim_times, ddim_turn, textured
from hndsr_ensemble.tiles import CancelledTileError

CPU = torch.device("cpu")
CORNERS = np.array([[0, 0], [56, 1000], [500, 480], [2**40, 7]])
SIDE = 16


def no_step(*_: torch.Tensor) -> torch.Tensor:
    pytest.fail("the UNet was run")


def velocity(x: torch.Tensor, t: torch.Tensor, prior: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Stands for the UNet, in half precision like it."""
    return (torch.sin(3 * x) * t[:, None, None, None] + prior * scale[:, None, None, None]).bfloat16()


def diffusion(step: object, prior: torch.Tensor) -> Diffusion:
    std = torch.linspace(0.1, 0.9, 64)[None, :, None, None]
    return Diffusion(step, residual_std=std, prior=prior, memory=GraphMemory(CPU))


@pytest.fixture
def prior() -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_normal((len(CORNERS), 64, SIDE, SIDE), np.float32))


def test_noise_is_that_of_the_place() -> None:
    drawn = Noise(CPU)(3, torch.from_numpy(CORNERS), SIDE)
    expected = [window_noise(seed=3, y=int(y), x=int(x), side=SIDE) for y, x in CORNERS]
    assert np.array_equal(drawn.numpy(), np.stack(expected))


def test_noise_keeps_the_last_seeds() -> None:
    noise = Noise(CPU)
    for seed in (0, *range(1, SEEDS_KEPT), 0, SEEDS_KEPT):
        noise(seed, torch.from_numpy(CORNERS), SIDE)
    assert list(noise._tori) == [*range(2, SEEDS_KEPT), 0, SEEDS_KEPT]


@pytest.mark.parametrize("options", [Options(0, 1.0, 0), Options(4, 0.0, 0)])
def test_latent_is_the_prior_itself_when_nothing_is_drawn(options: Options, prior: torch.Tensor) -> None:
    latent = diffusion(no_step, prior)(torch.from_numpy(CORNERS), 4.0, options, lambda: False)
    assert latent is prior


@pytest.mark.parametrize("steps", [1, 4, 20])
def test_latent_is_that_of_the_cpu(steps: int, prior: torch.Tensor) -> None:
    options = Options(steps, 1.25, 3)
    latent = diffusion(step_of(velocity), prior)(torch.from_numpy(CORNERS), 3.5, options, lambda: False)
    noise = np.stack([window_noise(seed=3, y=int(y), x=int(x), side=SIDE) for y, x in CORNERS])
    scale = torch.full((len(CORNERS),), 3.5)

    def evaluate(x: np.ndarray, t: float) -> np.ndarray:
        return velocity(torch.from_numpy(x), torch.full((len(x),), t), prior, scale).float().numpy()

    std = np.linspace(0.1, 0.9, 64, dtype=np.float32)[None, :, None, None]
    texture = np.full(len(CORNERS), 1.25, np.float32)
    expected = textured(prior.numpy(), ddim(evaluate, noise, steps), residual_std=std, texture=texture)
    np.testing.assert_allclose(latent.numpy(), expected, rtol=0, atol=2e-5)


def test_loop_is_left_when_the_caller_is_gone_between_steps(prior: torch.Tensor) -> None:
    steps, answers = list[int](), iter([False, False, True])

    def step(x: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        steps.append(1)
        return x

    with pytest.raises(CancelledTileError):
        diffusion(step, prior)(torch.from_numpy(CORNERS), 4.0, Options(4, 1.0, 0), lambda: next(answers))
    assert len(steps) == 2


def test_coefficients_are_those_of_the_cpu() -> None:
    rows = ddim_coefficients(MAX_STEPS)
    assert rows[:, 0].tolist() == ddim_times(MAX_STEPS)[:-1].tolist()
    assert set(map(tuple, rows[:, 1:].tolist())) == {tuple(map(float, ddim_turn(MAX_STEPS)))}
