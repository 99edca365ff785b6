"""The networks are worth running: measured on real imagery where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from oracle import upscale
from PIL import Image

from hndsr_ensemble.evaluation.degrade import enlarge_bicubic, reduce_bicubic
from hndsr_ensemble.evaluation.metrics import psnr
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.scale import Scale

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "data" / "samples"


def gain(truth: np.ndarray) -> float:
    """How many dB the prior at scale 4 is above bicubic."""
    source = reduce_bicubic(truth, 4)
    prior = upscale(source, model="hndsr", scale="4").pixels
    return psnr(prior, truth) - psnr(enlarge_bicubic(source, Scale(4, 1)), truth)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="needs the validation samples beside the checkout")
def test_prior_is_at_least_1_2_db_over_bicubic_on_aerial_imagery() -> None:
    truths = [np.asarray(Image.open(path).convert("RGB")) for path in sorted(SAMPLES.glob("*.png"))]
    assert np.mean([gain(truth) for truth in truths]) >= 1.2


def test_prior_is_at_least_1_2_db_over_bicubic_on_a_rendered_scene() -> None:
    assert gain(render_scene(512, 512, seed=3)) >= 1.2
