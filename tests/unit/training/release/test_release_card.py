"""The card leaves nothing out that a reader needs to judge the weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
from unit.training.release.tabled import table_of

from hndsr_ensemble.manifest import Manifest, model_repository, read_manifest
from hndsr_ensemble.release import TRAINED
from hndsr_ensemble.training.release.card import ROWS, Evidence, Origin, card, figures
from hndsr_ensemble.training.release.gate import RULE, judge

ORIGIN = Origin(
    data="0.3 m aerial orthophotos (UC Merced Land Use, public domain)",
    data_digest="d" * 64,
    images={"train": 1260, "val": 70, "test": 203},
    degradation="antialiased bicubic",
    scales="1.7 to 8",
    config_digest="c" * 64,
    licence="MIT",
    released="2026-11-22",
    started_from={"autoencoder": "a" * 64},
    seen=1260,
    unknown="",
)
TABLES = {"aerial": [table_of(), table_of()], "drone": [table_of()]}


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return read_manifest(model_repository(), TRAINED)


@pytest.fixture(scope="module")
def text(manifest: Manifest) -> str:
    return card(manifest, Evidence(ORIGIN, TABLES, judge(TABLES), {"openvino": 0.3158}, ["torch cpu float16"]))


@pytest.mark.parametrize("fact", ORIGIN.facts().values())
def test_card_tells_where_the_weights_come_from(text: str, fact: str) -> None:
    assert fact in text


def test_card_names_the_model_it_is_about(text: str, manifest: Manifest) -> None:
    assert manifest.digest in text


@pytest.mark.parametrize("row", ROWS)
def test_card_has_every_row_in_every_table(text: str, row: str) -> None:
    assert text.count(f"| {row} |") == 3


def test_card_has_the_bicubic_row_first(text: str) -> None:
    tables = text.split("|---|---|---|---|---|---|---|")[1:]
    assert all(table.split("\n")[1].startswith("| bicubic |") for table in tables)


def test_card_gives_means_with_their_errors(text: str) -> None:
    assert "| bicubic | 27.25 ± 0.48 |" in text


def test_card_states_the_rule_and_every_comparison(text: str) -> None:
    assert RULE in text
    assert all(f"- {comparison}" in text for comparison in judge(TABLES))


def test_card_states_its_limits_and_the_protocol(text: str) -> None:
    assert "It has seen 0.3 m aerial orthophotos" in text
    assert "- border px: 4" in text
    assert "Scales outside 1.7 to 8 were not trained; 1.5 to 8 are served" in text


def test_card_tells_how_far_other_arithmetics_are_off(text: str) -> None:
    assert "- openvino: 0.316" in text
    assert "Not asked was torch cpu float16" in text


def test_card_says_when_it_is_not_known_what_the_weights_have_seen(manifest: Manifest) -> None:
    origin = replace(ORIGIN, unknown="runs does not say")
    text = card(manifest, Evidence(origin, TABLES, judge(TABLES), {}))
    assert "- seen: 1,260 images and an unknown number of others: runs does not say" in text
    assert "and what the weights before it had seen, which is not known" in text


def test_figures_are_of_bicubic_prior_and_diffusion() -> None:
    found = figures(TABLES)["aerial, x4, 10 images"]
    assert found == {"bicubic_db": 27.25, "prior_db": 28.75, "diffusion_4_steps_db": 28.25}
