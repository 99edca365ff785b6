"""The recipe's file: what it says, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from hndsr_ensemble.training.config import ConfigError, TrainingConfig, differing, read_config

RECIPE = Path(__file__).parents[3] / "ensemble/hndsr_ensemble/training/recipe.toml"


def test_committed_recipe_is_read() -> None:
    config = read_config(RECIPE)
    assert (config.prior.learning_rate, config.prior.ema_decay, config.data.share_at_4) == (6e-4, 0.999, 0.6)
    assert config.autoencoder.ema_decay == 0


def test_written_configuration_reads_as_it_was(tmp_path: Path) -> None:
    config = read_config(RECIPE, ['tracking.experiment="a \\"quote\\" and 🛰"', "diffusion.steps=7"])
    file = tmp_path / "config.toml"
    file.write_text(config.to_toml(), encoding="utf-8")
    assert read_config(file) == config


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("prior.rate=1", "prior.rate"),
        ("colour=1", "colour"),
        ("prior.learning_rate=-1", "prior.learning_rate"),
        ("prior.learning_rate=fast", "prior.learning_rate"),
        ("data.crop_px=100", "data.crop_px"),
        ("data.lr_px_min=100", "lr_px_min"),
        ("data.max_origin_px=256", "max_origin_px"),
        ("data.origin_step_px=5", "origin_step_px"),
        ("precision=float16", "precision"),
        ("prior.clip_norm=nan", "prior.clip_norm"),
        ("prior", "field=value"),
        ("a.b.c=1", "field=value"),
        ("seed.x=1", "seed is no table"),
    ],
)
def test_change_that_fits_no_field_is_refused(change: str, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        read_config(RECIPE, [change])


def test_change_takes_plain_words_numbers_and_truths() -> None:
    config = read_config(RECIPE, ["precision=float32", "prior.batch=8", "prior.betas=[0.8, 0.95]"])
    assert (config.precision, config.prior.batch, config.prior.betas) == ("float32", 8, (0.8, 0.95))


def test_steps_replace_a_share_and_back() -> None:
    by_steps = read_config(RECIPE, ["prior.steps=5"])
    assert (by_steps.prior.steps, by_steps.prior.share) == (5, None)


def test_stage_with_both_measures_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "both.toml"
    file.write_text(RECIPE.read_text().replace("share = 0.52", "share = 0.52\nsteps = 3"))
    with pytest.raises(ConfigError, match="either steps or share"):
        read_config(file)


@pytest.mark.parametrize("content", [b"= 3", b"\xff\xfe"])
def test_file_that_is_no_toml_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "broken.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        read_config(file)


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml"):
        read_config(tmp_path / "absent.toml")


def test_decisive_fields_leave_out_where_files_lie_and_what_is_told() -> None:
    one, other = (
        read_config(RECIPE, changes)
        for changes in ([], ["data.manifest=x", "log.every_steps=9", "minutes=5", "seed=1"])
    )
    assert differing(one.decisive(), other.decisive()) == ["seed"]


def test_every_field_says_what_it_is() -> None:
    stages = [TrainingConfig.model_fields[name].annotation for name in TrainingConfig.model_fields]
    tables = [table for table in stages if hasattr(table, "model_fields")]
    silent = [name for table in tables for name, field in table.model_fields.items() if not field.description]
    assert len(tables) == 7
    assert silent == []
