"""The golden file: what the networks gave in PyTorch, in fp32, when they were released.

It holds inputs and outputs of every network, so that any implementation can be checked anywhere: the PyTorch modules,
the exported graphs, or one that is written later. The pictures in it are drawn, not photographed, so it can be given
away with the weights whatever those were trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, UInt8

from hndsr_ensemble.diffusion import read_residual_std
from hndsr_ensemble.engines import load_engine
from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.manifest import VERSION_FOLDER
from hndsr_ensemble.schedule import ddim
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.values import full_ranges, normalise

TOLERANCE: Final = 1e-4
"""Largest absolute difference from the golden outputs; latents have unit variance, images lie in [-1, 1]."""
MAX_BYTES: Final = 6_000_000

PART: Final = (16, 24)
"""Rows and columns of latents that UNet and decoder are asked about: the first of the prior."""
ENCODED_PX: Final = (64, 96)
STEPS: Final = 4
SCENE_SEED: Final = 2026
NOISE_SEED: Final = 11

Array = Float32[np.ndarray, "..."]
Case = dict[str, np.ndarray]


@dataclass(frozen=True, slots=True)
class Question:
    """What one case asks: a scale, the sides of a source window, and where the target begins in it."""

    scale: Fraction
    source_px: tuple[int, int]
    origin_px: tuple[float, float]
    time: float


QUESTIONS: Final = {
    "x4": Question(Fraction(4), (64, 64), (0.0, 0.0), 1.0),
    "x3p14": Question(Fraction(157, 50), (90, 83), (0.25, 0.625), 0.37),
    "x8": Question(Fraction(8), (33, 34), (0.5, 0.125), 0.05),
}
"""Cases by the prefix of their arrays. Sides and origins differ by axis, so that none passes for the other."""


@dataclass(frozen=True, slots=True)
class Networks:
    """One implementation of the networks; `encode` is None where it has none, as serving needs none."""

    prior: Callable[[Array, Array, Array], Array]
    """(lr, scale, origin) → the prior of one served window."""
    velocity: Callable[[Array, Array, Array, Array], Array]
    """(x, t, prior, scale) → v."""
    decode: Callable[[Array], Array]
    encode: Callable[[Array], Array] | None
    residual_std: Float32[np.ndarray, "1 64 1 1"]


def onnx_networks(repository: Path) -> Networks:
    """The exported graphs, run by onnxruntime."""
    settings = ServingSettings.from_environment({"HNDSR_ENGINE": "onnxruntime"})
    fno, unet, decoder = (load_engine(repository, name, settings) for name in ("fno", "unet", "decoder"))
    return Networks(
        prior=lambda lr, scale, origin: fno.run({"lr": lr, "scale": scale, "origin": origin}),
        velocity=lambda x, t, prior, scale: unet.run({"x": x, "t": t, "prior": prior, "scale": scale}),
        decode=lambda latent: decoder.run({"latent": latent}),
        encode=None,
        residual_std=read_residual_std(repository / "unet" / VERSION_FOLDER / "weights.safetensors"),
    )


def write_golden(path: Path, networks: Networks) -> None:
    """Ask the networks all questions and write down questions and answers."""
    arrays = Case()
    for name, question in QUESTIONS.items():
        case = _inputs(question)
        arrays |= {f"{name}__{key}": value for key, value in {**case, **_answers(case, networks)}.items()}
    np.savez_compressed(path, **arrays)


def read_golden(path: Path) -> dict[str, Case]:
    """The cases of a golden file by name.

    Raises:
        ValueError: it is no such file.
    """
    cases = dict[str, Case]()
    with np.load(path) as arrays:
        for name in arrays.files:
            case, _, key = name.partition("__")
            cases.setdefault(case, {})[key] = arrays[name]
    if cases.keys() != QUESTIONS.keys():
        raise ValueError(f"{path} holds the cases {sorted(cases)} instead of {sorted(QUESTIONS)}")
    return cases


def golden_errors(cases: Mapping[str, Case], networks: Networks) -> dict[str, float]:
    """Largest absolute difference of each output from the golden one, over all cases; not a number if any is none."""
    errors = dict[str, float]()
    for case in cases.values():
        for name, answer in _answers(case, networks).items():
            difference = float(np.abs(answer - case[name]).max())
            errors[name] = float(np.maximum(errors.get(name, 0.0), difference))
    return errors


def _inputs(question: Question) -> Case:
    scale = question.scale
    height, width = (int(side * scale) + 1 for side in question.source_px)
    scene = render_scene(height, width, SCENE_SEED)
    # One pixel more than the scale asks for, since sides of the target are whole pixels.
    source = reduce_bicubic(scene, scale.numerator, scale.denominator)
    noise = np.random.Generator(np.random.Philox(NOISE_SEED)).standard_normal((1, 64, *PART))
    return {
        "lr": _unit(source),
        "scale": np.array([float(scale)], np.float32),
        "origin": np.array([question.origin_px], np.float32),
        "x": noise.astype(np.float32),
        "t": np.array([question.time], np.float32),
        "steps": np.array([STEPS], np.int64),
        "hr": _unit(scene[: ENCODED_PX[0], : ENCODED_PX[1]]),
    }


def _answers(case: Case, networks: Networks) -> Case:
    """Every network's output. Each reads the golden output of the one before it where there is one."""
    scale, noise, time = case["scale"], case["x"], case["t"]
    height, width = noise.shape[2:]
    prior = networks.prior(case["lr"], scale, case["origin"])
    part = np.ascontiguousarray(case.get("prior", prior)[:, :, :height, :width])

    def velocity(x: Array, t: float) -> Array:
        return networks.velocity(x, np.full(1, t, np.float32), part, scale)

    residual = ddim(velocity, noise, int(case["steps"][0]))
    answers = {
        "prior": prior,
        "v": networks.velocity(noise, time, part, scale),
        "residual": residual,
        "image_texture_0": networks.decode(part),
        "image_texture_1": networks.decode(part + networks.residual_std * case.get("residual", residual)),
    }
    return answers if networks.encode is None else {**answers, "encoded_hr": networks.encode(case["hr"])}


def _unit(image: UInt8[np.ndarray, "_h _w 3"]) -> Float32[np.ndarray, "1 3 _h _w"]:
    return normalise(image, full_ranges(np.dtype(np.uint8)))[None]
