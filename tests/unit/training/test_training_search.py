"""A search by the real Optuna, whose trials are real runs at toy size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from hndsr_ensemble.training.command import main
from hndsr_ensemble.training.config import ConfigError, TrainingConfig, read_config
from hndsr_ensemble.training.durable import locked
from hndsr_ensemble.training.run import RECIPE
from hndsr_ensemble.training.search import SPACE
from hndsr_ensemble.training.searching import (
    JOURNAL,
    NothingFoundError,
    Order,
    OtherSearchError,
    SearchBusyError,
    search,
)
from hndsr_ensemble.training.space import read_space

LITTLE = """
objective = "autoencoder.psnr_db"
[autoencoder]
learning_rate = { low = 1e-5, high = 1e-2, log = true }
batch = { choices = [2, 3] }
"""
MakeOrder = Callable[..., Order]


@pytest.fixture
def make_order(toy: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeOrder:
    """Makes an order of trials of the first stage alone."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "recipe.toml").write_text(toy.to_toml())
    (tmp_path / "space.toml").write_text(LITTLE)

    def make(**changes: object) -> Order:
        order = Order(tmp_path / "search", tmp_path / "recipe.toml", read_space(tmp_path / "space.toml"), 1)
        return replace(order, device="cpu", **changes)

    return make


def study(order: Order) -> Any:
    """Of an order's folder, as anybody opens it with Optuna."""
    journal = optuna.storages.journal.JournalFileBackend(str(order.into / JOURNAL))
    return optuna.load_study(study_name="search", storage=optuna.storages.JournalStorage(journal))


def states(order: Order) -> list[str]:
    return [trial.state.name for trial in study(order).trials]


def silent(_line: str) -> None:
    """Nobody watches."""


@pytest.mark.slow
def test_search_tries_the_recipe_then_others_and_writes_the_best(make_order: MakeOrder, tmp_path: Path) -> None:
    order = make_order(trials=2)
    space, recipe = tmp_path / "space.toml", order.recipe
    arguments = ["--config", str(recipe), "--space", str(space), "--trials", "2", "--device", "cpu"]
    assert main(["search", "--into", str(order.into), *arguments]) == 0
    found = study(order)
    tried = [(trial.params["autoencoder.learning_rate"], trial.params["autoencoder.batch"]) for trial in found.trials]
    assert tried[0] == (1e-3, 2)
    assert tried[1] != tried[0]
    assert found.best_value == max(trial.value for trial in found.trials)
    best = read_config(order.into / "best.toml")
    assert (best.autoencoder.learning_rate, best.autoencoder.batch) == tried[found.best_trial.number]
    assert best.prior == read_config(recipe).prior


@pytest.mark.slow
def test_search_finishes_an_interrupted_trial_when_asked_again(make_order: MakeOrder) -> None:
    search(make_order(), say=silent)
    begun = study(make_order()).ask(
        {
            "autoencoder.learning_rate": optuna.distributions.FloatDistribution(1e-5, 1e-2, log=True),
            "autoencoder.batch": optuna.distributions.CategoricalDistribution((2, 3)),
        }
    )
    assert begun.number == 1
    search(make_order(trials=2), say=silent)
    assert states(make_order()) == ["COMPLETE", "COMPLETE"]
    assert study(make_order()).trials[1].params == begun.params


@pytest.mark.slow
def test_search_gives_up_what_is_worse_than_most(make_order: MakeOrder) -> None:
    order = make_order()
    endless = ["autoencoder.steps=100000", "log.validate_every_steps=1"]
    order.recipe.write_text(read_config(order.recipe, endless).to_toml())
    order.into.mkdir()
    journal = optuna.storages.journal.JournalFileBackend(str(order.into / JOURNAL))
    before = optuna.create_study(
        storage=optuna.storages.JournalStorage(journal), study_name="search", direction="maximize"
    )
    better = {"state": optuna.trial.TrialState.COMPLETE, "value": 99.0, "intermediate_values": dict.fromkeys([1], 99.0)}
    before.add_trials([optuna.trial.create_trial(**better) for _ in range(5)])
    (order.into / "best.toml").touch()
    search(replace(order, trials=6), say=silent)
    assert states(order)[5] == "PRUNED"


def test_search_in_which_every_trial_fails_says_so(make_order: MakeOrder, tmp_path: Path) -> None:
    order = make_order(start=tmp_path / "nothing")
    with pytest.raises(NothingFoundError, match=r"trial-0000.output\.txt"):
        search(order, say=silent)
    assert states(order) == ["FAIL"]
    assert "nothing has none of autoencoder.safetensors" in (order.into / "trial-0000/output.txt").read_text()


def test_search_refuses_what_the_recipe_does_not_take(make_order: MakeOrder, tmp_path: Path) -> None:
    (tmp_path / "space.toml").write_text(LITTLE.replace("high = 1e-2", "high = 20.0"))
    with pytest.raises(ConfigError, match=r"autoencoder\.learning_rate"):
        search(make_order(), say=silent)
    assert not make_order().into.exists()


def test_search_refuses_a_folder_of_other_figures(make_order: MakeOrder, tmp_path: Path) -> None:
    with pytest.raises(NothingFoundError):
        search(make_order(start=tmp_path / "nothing"), say=silent)
    with pytest.raises(OtherSearchError, match="minutes"):
        search(make_order(start=tmp_path / "nothing", minutes=2.0), say=silent)


def test_search_refuses_a_folder_in_which_another_process_searches(make_order: MakeOrder) -> None:
    order = make_order()
    order.into.mkdir()
    with locked(order.into / ".lock", AssertionError()), pytest.raises(SearchBusyError):
        search(order, say=silent)


def test_space_that_is_shipped_suits_the_recipe(tmp_path: Path) -> None:
    order = Order(tmp_path, RECIPE, read_space(SPACE), 1)
    order.check()
    assert order.space.start(order.config()).keys() == order.space.axes.keys()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('objective = "autoencoder.psnr_db"', "no field"),
        ('objective = "colour.psnr_db"', "objective"),
        ('objective = "prior.loss"\n[data]\ncrop_px = {choices = [64, 128]}', "data"),
        ('objective = "prior.loss"\n[diffusion]\nbatch = {choices = [2, 3]}', "cannot change prior.loss"),
        ('objective = "prior.loss"\n[prior]\nbatch = {low = 3, high = 2}', "low < high"),
        ('objective = "prior.loss"\n[prior]\nbatch = {low = 0, high = 2, log = true}', "not above 0"),
        ('objective = "prior.loss"\n[prior]\nbatch = {choices = [2]}', "choices"),
    ],
)
def test_space_that_says_nothing_to_try_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "space.toml").write_text(text)
    with pytest.raises(ConfigError, match=problem):
        read_space(tmp_path / "space.toml")
