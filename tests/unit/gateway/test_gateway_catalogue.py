"""What is served, by name and revision."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from fakes import FakeBackend
from in_process import run

from hndsr_gateway.catalogue import Catalogue
from hndsr_gateway.errors import ModelNotFoundError, UnavailableError
from hndsr_gateway.types import ModelDescription

NEW, OLD = "revision-2", "revision-1"


class Described(FakeBackend):
    """Two models, `bicubic` in two revisions."""

    async def describe(self) -> list[ModelDescription]:
        """The preferred revision first."""
        drawing, bicubic = await super().describe()
        return [drawing, replace(bicubic, revision=NEW), bicubic]


@pytest.fixture
def catalogue() -> Catalogue:
    """What that backend serves."""
    found = Catalogue(Described(), default_model="bicubic")
    asyncio.run(found.refresh())
    return found


def test_catalogue_lists_each_model_once_in_its_preferred_revision(catalogue: Catalogue) -> None:
    assert [(model.name, model.revision) for model in catalogue.models] == [("hndsr", OLD), ("bicubic", NEW)]


@pytest.mark.parametrize(("revision", "found"), [(OLD, OLD), (NEW, NEW), ("", NEW), ("another", NEW)])
def test_find_answers_the_revision_or_else_the_preferred_one(catalogue: Catalogue, revision: str, found: str) -> None:
    assert catalogue.find("bicubic", revision).revision == found


def test_find_looks_for_the_revision_of_the_default_model_when_none_is_named(catalogue: Catalogue) -> None:
    assert (catalogue.find("", OLD).name, catalogue.find("", OLD).revision) == ("bicubic", OLD)


def test_find_refuses_a_model_that_is_not_served(catalogue: Catalogue) -> None:
    with pytest.raises(ModelNotFoundError, match="served are hndsr, bicubic"):
        catalogue.find("swin")


def test_find_refuses_everything_when_nothing_is_served() -> None:
    with pytest.raises(UnavailableError):
        Catalogue(FakeBackend(), default_model="bicubic").find("bicubic")


def test_watch_tells_of_a_refresh_when_it_is_done() -> None:
    async def test() -> None:
        catalogue, seen = Catalogue(FakeBackend(), default_model="bicubic"), []
        catalogue.watch(lambda: seen.append(len(catalogue.models)))
        await catalogue.refresh()
        assert seen == [2]

    run(test())


def test_watch_tells_of_a_refresh_that_failed() -> None:
    async def test() -> None:
        backend, seen = FakeBackend(), []
        backend.describe_error = UnavailableError()
        catalogue = Catalogue(backend, default_model="bicubic")
        catalogue.watch(lambda: seen.append("told"))
        with pytest.raises(UnavailableError):
            await catalogue.refresh()
        assert seen == ["told"]

    run(test())
