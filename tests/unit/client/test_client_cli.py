"""The command says what it did in words, JSON and exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hndsr.v1 import upscale_pb2 as pb
from hndsr_client import Client
from hndsr_client._core.files import png_size_px
from hndsr_client._report import quality_line, quality_table, upscaled_line
from hndsr_client.cli import main
from hndsr_client.results import Quality, QualityReport
from hndsr_client.testing._png import write_png
from hndsr_client.testing._servicer import NearestServicer

SOURCE = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
COMMAND = [sys.executable, "-m", "hndsr_client.cli"]


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.png"


@pytest.fixture
def upscale(target: str, source: Path, made: Path) -> list[str]:
    """The arguments of a whole `hndsr upscale`."""
    return ["upscale", str(source), str(made), "--target", target]


@pytest.fixture
def reference(folder: Path) -> Path:
    """The target of the source at scale 4, one off."""
    path = folder / "reference.png"
    path.write_bytes(write_png(SOURCE.repeat(4, 0).repeat(4, 1) + np.uint8(1)))
    return path


@pytest.fixture
def truth(folder: Path) -> Path:
    """The target of the source at scale 4, as it is."""
    path = folder / "truth.png"
    path.write_bytes(write_png(SOURCE.repeat(4, 0).repeat(4, 1)))
    return path


def test_upscale_makes_the_file(upscale: list[str], made: Path) -> None:
    assert (main([*upscale, "--scale", "22/7"]), png_size_px(made)) == (0, (16, 22))


def test_upscale_sends_the_options(upscale: list[str], service: NearestServicer) -> None:
    main([*upscale, "--scale", "3.14", "--steps", "8", "--texture", "0.5", "--seed", "7", "--model", "nearest"])
    sent = service.requests[0].parameters
    assert (sent.scale, sent.options.steps, sent.options.texture, sent.options.seed, sent.model) == (
        "3.14",
        8,
        0.5,
        7,
        "nearest",
    )


def test_upscale_ends_with_one_line(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    words = "20 x 28 px", "9 windows (7 computed)", "Mpx/s", "nearest 5ca1ab1e5ca1\n"
    line = capsys.readouterr().out
    assert [word for word in words if word not in line] == []


def test_upscale_is_silent_when_quiet(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--quiet"])
    assert capsys.readouterr() == ("", "")


def test_upscale_shows_no_progress_without_a_terminal(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(upscale)
    assert not capsys.readouterr().err


def test_upscale_prints_json(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--scale", "22/7", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["scale"], answer["target_height_px"], answer["destination"]) == ("22/7", 16, str(made))


def test_upscale_asks_for_the_format_of_the_destination(
    upscale: list[str], service: NearestServicer, folder: Path
) -> None:
    main([*upscale[:2], str(folder / "made.webp"), *upscale[3:], "--quality", "80", "--lossy"])
    sent = service.requests[0]
    assert (sent.output_format, sent.encoding.quality, sent.encoding.lossless) == (pb.IMAGE_FORMAT_WEBP, 80, False)


def test_upscale_leaves_the_encoding_to_the_server(upscale: list[str], service: NearestServicer) -> None:
    main(upscale)
    encoding = service.requests[0].encoding
    assert (encoding.HasField("quality"), encoding.HasField("lossless")) == (False, False)


def test_upscale_says_how_close_it_comes_to_the_reference(
    upscale: list[str], reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--reference", str(reference)])
    table = capsys.readouterr().out.splitlines()[1:]
    assert [line.split()[0] for line in table] == ["PSNR", "target", "bicubic"]


def test_upscale_prints_how_close_it_comes_as_json(
    upscale: list[str], reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--reference", str(reference), "--json"])
    assert json.loads(capsys.readouterr().out)["quality"]["bicubic"]["psnr_db"] == pytest.approx(48.13, abs=0.01)


def test_compare_says_how_close_an_image_is(
    target: str, truth: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compare", str(reference), str(truth), "--target", target])
    assert capsys.readouterr().out.startswith("PSNR 48.13 dB, SSIM ")


def test_compare_takes_the_span_of_values(
    target: str, truth: Path, reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compare", str(reference), str(truth), "--target", target, "--json", "--data-range", "100"])
    assert json.loads(capsys.readouterr().out)["data_range"] == 100


def test_compare_says_that_images_are_equal(target: str, truth: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["compare", str(truth), str(truth), "--target", target])
    assert capsys.readouterr().out.startswith("PSNR infinite, ")


def test_compare_prints_json_without_an_infinite_number(
    target: str, truth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["compare", str(truth), str(truth), "--target", target, "--json"])
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail)["psnr_db"] == "Infinity"


def test_compare_exit_code_of_images_of_two_sizes(target: str, source: Path, reference: Path) -> None:
    assert main(["compare", str(source), str(reference), "--target", target]) == 3


@pytest.mark.parametrize(("ssim", "ending"), [(0.8104, "SSIM 0.810"), (None, "SSIM -")])
def test_report_says_a_quality_on_one_line(ssim: float | None, ending: str) -> None:
    assert quality_line(Quality(psnr_db=29.256, ssim=ssim, data_range=255)) == f"PSNR 29.26 dB, {ending}"


def test_report_sets_the_target_beside_bicubic() -> None:
    report = QualityReport(result=Quality(29.256, 0.8104, 255), bicubic=Quality(27.29, None, 255), border_px=4)
    assert quality_table(report).splitlines() == [
        "         PSNR      SSIM",
        "target   29.26 dB  0.810",
        "bicubic  27.29 dB  -",
    ]


def test_plan_prints_json(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "5", "7", "--target", target, "--json"])
    assert json.loads(capsys.readouterr().out)["column_spans"][0]["target_stop_px"] == 28


def test_plan_says_size_and_time(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "5", "7", "--target", target])
    assert capsys.readouterr().out.startswith("20 x 28 px (height x width), 1 tile, 9 windows, about 2.5 s")


@pytest.mark.parametrize(
    ("size_px", "scale", "ending"),
    [
        (("4000", "4000"), "2", "nearest 5ca1ab1e5ca1\n"),
        (("4000", "4000"), "2.01", " - exceeds this server's limit of 64 Mpx for one call\n"),
        (("4000", "4001"), "1.5", " - its source exceeds this server's limit of 16 Mpx for one call\n"),
    ],
)
def test_plan_says_what_one_call_cannot_do(
    target: str, capsys: pytest.CaptureFixture[str], size_px: tuple[str, str], scale: str, ending: str
) -> None:
    main(["plan", *size_px, "--target", target, "--scale", scale])
    assert capsys.readouterr().out.endswith(ending)


@pytest.mark.parametrize(("number", "words"), [(0, "0 windows"), (1, "1 window"), (2, "2 windows")])
def test_report_counts_in_the_singular_and_the_plural(client: Client, number: int, words: str) -> None:
    metadata = client.upscale(np.zeros((5, 7, 3), np.uint8)).metadata
    line = upscaled_line(replace(metadata, windows=number), destination="made.png", elapsed_s=1)
    assert f", {words} (" in line


def test_info_prints_json(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--target", target, "--json"])
    assert json.loads(capsys.readouterr().out)["models"][0]["min_scale"] == "1.5"


def test_info_lists_models(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--target", target])
    assert "nearest (default): Nearest neighbour\n  scale 1.5 to 8," in capsys.readouterr().out


def test_info_lists_formats(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["info", "--target", target])
    assert capsys.readouterr().out.endswith("\nformats: png, raw, jpeg, webp, tiff\n")


def test_version_is_the_package_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == "hndsr 0.1.0\n"


def test_progress_names_the_estimate_on_a_terminal(upscale: list[str]) -> None:
    reader, terminal = os.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "200"}
    subprocess.run([*COMMAND, *upscale], stderr=terminal, stdout=subprocess.DEVNULL, check=True, env=environment)
    os.close(terminal)
    shown = os.read(reader, 65536)
    os.close(reader)
    assert b"of about 2 s if the server is idle" in shown
