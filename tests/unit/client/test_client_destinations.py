"""Each file of a batch goes where it is told, and no two to one place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from hndsr_client import ArgumentError, DestinationError, LocalFileError
from hndsr_client._core.requests import FileFormat
from hndsr_client._destinations import AnyPath, Destinations, Job, plan_jobs

SOURCES = [Path("in/a.png"), Path("in/b.png")]


def plan(
    sources: Iterable[AnyPath], into: Destinations, *, file_format: FileFormat | None = None, suffix: str = ""
) -> list[Job]:
    return list(plan_jobs(sources, into, file_format=file_format, suffix=suffix))


@pytest.mark.parametrize(
    ("source", "file_format", "suffix", "name"),
    [
        ("a.png", None, "", "a.png"),
        ("a.png", None, "_x4", "a_x4.png"),
        ("a.png", "jpeg", "", "a.jpg"),
        ("a.png", "tiff", "-2", "a-2.tif"),
        ("a.TIF", None, "", "a.TIF"),
        ("a.b.webp", None, "", "a.b.webp"),
        ("a.jp2", None, "", "a.png"),
        ("a", "webp", "", "a.webp"),
    ],
)
def test_plan_jobs_names_files_in_a_folder(
    folder: Path, source: str, file_format: FileFormat | None, suffix: str, name: str
) -> None:
    (job,) = plan([source], folder, file_format=file_format, suffix=suffix)
    assert job == Job(Path(source), folder / name, None)


def test_plan_jobs_names_files_by_a_mapping() -> None:
    jobs = plan(SOURCES, {"in/a.png": Path("1.png"), SOURCES[1]: "2.png"})
    assert [job.destination for job in jobs] == [Path("1.png"), Path("2.png")]


def test_plan_jobs_names_files_by_a_function() -> None:
    jobs = plan(SOURCES, lambda source: f"of_{source.name}")
    assert [job.destination for job in jobs] == [Path("of_a.png"), Path("of_b.png")]


def test_plan_jobs_refuses_destinations_that_are_one_by_a_link(folder: Path) -> None:
    (folder / "a.png").symlink_to("b.png")
    with pytest.raises(DestinationError, match=r"b\.png: would be made of in/a\.png and of in/b\.png; give them"):
        plan(SOURCES, folder)


def test_plan_jobs_refuses_another_source_as_a_destination() -> None:
    with pytest.raises(DestinationError, match=r"b\.png: is one of the sources"):
        plan(SOURCES, {SOURCES[0]: SOURCES[1], SOURCES[1]: "c.png"})


def test_plan_jobs_refuses_a_single_path_as_sources(folder: Path) -> None:
    with pytest.raises(ArgumentError, match="accepted are several paths"):
        plan("a.png", folder)


def test_plan_jobs_refuses_a_source_without_a_destination() -> None:
    with pytest.raises(ArgumentError, match=r"b\.png: no destination is named for it"):
        plan(SOURCES, {SOURCES[0]: "a.png"})


def test_plan_jobs_refuses_an_extension() -> None:
    with pytest.raises(ArgumentError, match=r"a\.gif: the destination's extension"):
        plan(SOURCES, lambda source: f"{source.stem}.gif")


@pytest.mark.parametrize("suffix", ["/../../x", "/x", "x/"])
def test_plan_jobs_refuses_a_suffix_that_leaves_the_folder(folder: Path, suffix: str) -> None:
    with pytest.raises(ArgumentError, match="accepted is a part of a file's name"):
        plan(SOURCES, folder, suffix=suffix)


def test_plan_jobs_refuses_a_suffix_without_a_folder() -> None:
    with pytest.raises(ArgumentError, match="suffix goes with a folder"):
        plan(SOURCES, {}, suffix="_x4")


def test_plan_jobs_refuses_a_folder_that_is_a_file(folder: Path) -> None:
    (folder / "file").touch()
    with pytest.raises(LocalFileError, match="is not a folder"):
        plan(SOURCES, folder / "file")


def test_plan_jobs_refuses_a_folder_that_cannot_be_made(folder: Path) -> None:
    with pytest.raises(LocalFileError, match="no such file or directory"):
        plan(SOURCES, folder / "missing" / "folder")


def test_plan_jobs_makes_no_folder_when_it_refuses(folder: Path) -> None:
    with pytest.raises(DestinationError):
        plan([*SOURCES, SOURCES[0]], folder / "new")
    assert list(folder.iterdir()) == []


def test_plan_jobs_says_that_a_source_is_listed_twice(folder: Path) -> None:
    with pytest.raises(DestinationError, match=r"made twice, for in/a\.png is listed twice"):
        plan([SOURCES[0], SOURCES[0]], folder)


def test_plan_jobs_takes_any_extension_where_the_format_is_given() -> None:
    (job,) = plan(SOURCES[:1], lambda source: f"{source.stem}.img", file_format="tiff")
    assert job == Job(SOURCES[0], Path("a.img"), None)


def test_plan_jobs_takes_a_name_that_no_file_can_have_for_a_source_like_any(folder: Path) -> None:
    assert [job.refusal for job in plan(["a\0.png", SOURCES[0]], folder)] == [None, None]


def test_plan_jobs_refuses_a_folder_that_no_folder_can_be(folder: Path) -> None:
    with pytest.raises(LocalFileError, match="embedded null byte"):
        plan(SOURCES, folder / "a\0b")


def refusals(sources: Iterable[AnyPath], into: Destinations, *, suffix: str = "") -> list[str]:
    return ["" if job.refusal is None else str(job.refusal) for job in plan(iter(sources), into, suffix=suffix)]


def test_plan_jobs_spares_a_source_that_a_mapping_names_when_the_sources_are_an_iterator() -> None:
    first, second = refusals(SOURCES, {SOURCES[0]: SOURCES[1], SOURCES[1]: "c.png"})
    assert (first, second) == ("in/b.png: is one of the sources; name another destination", "")


def test_plan_jobs_spares_a_source_that_an_iterator_gave_before() -> None:
    first, second = refusals(SOURCES, lambda source: "c.png" if source == SOURCES[0] else SOURCES[0])
    assert (first, second) == ("", "in/a.png: is one of the sources; name another destination")


def test_plan_jobs_makes_nothing_of_what_it_makes_when_the_sources_are_an_iterator(folder: Path) -> None:
    first, second = refusals([folder / "a.png", folder / "a_x4.png"], folder, suffix="_x4")
    assert first == ""
    assert second.endswith("a_x4.png, which the batch makes as well; leave that out of the sources")


def test_plan_jobs_tells_of_a_place_taken_when_the_sources_are_an_iterator(folder: Path) -> None:
    refused = [job.refusal is not None for job in plan(iter([*SOURCES, SOURCES[0]]), folder)]
    assert refused == [False, False, True]
