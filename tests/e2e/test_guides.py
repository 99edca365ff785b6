"""The guides against a real gateway: their Python runs, and the command's own parser reads their commands."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import rasters
from rasterio.warp import transform as transform_points

from hndsr_client._parser import make_parser

DOCS = Path(__file__).parents[2] / "docs"
NOTEBOOKS = DOCS / "guides" / "notebooks.md"
RUN = [DOCS / "rasters.md", NOTEBOOKS, DOCS / "guides" / "object-stores.md"]
READ = [*RUN, DOCS / "guides" / "pipelines.md", DOCS / "comparison.md"]
SERVICE = "127.0.0.1:50051"
"""What the pages call the service."""
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s(!]|&&|\|\|)(hndsr (?:upscale|plan|verify|batch|compare|info)\b.*)")
QUOTED = re.compile(r"`(hndsr (?:upscale|plan|verify) [^`]+)`")
LISTED = re.compile(r"\[\"hndsr\",[^\]]*\]")
NAME = re.compile(r"\$(\w+|\{[^}]*\}|\([^)]*\)|[<^@])")

# Of other people's packages.
pytestmark = [
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]


def page_ids(pages: list[Path]) -> list[str]:
    """What the tests of pages are called."""
    return [page.stem for page in pages]


def python_of(page: Path) -> str:
    """All Python of a page, each line where it is in the page, so that a traceback names it."""
    text = page.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in FENCE.finditer(text):
        if block[1] == "python":
            begin = text.count("\n", 0, block.start(2))
            for number, line in enumerate(block[2].splitlines(), begin):
                lines[number] = line
    return "\n".join(lines)


def run(page: Path, address: str) -> dict[str, Any]:
    """What the Python of a page leaves behind, run as a notebook runs its cells."""
    source = python_of(page).replace(SERVICE, address)
    code = compile(source, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    names: dict[str, Any] = {"__name__": "__main__"}

    async def awaited() -> None:
        left = eval(code, names)  # noqa: S307 - our own pages
        if inspect.isawaitable(left):
            await left

    asyncio.run(awaited())
    return names


def commands_of(page: Path) -> Iterator[list[str]]:
    """The words behind each `hndsr` of a page: in shells, makefiles, lists of YAML, and in its text."""
    text = page.read_text(encoding="utf-8")
    for block in FENCE.finditer(text):
        for line in block[2].replace("\\\n", " ").splitlines():
            if found := LISTED.search(line):
                yield json.loads(found[0])[1:]
            elif found := COMMAND.search(line):
                yield words_of(found[1])
    for found in QUOTED.finditer(FENCE.sub("", text)):
        yield words_of(found[1])


def words_of(line: str) -> list[str]:
    """The words of a shell's command up to what ends it; what is substituted is some word."""
    lexer = shlex.shlex(NAME.sub("name", line), posix=True, punctuation_chars=";&|<>()")
    lexer.wordchars += "*?:,=[]{}^…%@+"
    words = list(lexer)[1:]
    ends = [number for number, word in enumerate(words) if set(word) <= set(";&|<>()")]
    return words[: ends[0]] if ends else words


COMMANDS = [pytest.param(words, id=f"{page.stem}: {' '.join(words)}") for page in READ for words in commands_of(page)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working folder with what the pages take for there, and a store of which each folder in it is a bucket."""
    rasters.rgb(tmp_path, name="scene.tif", size_px=(240, 320))
    rasters.write(tmp_path / "my-scenes" / "scene.tif", rasters.pattern(3, dtype="uint16"), photometric="minisblack")
    rasters.naip(tmp_path)
    places = transform_points(rasters.UTM, "EPSG:4326", [500_205, 500_900, 500_400], [4_999_800, 4_999_700, 4_999_300])
    (tmp_path / "field.geojson").write_text(json.dumps(rasters.polygon(*zip(*places, strict=True))))
    monkeypatch.chdir(tmp_path)
    with rasters.RangeServer(tmp_path) as store:
        for name, value in store.options("s3").items():
            monkeypatch.setenv(name, value)
        yield tmp_path


@pytest.mark.parametrize("page", RUN, ids=page_ids(RUN))
def test_python_of_a_page_runs(page: Path, address: str, folder: Path) -> None:
    run(page, address)
    assert (folder / "scene_x4.tif").exists()


def test_array_of_the_notebook_lies_where_the_raster_does(address: str, folder: Path) -> None:
    larger = run(NOTEBOOKS, address)["larger"]
    with rasterio.open(folder / "scene.tif") as source:
        height_px, width_px = source.shape
        place = source.transform * rasterio.Affine.scale(1 / 3.5)
    assert larger.shape == (3, height_px * 7 // 2, width_px * 7 // 2)
    np.testing.assert_allclose(larger.rio.transform(recalc=True), place, rtol=1e-12)


@pytest.mark.parametrize("words", COMMANDS)
def test_command_of_a_page_is_read(words: list[str]) -> None:
    make_parser().parse_args(words)
