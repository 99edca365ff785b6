"""A search: Optuna says what is tried next, trials say what came of it, and both are written down as they go."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from hndsr_ensemble.training.config import TrainingConfig, differing, read_config
from hndsr_ensemble.training.durable import locked, write_text
from hndsr_ensemble.training.errors import TrainingError
from hndsr_ensemble.training.imagery.manifest import read_manifest
from hndsr_ensemble.training.space import Axis, Choices, Space, changes
from hndsr_ensemble.training.trials import OUTPUT, Trial

JOURNAL, CONFIG, BEST = "optuna.jsonl", "config.toml", "best.toml"
ASKED: Final = "asked"
"""Attribute of the study: what its figures depend on."""
LOOK_EVERY_S: Final = 1.0

Say = Callable[[str], None]
"""Told what is under way."""


class OptunaMissingError(TrainingError):
    """Optuna is not installed."""

    def __init__(self) -> None:
        super().__init__("a search needs Optuna: pip install 'hndsr[search]'")


class SearchBusyError(TrainingError):
    """Another process works in a folder."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(f"another process works in {folder}; wait for it, or search into another folder")


class OtherSearchError(TrainingError):
    """A folder holds a search whose figures do not compare with those that would come now."""

    def __init__(self, *, folder: Path, fields: Sequence[str]) -> None:
        super().__init__(f"{folder} holds a search that differs in {', '.join(fields)}; search into another folder")


class NoFigureError(TrainingError):
    """A finished trial does not say what is sought."""

    def __init__(self, *, folder: Path, objective: str) -> None:
        super().__init__(f"{folder} was not measured for {objective}: are there validation images, and this figure?")


class NothingFoundError(TrainingError):
    """No trial came to its end."""

    def __init__(self, *, output: Path) -> None:
        super().__init__(f"no trial came to its end; {output} says why the first one did not")


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be searched, and where."""

    into: Path
    recipe: Path
    space: Space
    trials: int
    """How many there are in the end, failed ones and those given up included."""
    manifest: str | None = None
    """None: as the recipe says."""
    minutes: float | None = None
    """Of a trial; None: as the recipe says."""
    start: Path | None = None
    """Weights that every trial begins with."""
    device: str = "auto"

    def config(self, values: Mapping[str, Any] = MappingProxyType({})) -> TrainingConfig:
        """The recipe with other values of some fields.

        Raises:
            ConfigError: it cannot be read, or does not take them.
        """
        named = {"data.manifest": self.manifest} if self.manifest else {}
        return read_config(self.recipe, changes({**named, **values}))

    def trial_config(self) -> TrainingConfig:
        """What trials change.

        Raises:
            ConfigError: the recipe cannot be read, or does not take the minutes.
        """
        return self.config({"minutes": self.minutes} if self.minutes is not None else {})

    def check(self) -> None:
        """Find out whether the recipe takes what is to be tried.

        Raises:
            ConfigError: it does not.
        """
        for name, axis in self.space.axes.items():
            for value in axis.extremes:
                self.config({name: value})

    def asked(self) -> dict[str, str]:
        """What figures depend on."""
        config = self.trial_config()
        return {
            **config.decisive(),
            "minutes": str(config.minutes),
            "the images of data.manifest": read_manifest(config.data.manifest).digest,
            "the weights to begin with": str(self.start.resolve() if self.start else ""),
            "the space": self.space.model_dump_json(),
        }


@dataclass(frozen=True, slots=True)
class Search:
    """An order under way."""

    order: Order
    optuna: Any
    study: Any
    say: Say

    def go(self) -> None:
        """Finish interrupted trials, then begin new ones until there are enough.

        Raises:
            SearchBusyError: an interrupted trial is still another process's.
            NoFigureError: a trial does not say what is sought.
        """
        for interrupted in self._trials_that_are("RUNNING"):
            self._go_on(interrupted)
        axes = {name: self._distribution(axis) for name, axis in self.order.space.axes.items()}
        seed = self.order.config().seed
        while (begun := len(self.study.trials) - len(self._trials_that_are("WAITING"))) < self.order.trials:
            # What is tried depends on the seed and on what is known, not on how often the search was interrupted.
            self.study.sampler = self.optuna.samplers.TPESampler(seed=seed + begun)
            self._run(self.study.ask(axes))

    def _go_on(self, interrupted: Any) -> None:
        number, trial = interrupted.number, self._trial(interrupted)
        if interrupted.params.keys() != self.order.space.axes.keys():
            self._fail(number, "it was interrupted before its settings were written down")
            return
        if trial.folder.is_dir():
            with locked(trial.folder / ".lock", SearchBusyError(folder=trial.folder)):
                self.say(f"trial {number} goes on")
        with trial.running() as process:
            process.wait()
        self._settle(number, trial, failed=process.returncode != 0)

    def _run(self, asked: Any) -> None:
        """Run a new trial to its end, or until it is given up."""
        trial = self._trial(asked)
        with trial.running() as process:
            given_up_after = self._watch(process, asked, trial)
        if given_up_after is None:
            self._settle(asked.number, trial, failed=process.returncode != 0)
            return
        _forget_checkpoints(trial)
        self.study.tell(asked, state=self.optuna.trial.TrialState.PRUNED)
        self.say(f"trial {asked.number} is given up after step {given_up_after}")

    def _watch(self, process: subprocess.Popen[bytes], asked: Any, trial: Trial) -> int | None:
        """Wait for the end of a trial, or for a step after which it is hopeless."""
        reported = set[int]()
        while process.poll() is None:
            for step, value in trial.looks().items():
                if step not in reported:
                    asked.report(value, step)
                    # Optuna judges by the last value that it was told, against others of the same step.
                    if asked.should_prune():
                        return step
                    reported.add(step)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY_S)
        return None

    def _settle(self, number: int, trial: Trial, *, failed: bool) -> None:
        """Tell Optuna what came out, and write down what is best by now."""
        _forget_checkpoints(trial)
        if failed:
            self._fail(number, trial.last_words())
            return
        value = trial.figure()
        if value is None:
            self._fail(number, "it was not measured")
            raise NoFigureError(folder=trial.folder, objective=self.order.space.objective)
        self.study.tell(number, value)
        best = self.study.best_trial
        write_text(self.order.into / BEST, self.order.config(best.params).to_toml())
        self.say(f"trial {number}: {value:.6g} by {' '.join(changes(trial.values))}; best: trial {best.number}")

    def _fail(self, number: int, cause: str) -> None:
        self.study.tell(number, state=self.optuna.trial.TrialState.FAIL)
        self.say(f"trial {number} failed: {cause}")

    def _trials_that_are(self, state: str) -> list[Any]:
        return list(self.study.get_trials(states=(self.optuna.trial.TrialState[state],)))

    def _trial(self, asked: Any) -> Trial:
        order = self.order
        options = ["--device", order.device, *(["--from", str(order.start)] if order.start else [])]
        folder = order.into / f"trial-{asked.number:04d}"
        return Trial(folder, order.space, order.into / CONFIG, asked.params, options)

    def _distribution(self, axis: Axis) -> Any:
        kinds = self.optuna.distributions
        if isinstance(axis, Choices):
            return kinds.CategoricalDistribution(axis.choices)
        is_whole = isinstance(axis.low, int) and isinstance(axis.high, int)
        kind = kinds.IntDistribution if is_whole else kinds.FloatDistribution
        return kind(axis.low, axis.high, log=axis.log)


def search(order: Order, *, say: Say) -> Path:
    """Try settings until there are as many trials as wanted; the file of the best ones.

    Raises:
        OptunaMissingError: Optuna is not installed.
        SearchBusyError: the folder is another process's.
        OtherSearchError: the folder holds another search.
        NoFigureError: a trial does not say what is sought.
        NothingFoundError: no trial came to its end.
        TrainingError: recipe or manifest cannot be used.
    """
    if find_spec("optuna") is None:
        raise OptunaMissingError
    import optuna  # noqa: PLC0415 - only where it is asked for

    order.check()
    asked = order.asked()
    order.into.mkdir(parents=True, exist_ok=True)
    with locked(order.into / ".lock", SearchBusyError(folder=order.into)):
        study = _open_study(optuna, order, asked)
        write_text(order.into / CONFIG, order.trial_config().to_toml())
        Search(order, optuna, study, say).go()
    if not (order.into / BEST).is_file():
        raise NothingFoundError(output=order.into / "trial-0000" / OUTPUT)
    return order.into / BEST


def _open_study(optuna: Any, order: Order, asked: dict[str, str]) -> Any:
    """The folder's study; the recipe's own settings are the first trial of a new one.

    Raises:
        OtherSearchError: it is another search's.
    """
    from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415 - only where it is asked for

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=optuna.storages.JournalStorage(JournalFileBackend(str(order.into / JOURNAL))),
        study_name="search",
        direction=order.space.direction,
        pruner=optuna.pruners.MedianPruner(),
        load_if_exists=True,
    )
    if ASKED not in study.user_attrs:
        study.enqueue_trial(order.space.start(order.config()), skip_if_exists=True)
        study.set_user_attr(ASKED, asked)
    if fields := differing(study.user_attrs[ASKED], asked):
        raise OtherSearchError(folder=order.into, fields=fields)
    return study


def _forget_checkpoints(trial: Trial) -> None:
    """They would fill the disk, and nothing goes on from them."""
    shutil.rmtree(trial.folder / "checkpoints", ignore_errors=True)
