"""Which arithmetic is worth it on a CPU: what a pass takes in it, and what the pictures lose by it.

Judged on images that int8 was not calibrated on. An arithmetic is kept if it loses at most `ALLOWED_DB` at any number
of steps.
"""

from __future__ import annotations

import logging
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import openvino as ov
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.transformers.float16 import convert_float_to_float16
from page_parts import table, where
from PIL import Image
from timing import Rounds, in_turn, median

from hndsr_ensemble.diffusion import read_residual_std
from hndsr_ensemble.evaluation.degrade import reduce_bicubic
from hndsr_ensemble.evaluation.figures import Figure
from hndsr_ensemble.evaluation.metrics import Mean, psnr, psnr_of, squared_errors
from hndsr_ensemble.evaluation.scene import render_scene
from hndsr_ensemble.manifest import VERSION_FOLDER, model_repository
from hndsr_ensemble.noise import window_noise
from hndsr_ensemble.schedule import ddim, textured
from hndsr_ensemble.values import full_ranges, normalise, quantise

ALLOWED_DB = 0.02
STEPS = (0, 4, 20)
SCALE = 4
NETWORKS = ("fno", "unet", "decoder")
FORMS = ("float32", "float16", "int8", "int8 convolutions", "int8 forgiving")
AXES = {"N": 1, "h": 64, "w": 64, "H": 64, "W": 64, "4H": 256, "4W": 256}
"""Lengths of the axes that the served graphs leave open."""
FORGIVING = {"fno": r".*\.refine\.\d\.conv2", "unet": r".*\.conv1|out", "decoder": r".*\.conv2"}
"""The kinds of layers that lose least, tried one kind at a time, by their whole names.

None reads the running sum of residual blocks, whose rare extremes take up the range of 8 bits.
"""
IMAGERY = Path(__file__).resolve().parents[2] / "shared" / "data"
HELD_OUT, CALIBRATING, DRAWN = 10, 12, 4
"""Images to judge on and to calibrate on, and how many of the latter the UNet sees."""
WINDOW_PX = 256
TIMING = Rounds(least=3, most=9, budget_s=12.0)
UINT8 = np.dtype(np.uint8)
RANGES = full_ranges(UINT8)

Inputs = dict[str, np.ndarray]
Network = Callable[[Inputs], np.ndarray]


@dataclass(frozen=True)
class Pass:
    """One network in one form of its file; `hint` is OpenVINO's arithmetic, none is onnxruntime."""

    network: str
    form: str = "float32"
    hint: str = ""

    def load(self, folder: Path, threads: int) -> Network:
        """The network, ready to run."""
        model = folder / f"{self.network} {self.form}.onnx"
        return _openvino(model, self.hint, threads) if self.hint else _onnxruntime(model, threads)


@dataclass(frozen=True)
class Row:
    """One line of the table: all networks in `form`, or only those of `within`, the others in fp32 files."""

    arithmetic: str
    form: str = "float32"
    hint: str = ""
    within: tuple[str, ...] = NETWORKS

    def of(self, network: str) -> Pass:
        """How a network runs."""
        return Pass(network, self.form if network in self.within else "float32", self.hint)


def _int8_rows(hint: str) -> list[Row]:
    return [
        Row("int8", "int8", hint),
        Row("int8 convolutions", "int8 convolutions", hint),
        *(Row(f"int8 convolutions, {network} only", "int8 convolutions", hint, (network,)) for network in NETWORKS),
        Row("int8 forgiving convolutions", "int8 forgiving", hint),
    ]


REFERENCE = Row("fp32")
ROWS = (
    REFERENCE,
    Row("fp16", "float16"),
    *_int8_rows(""),
    Row("fp32", hint="f32"),
    Row("bf16", hint="bf16"),
    Row("fp16", hint="f16"),
    *_int8_rows("bf16"),
    Row("int8 forgiving convolutions", "int8 forgiving", "f32"),
)


@dataclass
class Pictures:
    """What every row makes of the held-out images; what rows share is computed once."""

    folder: Path
    truths: Sequence[np.ndarray]
    _latents: dict[tuple[Any, ...], list[np.ndarray]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._std = read_residual_std(model_repository() / "unet" / VERSION_FOLDER / "weights.safetensors")
        self._threads = len(os.sched_getaffinity(0))

    def load(self, run: Pass) -> Network:
        """A network on all cores."""
        return run.load(self.folder, self._threads)

    def of(self, row: Row, steps: int) -> list[np.ndarray]:
        """The target pictures."""
        decoder = self.load(row.of("decoder"))
        windows = (decoder({"latent": latent})[0] for latent in self.latents(row, steps))
        return [quantise(window, RANGES, UINT8) for window in windows]

    def latents(self, row: Row, steps: int) -> list[np.ndarray]:
        """What the decoder gets."""
        key = (row.of("fno"), *((row.of("unet"), steps) if steps else ()))
        if key not in self._latents:
            self._latents[key] = self._drawn(row, steps) if steps else self._priors(row)
        return self._latents[key]

    def _priors(self, row: Row) -> list[np.ndarray]:
        fno = self.load(row.of("fno"))
        return [fno(fno_inputs(truth)) for truth in self.truths]

    def _drawn(self, row: Row, steps: int) -> list[np.ndarray]:
        unet = self.load(row.of("unet"))
        return [
            self.draw(unet, prior, steps=steps, seed=0, place=place) for place, prior in enumerate(self.latents(row, 0))
        ]

    def draw(self, unet: Network, prior: np.ndarray, *, steps: int, seed: int, place: int) -> np.ndarray:
        """The latent after `steps` from the noise of one of many places."""
        noise = window_noise(seed=seed, y=64 * place, x=0, side=64)[None]
        residual = ddim(lambda x, t: unet(_unet_inputs(x, t, prior)), noise, steps)
        return textured(prior, residual, residual_std=self._std, texture=np.ones(1, np.float32))


def measure() -> dict[str, Any]:
    """Every row's passes in ms, what its pictures lose, and whether it is kept."""
    truths, calibrating = images("samples", HELD_OUT, seed=100), images("train", CALIBRATING, seed=200)
    with tempfile.TemporaryDirectory() as name:
        pictures = Pictures(Path(name), truths)
        calibration = _write_forms(pictures, calibrating)
        passes: dict[Pass, float] = {}
        for network in NETWORKS:
            passes |= _timed(pictures.folder, network, calibration[network][0])
        reference = {steps: pictures.of(REFERENCE, steps) for steps in STEPS}
        rows = [_row(row, passes, pictures, reference) for row in ROWS]
    imagery = "UC Merced" if IMAGERY.is_dir() else "rendered scenes"
    return {"imagery": imagery, "images": len(truths), "calibrated_on": len(calibrating), "rows": rows}


def images(folder: str, count: int, *, seed: int) -> list[np.ndarray]:
    """Pictures of one window each, evenly spread over a folder of `IMAGERY`; rendered ones where it is not there."""
    if not (IMAGERY / folder).is_dir():
        return [render_scene(WINDOW_PX, WINDOW_PX, seed=seed + index) for index in range(count)]
    paths = sorted((IMAGERY / folder).iterdir())
    return [np.asarray(Image.open(path).convert("RGB")) for path in paths[:: len(paths) // count][:count]]


def fno_inputs(truth: np.ndarray) -> Inputs:
    """What the FNO gets of a picture that is reduced first."""
    return {
        "lr": normalise(reduce_bicubic(truth, SCALE), RANGES)[None],
        "scale": np.full(1, SCALE, np.float32),
        "origin": np.zeros((1, 2), np.float32),
    }


def _unet_inputs(x: np.ndarray, t: float, prior: np.ndarray) -> Inputs:
    return {"x": x, "t": np.full(1, t, np.float32), "prior": prior, "scale": np.full(1, SCALE, np.float32)}


def _onnxruntime(model: Path, threads: int) -> Network:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def _openvino(model: Path, hint: str, threads: int) -> Network:
    properties = {
        "INFERENCE_PRECISION_HINT": hint,
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # other processes share the cores
    }
    request = ov.Core().compile_model(model, "CPU", properties).create_infer_request()
    return lambda inputs: np.array(request.infer(inputs)[0])


def _write_forms(pictures: Pictures, calibrating: Sequence[np.ndarray]) -> dict[str, list[Inputs]]:
    """Every network's file in every form; returns what int8 was calibrated with."""
    for network in NETWORKS:
        _write_static(network, pictures.folder)
    calibration = _calibration(pictures, calibrating)
    logging.disable(logging.WARNING)  # of files that were not optimised first; these were
    try:
        for network in NETWORKS:
            for form in FORMS[1:]:
                _write_form(pictures.folder, network, form, calibration[network])
    finally:
        logging.disable(logging.NOTSET)
    return calibration


def _write_static(network: str, folder: Path) -> None:
    """The served graph with its axes fixed, its weights in fp32 and all that is constant computed."""
    served = onnx.load(model_repository() / network / VERSION_FOLDER / "model.onnx")
    for value in (*served.graph.input, *served.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            axis.dim_value = AXES.get(axis.dim_param, axis.dim_value)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folder / f"{network} float32.onnx")
    ort.InferenceSession(served.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _calibration(pictures: Pictures, calibrating: Sequence[np.ndarray]) -> dict[str, list[Inputs]]:
    """Each network's inputs as they come up in fp32: the UNet's of every third step, the decoder's with and without."""
    fno, unet = (pictures.load(Pass(network)) for network in ("fno", "unet"))
    seen: dict[str, list[Inputs]] = {"fno": [fno_inputs(truth) for truth in calibrating]}
    priors = [fno(inputs) for inputs in seen["fno"]]
    steps: list[Inputs] = []

    def noted(inputs: Inputs) -> np.ndarray:
        steps.append(inputs)
        return unet(inputs)

    drawn = [pictures.draw(noted, prior, steps=20, seed=1, place=at) for at, prior in enumerate(priors[:DRAWN])]
    seen["unet"], seen["decoder"] = steps[::3], [{"latent": latent} for latent in (*priors, *drawn)]
    return seen


def _write_form(folder: Path, network: str, form: str, calibration: Iterable[Inputs]) -> None:
    model, path = onnx.load(folder / f"{network} float32.onnx"), folder / f"{network} {form}.onnx"
    if form == "float16":
        onnx.save(convert_float_to_float16(model, keep_io_types=True), path)
        return
    quantize_static(
        model,
        path,
        _Reader(iter(calibration)),
        per_channel=True,
        activation_type=QuantType.QUInt8,  # onnxruntime has fast kernels for u8 times s8 only
        weight_type=QuantType.QInt8,
        op_types_to_quantize=None if form == "int8" else ["Conv"],
        nodes_to_exclude=list(_left_alone(model, network, form)),
    )


class _Reader(CalibrationDataReader):
    def __init__(self, inputs: Iterator[Inputs]) -> None:
        self._inputs = inputs

    def get_next(self) -> Inputs | None:
        return next(self._inputs, None)


def _left_alone(model: onnx.ModelProto, network: str, form: str) -> Iterator[str]:
    """Nodes that stay in fp32."""
    ranks = {tensor.name: len(tensor.dims) for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type == "MatMul" and any(ranks.get(name, 0) > 2 for name in node.input):
            yield node.name  # one matrix for each mode: onnxruntime has no int8 kernel with a scale per channel
        elif node.op_type == "Conv" and form != "int8":
            # A layer is known by its bias; convolutions without one are the norms' averages.
            layer = node.input[2].removesuffix(".bias") if len(node.input) > 2 else ""
            if not layer or (form == "int8 forgiving" and not re.fullmatch(FORGIVING[network], layer)):
                yield node.name


def _timed(folder: Path, network: str, inputs: Inputs) -> dict[Pass, float]:
    """Medians in ms of every way that a network runs in some row, on one core, in rounds of all of them."""
    loaded = {run: run.load(folder, 1) for run in dict.fromkeys(row.of(network) for row in ROWS)}
    for run in loaded.values():
        run(inputs)
    taken = in_turn({str(key): lambda _, run=run: lambda: run(inputs) for key, run in loaded.items()}, TIMING)
    return {key: median(taken[str(key)]) * 1000 for key in loaded}


def _row(
    row: Row, passes: dict[Pass, float], pictures: Pictures, reference: dict[int, list[np.ndarray]]
) -> dict[str, Any]:
    quality = {str(steps): _quality(pictures.of(row, steps), reference[steps], pictures.truths) for steps in STEPS}
    return {
        "runtime": "OpenVINO" if row.hint else "onnxruntime",
        "arithmetic": row.arithmetic,
        "elsewhere": {"f32": "fp32", "f16": "fp16"}.get(row.hint, row.hint) or "fp32",
        "pass_ms": {network: passes[row.of(network)] for network in NETWORKS},
        "quality": quality,
        "kept": all(each["lost_db"] <= ALLOWED_DB for each in quality.values()),
    }


def _quality(
    found: Sequence[np.ndarray], expected: Sequence[np.ndarray], truths: Sequence[np.ndarray]
) -> dict[str, float | None]:
    """What is lost on average, how near fp32 the pictures are (None for equal ones), and how many samples are close."""
    pairs = zip(found, expected, truths, strict=True)
    lost = Figure(tuple(psnr(ours, truth) - psnr(its, truth) for its, ours, truth in pairs))
    blocks = (block for pair in zip(found, expected, strict=True) for block in squared_errors(*pair))
    against = psnr_of(reduce(Mean.with_block, blocks, Mean()), data_range=255)
    close = np.abs(np.stack(found).astype(np.int16) - np.stack(expected)) <= 1
    return {
        "lost_db": lost.mean,
        "lost_db_error": lost.error,
        "to_fp32_db": against if math.isfinite(against) else None,
        "within_1_level": float(close.mean()),
    }


def page(result: dict[str, Any]) -> str:
    """The section as Markdown."""
    steps = [str(count) for count in STEPS]
    head = ["runtime", "arithmetic", "FNO", "UNet step", "decoder", "dB lost", "dB to fp32", "within 1", "kept"]
    lines = [
        [
            row["runtime"],
            f"{row['arithmetic']}, {row['elsewhere']} elsewhere" if "int8" in row["arithmetic"] else row["arithmetic"],
            *(f"{row['pass_ms'][network]:.1f}" for network in NETWORKS),
            ", ".join("{lost_db:.3f} ± {lost_db_error:.3f}".format_map(row["quality"][count]) for count in steps),
            ", ".join(_decibels(row["quality"][count]["to_fp32_db"]) for count in steps),
            ", ".join(f"{row['quality'][count]['within_1_level']:.1%}" for count in steps),
            "yes" if row["kept"] else "no",
        ]
        for row in result["rows"]
    ]
    return f"""## Arithmetic on a CPU

{where(result)}
Milliseconds per window and pass, one core, batch 1, static shapes, medians of rounds taken in turn. What is lost
against onnxruntime's fp32, after {", ".join(steps[:-1])} and {steps[-1]} steps, over {result["images"]} images
({result["imagery"]}) at scale {SCALE}: PSNR against the truth, with its standard error; PSNR against fp32's own answer
(– where it is equal); samples within one grey level of it. Kept is what loses at most {ALLOWED_DB} dB on average.
int8: static, weights per channel, activations per tensor, calibrated by extremes on {result["calibrated_on"]} other
images. "Forgiving" convolutions are the kinds that lose least by int8: in the residual blocks, the second of decoder
and FNO (its head apart) and the first of the UNet, and the UNet's last.

{table(head, lines)}"""


def _decibels(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"
