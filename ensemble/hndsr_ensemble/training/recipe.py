"""The stages in their order, each begun, resumed or left alone as far as the run has come."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from hndsr_ensemble.engines.torch.device import engine_name
from hndsr_ensemble.training.batches import Batch, Batches
from hndsr_ensemble.training.budget import (
    Clock,
    NoTimeError,
    is_worth_compiling,
    rehearse,
    stage_seconds,
    steps_within,
)
from hndsr_ensemble.training.checkpoint import Checkpoint, load_checkpoint, set_random_state
from hndsr_ensemble.training.config import STAGES, TrainingConfig
from hndsr_ensemble.training.crops import CropSampler, Share
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.execution import Execution
from hndsr_ensemble.training.imagery.manifest import Manifest, read_manifest
from hndsr_ensemble.training.loop import Loop, Run
from hndsr_ensemble.training.pixels import Pixels, open_pixels, usable
from hndsr_ensemble.training.run_folder import UNKNOWN, RunFolder
from hndsr_ensemble.training.stages import Stage, make_stage
from hndsr_ensemble.training.tracking import Tracking
from hndsr_ensemble.training.trainer import Trainer

STATISTICS_BATCHES = 32
"""How many batches statistics of latents and residuals are measured on."""
TRIED_BATCHES = 12
"""How many batches compiled parts are tried on, beside one of each size."""
LONGEST_CAUSE = 300
"""Characters that are told of why a compiler failed."""
KEPT_FACTS = ("started_from", "seen_before", "stages", "weights")
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

    def training(self, run: Run, name: str, stage: Stage) -> Batches:
        """What a stage is trained on."""
        return _batches(run, name, stage, self.train, stream=f"{name} train", share=run.execution.share)

    def statistics(self, run: Run, name: str, stage: Stage) -> Iterator[Batch]:
        """What a stage measures on: every process sees all of each batch."""
        batches = _batches(run, name, stage, self.train, stream=f"{name} statistics train", share=Share())
        return batches.between(0, STATISTICS_BATCHES)

    def validation(self, run: Run, name: str, stage: Stage) -> Batches | None:
        """What a stage is only looked at on, where there is something."""
        if self.val is None:
            return None
        return _batches(run, name, stage, self.val, stream=f"{name} val", share=run.execution.share)


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
    if facts.get("seen_before") == UNKNOWN:
        run.say("what the weights that it begins with have seen is unknown: no images are safe to measure it on")
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
    opened = {}
    for split in ("val", "train") if fit["val"] else ("train",):
        limit_bytes = run.execution.room_for_images(data.resident_limit_mib)
        opened[split] = open_pixels(kept[split], data, split=split, device=device, limit_bytes=limit_bytes)
    return Splits(opened["train"], opened.get("val"))


def _batches(run: Run, name: str, stage: Stage, pixels: Pixels, *, stream: str, share: Share) -> Batches:
    config = run.config
    sampler = CropSampler(pixels.sizes_px, config.data, batch=config.stage(name).batch, seed=config.seed, stream=stream)
    return Batches(pixels, sampler, config.data, share=share, device=run.execution.device, sources=stage.reads_sources)


def _train_stage(run: Run, name: str, splits: Splits, facts: dict[str, Any]) -> None:
    try:
        _train_in_memory(run, name, splits, facts)
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(stage=name, batch=run.config.stage(name).batch) from error


def _train_in_memory(run: Run, name: str, splits: Splits, facts: dict[str, Any]) -> None:
    began_s = run.clock.spent_s
    stage = _make(run, name)
    found = load_checkpoint(run.folder.checkpoints, name, run.decisive)
    if found is None:
        with torch.no_grad(), run.execution.arithmetic():
            stage.measure_before(splits.statistics(run, name, stage))
    trainer, batches = Trainer(stage, run.config.stage(name), run.execution), splits.training(run, name, stage)
    if run.execution.share.ranks > 1:
        # Gradients are gathered in another order after the first step, which a resumed run must not see again.
        trainer.rehearse(batches.between(0, 1))
    compiled = _compiled(run, name, trainer, batches, found)
    steps = _planned(run, name, trainer, batches, began_s) if found is None else found.steps
    loop = Loop(run, name, steps, trainer, batches, splits.validation(run, name, stage), compiled)
    if found is None:
        loop.save(0)
    else:
        _resume(run, trainer, found)
    loop.go(0 if found is None else found.step)
    _finish(run, loop, splits, facts, run.clock.spent_s - began_s)


def _resume(run: Run, trainer: Trainer, found: Checkpoint) -> None:
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
    return stage


def _compiled(run: Run, name: str, trainer: Trainer, batches: Batches, found: Checkpoint | None) -> bool:
    """Compile a stage's parts if it pays, or if they were; whether it worked, all processes of one mind.

    A machine may lack what the compiler needs, so each process tries it alone first.
    """
    execution = run.execution
    pays = execution.compiles and is_worth_compiling(run.config, name, run.clock.spent_s)
    if not execution.agreed(int(pays if found is None else found.compiled)):
        return False
    failure = _failure(execution, trainer, batches) if execution.compiles else "this machine has no compiler"
    if execution.all_agree(value=failure is None):
        return True
    execution.uncompile(trainer.stage)
    run.say(f"{name}: goes on without compiling, which failed{f': {failure}' if failure else ' in another process'}")
    return False


def _failure(execution: Execution, trainer: Trainer, batches: Batches) -> str | None:
    """Why a stage's parts cannot be compiled, if they cannot."""
    try:
        trainer.stage.compile_parts(execution.compile)
        trainer.attempt(batches.of([*batches.one_of_each_size(), *range(TRIED_BATCHES)]))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - compilers fail with whatever their parts raise
        return f"{type(error).__name__}: {' '.join(str(error).split())}"[:LONGEST_CAUSE]
    return None


def _planned(run: Run, name: str, trainer: Trainer, batches: Batches, began_s: float) -> int:
    """The number of steps, all processes of one mind.

    Raises:
        NoTimeError: there is no time for one.
    """
    seconds = stage_seconds(run.config, name, began_s)
    if seconds is None:
        return run.config.stage(name).steps or 0
    step_s = rehearse(trainer, batches, run.execution)
    left_s = max(0.0, seconds - (run.clock.spent_s - began_s))
    steps = run.execution.agreed(steps_within(left_s, step_s))
    if not steps:
        raise NoTimeError(stage=name, left_s=left_s, step_s=step_s)
    run.say(f"{name}: {steps} steps of {1000 * step_s:.0f} ms in {left_s / 60:.1f} min")
    return steps


def _finish(run: Run, loop: Loop, splits: Splits, facts: dict[str, Any], seconds: float) -> None:
    """Take the averaged weights, measure what belongs to them, write them down."""
    validation = loop.validate(loop.steps)
    stage = loop.trainer.stage
    loop.trainer.average.settle()
    run.execution.uncompile(stage)
    with torch.no_grad(), run.execution.arithmetic():
        stage.measure_after(splits.statistics(run, loop.name, stage))
    if run.execution.is_first:
        facts["weights"] |= run.folder.save_weights(stage.networks())
        facts["stages"][loop.name] = {
            "steps": loop.steps,
            "seconds": round(seconds, 1),
            "compiled": loop.compiled,
            "validation": validation,
        }
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
