"""The command says what upscaling a raster would take, and does nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import rasters

from hndsr_client.cli import main
from hndsr_client.testing import FakeServer
from hndsr_client.testing._servicer import NearestServicer


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """RGB of 60 x 140 px, of which, at scale 4, a tile of one core is one of three."""
    return rasters.rgb(tmp_path, size_px=(60, 140))


@pytest.fixture
def made(folder: Path) -> Path:
    return folder / "made.tif"


@pytest.fixture
def upscale(target: str, scene: Path, made: Path) -> list[str]:
    """The arguments of a whole `hndsr upscale`, of three tiles."""
    return ["upscale", str(scene), str(made), "--target", target, "--tile-cores", "1"]


def test_dry_run_makes_nothing(upscale: list[str], folder: Path) -> None:
    assert (main([*upscale, "--dry-run"]), list(folder.iterdir())) == (0, [])


def test_dry_run_says_what_it_would_take(
    upscale: list[str], scene: Path, made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*upscale, "--dry-run"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines[:4]] == [
        f"{scene}: 60 x 140 px (height x width)",
        f"{made}: 240 x 560 px (height x width)",
        "bands: 1",
        "tiles: 3 (1 x 3)",
    ]
    assert "(measured: a tile took " in lines[4]


def test_dry_run_upscales_one_tile(upscale: list[str], server: FakeServer) -> None:
    main([*upscale, "--dry-run"])
    assert len(server.tiles) == 1


def test_dry_run_says_what_an_earlier_run_has_left(
    upscale: list[str], server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.fail_tiles(reason="INTERNAL", after=1)
    main(upscale)
    main([*upscale, "--dry-run"])
    assert "an earlier run has left 1 of them" in capsys.readouterr().out


def test_dry_run_prints_json(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--dry-run", "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["tiles"], answer["raster"]["crs"], answer["missing_bytes"]) == (
        3,
        "WGS 84 / UTM zone 33N (EPSG:32633)",
        0,
    )


def test_dry_run_prints_a_line_of_json(upscale: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main([*upscale, "--dry-run", "--json-lines"])
    assert json.loads(capsys.readouterr().out)["event"] == "plan"


def test_dry_run_of_several_makes_no_folder(
    upscale: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = rasters.rgb(tmp_path, name="other.tif")
    code = main([*upscale[:2], str(other), f"{tmp_path}/new/", *upscale[3:], "--dry-run"])
    assert (code, capsys.readouterr().out.count("disk: "), (tmp_path / "new").exists()) == (0, 2, False)


def test_dry_run_of_several_goes_on_behind_one_that_failed(
    upscale: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main([upscale[0], str(folder / "none.tif"), upscale[1], str(folder), *upscale[3:], "--dry-run"])
    assert (code, capsys.readouterr().out.count("disk: ")) == (6, 1)


def test_dry_run_leaves_out_what_is_skipped(upscale: list[str], made: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made.touch()
    code = main([*upscale, "--dry-run", "--skip-existing"])
    assert (code, capsys.readouterr().out) == (0, f"{made}: exists, left as it is\n")


def test_exit_code_of_a_dry_run_of_what_does_not_fit(
    upscale: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    vast = tmp_path / "vast.vrt"
    band = '<VRTRasterBand dataType="UInt16" band="1"/>'
    place = "<SRS>EPSG:32633</SRS><GeoTransform>500000, 1, 0, 5000000, 0, -1</GeoTransform>"
    vast.write_text(f'<VRTDataset rasterXSize="100000" rasterYSize="100000">{place}{band}</VRTDataset>')
    options = ["--scale", "8", "--tile-cores", "16", "--dry-run"]
    code = main([upscale[0], str(vast), *upscale[2:5], *options])
    assert (code, "\nit will not fit: " in capsys.readouterr().out) == (6, True)


def test_exit_code_of_a_dry_run_of_what_exists(upscale: list[str], made: Path) -> None:
    made.touch()
    assert main([*upscale, "--dry-run"]) == 6


def test_plan_says_what_a_scene_would_take(target: str, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", str(scene), "--target", target, "--tile-cores", "1"])
    text = capsys.readouterr().out
    words = "60 x 140 px", "target: 240 x 560 px", "tiles: 3", "about 7.5 s before it is written", "work files"
    assert (code, [word for word in words if word not in text]) == (0, [])


def test_plan_of_a_scene_upscales_nothing(target: str, scene: Path, service: NearestServicer) -> None:
    main(["plan", str(scene), "--target", target])
    assert [request.method for request in service.recorded] == ["PlanUpscale"]


def test_plan_takes_the_choices_of_a_scene(target: str, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", str(scene), "--bands", "2", "--window", "0,0,10,20", "--target", target, "--json"])
    answer = json.loads(capsys.readouterr().out)
    assert (answer["triples"], answer["plan"]["target_height_px"], answer["destination"]) == ([[2, 2, 2]], 80, None)


def test_plan_takes_the_tiles_of_a_size(target: str, service: NearestServicer) -> None:
    main(["plan", "5", "7", "--target", target, "--tile-cores", "2"])
    assert service.requests[0].cores_per_tile == 2


def test_plan_refuses_choices_of_a_scene_with_a_size(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", "5", "7", "--bands", "1", "--target", target])
    expected = "hndsr: error: --bands goes with a scene, not with HEIGHT and WIDTH\n"
    assert (code, capsys.readouterr().err) == (2, expected)


@pytest.mark.parametrize("arguments", [["5"], ["5", "wide"], ["a.tif", "b.tif"], ["5", "7", "9"]], ids=" ".join)
def test_plan_takes_one_scene_or_a_size(arguments: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["plan", *arguments])


def test_plan_takes_a_scene_whose_name_is_a_number(
    target: str, scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scene.rename("5")
    assert main(["plan", "5", "--target", target]) == 0


def test_exit_code_of_a_plan_of_a_scene_that_is_missing(target: str, folder: Path) -> None:
    assert main(["plan", str(folder / "none.tif"), "--target", target]) == 6
