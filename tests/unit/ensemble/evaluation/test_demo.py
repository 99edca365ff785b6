"""The demo with a service that interpolates: what it writes, says and returns."""

from __future__ import annotations

import importlib.util
import struct
import sys
import zlib
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hndsr_client import UnavailableError
from hndsr_ensemble.evaluation.degrade import enlarge_bicubic
from hndsr_ensemble.scale import Scale

RUN = Path(__file__).parents[4] / "demo" / "run.py"
METADATA = SimpleNamespace(
    model="hndsr",
    revision="0123456789abcdef",
    engine="onnxruntime",
    device="cpu",
    windows=4,
    computed_windows=3,
    latency_s=0.5,
    options=SimpleNamespace(steps=4, texture=1.0, seed=0),
)


class Interpolator(AbstractContextManager["Interpolator"]):
    """Stands where `hndsr_client.Client` would, and answers every call with the bicubic image."""

    def __init__(self) -> None:
        self.steps: list[int | None] = []
        self.max_target_px = 1_000_000

    def __exit__(self, *_: object) -> None:
        """Nothing to close."""

    def plan(self, height_px: int, width_px: int, *, scale: str) -> SimpleNamespace:
        """What the demo reads of a plan."""
        height, width = (int(side * float(scale) + 0.5) for side in (height_px, width_px))
        return SimpleNamespace(target_height_px=height, target_width_px=width, estimated_time_s=1.5)

    def info(self) -> SimpleNamespace:
        """What the demo reads of the limits."""
        return SimpleNamespace(limits=SimpleNamespace(max_target_px=self.max_target_px))

    def upscale(self, image: np.ndarray, *, scale: str, steps: int | None = None, **_: Any) -> SimpleNamespace:
        """The bicubic image, whatever the steps, which are kept."""
        self.steps.append(steps)
        return SimpleNamespace(image=enlarge_bicubic(image, Scale.parse(scale)), metadata=METADATA)


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def service(demo: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Interpolator:
    service = Interpolator()
    monkeypatch.setattr(demo, "connect", lambda _target: service)
    return service


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (150, 140, 3), dtype=np.uint8)).save(path)
    return path


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write_deep_png(path: Path) -> None:
    """One black RGB pixel of 16 bits a band. Pillow cannot write it."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1 + 6)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b""))


def test_demo_draws_a_scene_and_writes_every_picture(
    demo: ModuleType, service: Interpolator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    assert demo.main(["--size", "128", "--output", str(output)]) == 0
    pictures = ("scene", "source", "bicubic", "prior", "diffusion", "comparison")
    assert names_in(output) == {f"{name}.png" for name in pictures}
    assert service.steps == [0, 4]
    printed = capsys.readouterr().out
    assert all(title in printed for title in ("bicubic", "prior only", "diffusion, 4 steps", "PSNR", "SSIM"))


@pytest.mark.parametrize(("scale", "side_px"), [("4", 128), ("3.5", 126), ("1.5", 128)])
def test_demo_compares_images_of_one_size_at_any_scale(
    demo: ModuleType, service: Interpolator, tmp_path: Path, scale: str, side_px: int
) -> None:
    assert demo.main(["--size", "128", "--scale", scale, "--output", str(tmp_path)]) == 0
    sizes = {size_of(tmp_path / f"{name}.png") for name in ("scene", "prior", "bicubic", "diffusion")}
    assert sizes == {(side_px, side_px)}


def test_demo_upscales_a_photo_and_measures_with_its_middle(
    demo: ModuleType, service: Interpolator, photo: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    assert demo.main(["--image", str(photo), "--size", "128", "--output", str(output)]) == 0
    assert size_of(output / "upscaled.png") == (560, 600)
    assert size_of(output / "truth.png") == (128, 128)
    assert service.steps == [None, 0, 4]


def test_demo_does_not_measure_with_a_small_photo(
    demo: ModuleType, service: Interpolator, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.fromarray(np.zeros((50, 60, 3), np.uint8)).save(photo)
    output = tmp_path / "out"
    assert demo.main(["--image", str(photo), "--output", str(output)]) == 0
    assert names_in(output) == {"upscaled.png"}
    assert "not measured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("none.png", "No such file"),
        ("text.png", "no image that Pillow can read"),
        ("deep.png", "uint16 array"),
        ("rgb.png", "8 bits"),
    ],
)
def test_demo_says_in_one_line_what_is_wrong_with_an_image(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, name: str, complaint: str
) -> None:
    (tmp_path / "text.png").write_text("text")
    Image.fromarray(np.zeros((9, 9), np.uint16)).save(tmp_path / "deep.png")
    write_deep_png(tmp_path / "rgb.png")
    assert demo.main(["--image", str(tmp_path / name), "--output", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert complaint in lines[0]


@pytest.mark.parametrize(("mode", "said"), [("RGB", False), ("L", False), ("RGBA", True), ("LA", True)])
def test_demo_says_when_an_image_has_more_than_colours(
    demo: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, mode: str, said: bool
) -> None:
    Image.new(mode, (9, 8)).save(tmp_path / "image.png")
    assert demo.read_image(tmp_path / "image.png").shape == (8, 9, 3)
    assert ("only its colours are upscaled" in capsys.readouterr().out) == said


def test_demo_says_before_it_begins_that_the_service_makes_no_images_that_large(
    demo: ModuleType, service: Interpolator, photo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.max_target_px = 560 * 600 - 1
    assert demo.main(["--image", str(photo), "--output", str(tmp_path / "out")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "HNDSR_MAX_TARGET_PX" in lines[0]
    assert service.steps == []


def test_demo_removes_what_an_earlier_run_wrote_and_nothing_else(
    demo: ModuleType, service: Interpolator, photo: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    for name in ("scene.png", "truth.png", "mine.png"):
        (output / name).touch()
    Image.new("RGB", (50, 60)).save(photo)
    assert demo.main(["--image", str(photo), "--output", str(output)]) == 0
    assert names_in(output) == {"upscaled.png", "mine.png"}


def test_demo_fails_with_a_line_when_there_is_no_service(
    demo: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_target: str | None) -> Interpolator:
        raise UnavailableError("no service at localhost:1")

    monkeypatch.setattr(demo, "connect", refuse)
    assert demo.main(["--size", "128", "--output", str(tmp_path)]) == 1
    assert capsys.readouterr().err == "demo: no service at localhost:1\n"


@pytest.mark.parametrize(
    "arguments",
    [["--scale", "1.4"], ["--scale", "8.1"], ["--scale", "x"], ["--size", "1"], ["--size", "ten"], ["--size", "99999"]],
)
def test_demo_refuses_a_wrong_command_line(demo: ModuleType, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ending:
        demo.main(arguments)
    assert ending.value.code == 2
