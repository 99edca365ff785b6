"""The stages in their order, each begun, resumed or left alone as far as the run has come."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import Any

import torch

from hndsr_ensemble.engines.torch.device import engine_name
from hndsr_ensemble.training.batches import Batches
from hndsr_ensemble.training.budget import Clock, is_worth_compiling, rehearse, stage_seconds, steps_within
from hndsr_ensemble.training.checkpoint import Checkpoint, load_checkpoint, set_random_state
from hndsr_ensemble.training.config import STAGES, TrainingConfig
from hndsr_ensemble.training.crops import CropSampler, Share
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.imagery.manifest import Manifest, read_manifest
from hndsr_ensemble.training.loop import Loop, Run
from hndsr_ensemble.training.pixels import Pixels, open_pixels, usable
from hndsr_ensemble.training.run_folder import RunFolder
from hndsr_ensemble.training.stages import Stage, make_stage
from hndsr_ensemble.training.tracking import Tracking
from hndsr_ensemble.training.trainer import Trainer

STATISTICS_BATCHES = 32
"""How many batches statistics of latents and residuals are measured on."""
KEPT_FACTS = ("started_from", "stages", "weights")
"""What `run.json` says that no later part of the run changes."""


class DeviceMemoryError(TrainingError):
    """A batch does not fit."""

    def __init__(self, *, stage: str, batch: int) -> None:
        super().__init__(f"the device's memory does not hold a batch of {batch}: lower {stage}.batch")


@dataclass(frozen=True)
class Splits:
    """The images that are trained on, and those that are only looked at."""

    train: Pixels
    val: Pixels | None

    def batches(self, run: Run, stage: str, *, split: str = "train", whole: bool = False) -> Batches:
        """Batches of a stage; `whole`: every process sees all of each batch."""
        pixels = self.train if split == "train" or self.val is None else self.val
        config, execution = run.config, run.execution
        stream = stage if not whole else f"{stage} statistics"
        sampler = CropSampler(
            pixels.sizes_px,
            config.data,
            batch=config.stage(stage).batch,
            seed=config.seed,
            stream=f"{stream} {split}",
        )
        share = Share() if whole else execution.share
        return Batches(pixels, sampler, config.data, share=share, device=execution.device)


def train(config: TrainingConfig, folder: RunFolder, execution: Execution, tracking: Tracking) -> None:
    """Train all stages that are wanted and not finished.

    Raises:
        TrainingError: data, configuration or an earlier part of the run are not as they should be.
    """
    wanted = [name for name in STAGES if config.stage(name).is_wanted]
    for name in wanted:
        execution.require_even(name, config.stage(name).batch)
    facts = folder.read_facts()
    clock = Clock(facts.get("spent_s", 0.0))
    manifest = read_manifest(config.data.manifest)
    started = {f"start.{network}": digest for network, digest in facts["started_from"].items()}
    decisive = {**config.decisive(), **started, "data.manifest digest": manifest.digest}
    run = Run(config, folder, execution, tracking, clock, decisive)
    facts = {**_facts(run, manifest), **{name: facts[name] for name in KEPT_FACTS if name in facts}}
    splits = _open_splits(run, manifest)
    tracking.parameters({**config.fields(), "data.manifest_digest": manifest.digest})
    for name in wanted:
        if name not in facts["stages"]:
            _train_stage(run, name, splits, facts)


def _open_splits(run: Run, manifest: Manifest) -> Splits:
    data, device = run.config.data, run.execution.device
    kept = {split: manifest.images(split) for split in ("train", "val")}
    fit = {split: len(usable(images, data.crop_px)) for split, images in kept.items()}
    run.say(", ".join(f"{split}: {fit[split]} of {len(images)} images" for split, images in kept.items()))
    val = open_pixels(kept["val"], data, split="val", device=device) if fit["val"] else None
    return Splits(open_pixels(kept["train"], data, split="train", device=device), val)


def _train_stage(run: Run, name: str, splits: Splits, facts: dict[str, Any]) -> None:
    began_s = run.clock.spent_s
    stage = _make(run, name)
    found = load_checkpoint(run.folder.checkpoints, name, run.decisive)
    if found is None:
        with torch.no_grad(), run.execution.arithmetic():
            stage.measure_before(splits.batches(run, name, whole=True).between(0, STATISTICS_BATCHES))
    trainer, batches = Trainer(stage, run.config.stage(name), run.execution), splits.batches(run, name)
    validation = splits.batches(run, name, split="val") if splits.val else None
    try:
        steps = _planned(run, name, trainer, batches) if found is None else found.steps
        loop = Loop(run, name, steps, trainer, batches, validation)
        if found is None:
            loop.save(0)
        else:
            _resume(run, trainer, batches, found)
        loop.go(0 if found is None else found.step)
        _finish(run, loop, splits, facts, run.clock.spent_s - began_s)
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(stage=name, batch=run.config.stage(name).batch) from error


def _resume(run: Run, trainer: Trainer, batches: Batches, found: Checkpoint) -> None:
    if run.execution.compiles:
        _rehearsed(run, found.stage, trainer, batches)
    trainer.load(found.trainer)
    set_random_state(found.random)
    run.clock.resume_at(found.spent_s)
    run.say(f"{found.stage}: goes on after step {found.step} of {found.steps}")
    if run.execution.is_first:
        run.folder.rewind_log(found.stage, found.step)


def _make(run: Run, name: str) -> Stage:
    """A stage on its device, its new networks drawn from the run's seed whatever was drawn before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.config.seed)
        stage = make_stage(name, run.config, run.folder.weights)
    run.execution.place(stage)
    if is_worth_compiling(run.config, name, run.clock.spent_s):
        stage.compile_parts(run.execution.compile)
    return stage


def _planned(run: Run, name: str, trainer: Trainer, batches: Batches) -> int:
    """The number of steps, all processes of one mind."""
    began_s = run.clock.spent_s
    seconds, steps = stage_seconds(run.config, name, began_s), run.config.stage(name).steps
    if seconds is None:
        if run.execution.compiles:
            _rehearsed(run, name, trainer, batches)
        return steps or 0
    step_s = _rehearsed(run, name, trainer, batches)
    left_s = max(0.0, seconds - (run.clock.spent_s - began_s))
    steps = run.execution.agreed(steps_within(left_s, step_s))
    run.say(f"{name}: {steps} steps of {1000 * step_s:.0f} ms in {left_s / 60:.1f} min")
    return steps


def _rehearsed(run: Run, name: str, trainer: Trainer, batches: Batches) -> float:
    """Seconds of a step; without the compiler where it fails, since a machine may lack what it needs."""
    try:
        return rehearse(trainer, batches, run.execution)
    except RuntimeError as error:
        if not run.execution.compiles or isinstance(error, torch.OutOfMemoryError):
            raise
        run.say(f"{name}: goes on without compiling, which failed: {_first_line(error)}")
        torch.compiler.set_stance("force_eager")
        return rehearse(trainer, batches, run.execution)


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def _finish(run: Run, loop: Loop, splits: Splits, facts: dict[str, Any], seconds: float) -> None:
    """Take the averaged weights, measure what belongs to them, write them down."""
    validation = loop.validate(loop.steps)
    stage = loop.trainer.stage
    loop.trainer.average.settle()
    with torch.no_grad(), run.execution.arithmetic():
        stage.measure_after(splits.batches(run, loop.name, whole=True).between(0, STATISTICS_BATCHES))
    if run.execution.is_first:
        facts["weights"] |= run.folder.save_weights(stage.networks())
        facts["stages"][loop.name] = {"steps": loop.steps, "seconds": round(seconds, 1), "validation": validation}
        run.folder.write_facts({**facts, "spent_s": run.clock.spent_s})
        for name in stage.networks():
            run.tracking.artifact(run.folder.weights / f"{name}.safetensors")
    run.execution.wait()


def _facts(run: Run, manifest: Manifest) -> dict[str, Any]:
    crop_px = run.config.data.crop_px
    return {
        "manifest_digest": manifest.digest,
        "images": {split: len(usable(manifest.images(split), crop_px)) for split in ("train", "val")},
        "machine": engine_name(run.execution.device, compiled=run.execution.compiles),
        "processes": run.execution.share.ranks,
        "precision": "bfloat16" if run.execution.is_bfloat16 else "float32",
        "python": platform.python_version(),
        "spent_s": 0.0,
        "stages": {},
        "weights": {},
    }
