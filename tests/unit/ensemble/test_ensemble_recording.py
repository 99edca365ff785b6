"""Recordings: spans lie where they belong in every thread, are bounded, and are nothing while nobody asks."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from traces import Span, misplaced, named, spans_of, tree, window_tree
from unit.ensemble.test_ensemble_tile_service import BicubicModels, make_service, refusal, request
from unit.ensemble.tile_cases import random_picture, uniform_picture, workers

from hndsr_ensemble import pipeline
from hndsr_ensemble.cache import WindowCache
from hndsr_ensemble.manifest import Manifest, Options
from hndsr_ensemble.pipeline import HndsrWindows
from hndsr_ensemble.recording import MOST_SPANS, Recording, carried, event, span
from hndsr_ensemble.serving import ServingSettings
from hndsr_ensemble.tile_service import TRACE, TileRequestError, TileService
from hndsr_ensemble.tiles import UpscaledTile
from hndsr_ensemble.tiling import Tiler


def in_other_thread(function: object) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(function).result()


def nested() -> None:
    with span("outer"), span("inner"):
        pass


def test_span_is_one_and_the_same_when_nothing_is_recorded() -> None:
    assert span("outer", "hndsr.batch", 3) is span("inner")


def test_function_is_carried_as_it_is_when_nothing_is_recorded() -> None:
    assert carried(nested) is nested


def test_span_lies_below_the_one_that_it_begins_in() -> None:
    with Recording("root") as recording:
        nested()
        nested()
    assert tree(spans_of(recording.text())) == ("root", [("outer", [("inner", [])])] * 2)


def test_span_has_its_attribute_and_events() -> None:
    with Recording("root") as recording, span("ddim", "hndsr.steps", 2):
        event("step", "hndsr.step", 1)
    ddim = spans_of(recording.text())[1]
    (step,) = ddim["events"]
    assert (ddim["attributes"], step["name"], step["attributes"]) == ({"hndsr.steps": 2}, "step", {"hndsr.step": 1})


def test_spans_lie_within_their_parents() -> None:
    with Recording("root") as recording:
        nested()
        event("end", "hndsr.step", 1)
    assert misplaced(spans_of(recording.text())) == []


def test_root_has_what_is_noted() -> None:
    with Recording("root") as recording:
        recording.note({"hndsr.windows": 4})
    assert spans_of(recording.text())[0]["attributes"] == {"hndsr.windows": 4}


def test_nothing_is_recorded_any_more_when_a_recording_ended() -> None:
    with Recording("root") as recording:
        pass
    nested()
    assert len(spans_of(recording.text())) == 1


def test_nothing_is_recorded_any_more_when_a_recording_failed() -> None:
    with pytest.raises(KeyError), Recording("root"), span("outer"):
        raise KeyError
    assert span("a") is span("b")


def test_spans_of_another_thread_lie_below_what_it_was_carried_from() -> None:
    with Recording("root") as recording, span("here"):
        in_other_thread(carried(nested))
    assert tree(spans_of(recording.text())) == ("root", [("here", [("outer", [("inner", [])])])])


def test_spans_of_another_thread_are_not_recorded_when_it_works_for_others() -> None:
    with Recording("root") as recording:
        in_other_thread(nested)
    assert len(spans_of(recording.text())) == 1


def test_recordings_at_once_have_the_spans_of_their_own_threads() -> None:
    together = threading.Barrier(2)

    def record(name: str) -> list[str]:
        with Recording("root") as recording:
            for _ in range(20):
                together.wait()
                with span(name):
                    pass
        return [recorded["name"] for recorded in spans_of(recording.text())]

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(record, "ab")) == [["root", *"a" * 20], ["root", *"b" * 20]]


def full_recording(spans: int) -> dict[str, list[Span]]:
    """A recording that as many spans were begun in, in four threads."""
    with Recording("root") as recording:
        calls = [carried(nested) for _ in range(spans // 2)]
        with ThreadPoolExecutor(4) as pool:
            for call in calls:
                pool.submit(call)
    return json.loads(recording.text())


def test_recording_holds_a_bounded_number_of_spans() -> None:
    document = full_recording(2 * MOST_SPANS)
    assert (len(document["spans"]), document["dropped"]) == (MOST_SPANS, MOST_SPANS + 1)


def test_spans_lie_behind_their_parents_when_threads_begin_them() -> None:
    spans = full_recording(MOST_SPANS)["spans"]
    assert [index for index, recorded in enumerate(spans) if recorded["parent"] >= index] == []


def test_event_goes_nowhere_when_there_was_no_room_for_its_span() -> None:
    with Recording("root") as recording:
        for _ in range(MOST_SPANS):
            with span("one"):
                pass
        with span("late"):
            event("step", "hndsr.step", 1)
    assert [recorded for recorded in spans_of(recording.text()) if recorded["events"]] == []


class Network:
    """Answers with as many channels and as large as one of the three networks."""

    def __init__(self, name: str) -> None:
        self._shape = (3, 256, 256) if name == "decoder" else (64, 64, 64)

    def run(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """Run as an `Engine`."""
        means = next(iter(inputs.values())).mean(axis=(1, 2, 3), keepdims=True)
        return np.broadcast_to(np.tanh(means), (len(means), *self._shape)).astype(np.float32)


@pytest.fixture
def windows(repository: Path, settings: ServingSettings, monkeypatch: pytest.MonkeyPatch) -> HndsrWindows:
    """The pipeline with networks that take no time."""
    monkeypatch.setattr(pipeline, "load_engine", lambda *args, **_: Network(args[1]))
    return HndsrWindows(repository, settings)


WINDOWS = random_picture(size=(70, 80), window_px=256, stride_px=224, options=Options(2, 1.0, 0))
"""An image of 2 × 2 windows, drawn in two steps."""


def run(windows: HndsrWindows, manifest: Manifest, *, threads: int, batch: int = 1, steps: int = 2) -> UpscaledTile:
    crew = workers(threads)
    tiler = Tiler(manifest, revision="", run=windows, batch=batch, cache=WindowCache(0), workers=crew)
    picture = replace(WINDOWS, options=Options(steps, 1.0, 0), halo_px=manifest.geometry.source_halo_px)
    return tiler.run(picture.tile(picture.whole), cancelled=lambda: False)


def recorded_run(windows: HndsrWindows, manifest: Manifest, **how: int) -> list[Span]:
    with Recording("tile") as recording:
        run(windows, manifest, **how)
    return spans_of(recording.text())


@pytest.mark.parametrize("threads", [1, 2])
def test_tile_has_its_windows_and_these_their_networks(windows: HndsrWindows, hndsr: Manifest, threads: int) -> None:
    spans = recorded_run(windows, hndsr, threads=threads)
    assert tree(spans) == ("tile", [window_tree("fno", "ddim", "decoder")] * 4)


@pytest.mark.parametrize("threads", [1, 2])
def test_spans_of_a_tile_lie_within_their_parents(windows: HndsrWindows, hndsr: Manifest, threads: int) -> None:
    assert misplaced(recorded_run(windows, hndsr, threads=threads)) == []


def test_ddim_has_an_event_for_each_step(windows: HndsrWindows, hndsr: Manifest) -> None:
    spans = named("ddim", recorded_run(windows, hndsr, threads=2))
    steps = [[step["attributes"]["hndsr.step"] for step in ddim["events"]] for ddim in spans]
    assert (steps, [ddim["attributes"] for ddim in spans]) == ([[1, 2]] * 4, [{"hndsr.steps": 2}] * 4)


def test_ddim_is_left_out_when_nothing_is_drawn(windows: HndsrWindows, hndsr: Manifest) -> None:
    assert tree(recorded_run(windows, hndsr, threads=1, steps=0))[1] == [window_tree("fno", "decoder")] * 4


def test_windows_say_how_many_they_are(windows: HndsrWindows, hndsr: Manifest) -> None:
    spans = recorded_run(windows, hndsr, threads=1, batch=3)
    assert [each["attributes"] for each in named("windows", spans)] == [{"hndsr.batch": 3}, {"hndsr.batch": 1}]


@pytest.mark.parametrize("threads", [1, 2])
def test_tile_has_the_same_bytes_when_it_is_recorded(windows: HndsrWindows, hndsr: Manifest, threads: int) -> None:
    with Recording("tile"):
        recorded = run(windows, hndsr, threads=threads)
    assert recorded.pixels.tobytes() == run(windows, hndsr, threads=threads).pixels.tobytes()


@pytest.fixture
def triton(bicubic: Manifest) -> BicubicModels:
    return BicubicModels(bicubic)


@pytest.fixture(params=["fused", "ensemble"])
def service(repository: Path, triton: BicubicModels, request: pytest.FixtureRequest) -> TileService:
    return make_service(repository, triton, HNDSR_NETWORKS=request.param, HNDSR_CPU_THREADS="2")


def traced(service: TileService, **changes: np.ndarray) -> list[Span]:
    return spans_of(service.answer(request(**changes), (TRACE,), cancelled=lambda: False)[TRACE][0])


def test_trace_is_of_the_windows_of_the_tile_alone_when_it_is_the_first_one(service: TileService) -> None:
    assert sum(each["attributes"]["hndsr.batch"] for each in named("windows", traced(service))) == 4


def test_trace_says_of_bicubic_windows_that_they_were_run(service: TileService) -> None:
    assert {each["name"] for each in traced(service)} == {"tile", "windows"}


def test_trace_says_what_the_tile_is(service: TileService) -> None:
    described = json.loads(service.answer({}, cancelled=lambda: False)["DESCRIPTION"][0])["models"][0]
    assert traced(service, STEPS=np.array([7], np.int32))[0]["attributes"] == {
        "hndsr.model": "bicubic",
        "hndsr.revision": described["revision"],
        "hndsr.engine": described["engine"],
        "hndsr.device": "cpu",
        "hndsr.windows": 4,
        "hndsr.cache_hits": 0,
        "hndsr.empty_windows": 0,
        "hndsr.scale": "4",
        "hndsr.steps": 7,
    }


def test_trace_counts_windows_that_were_there(service: TileService) -> None:
    picture = uniform_picture(9, window_px=256, stride_px=224, halo_px=2)
    asked = request(replace(picture, pixels=np.full((70, 80, 3), 9, np.uint8)))
    for _ in range(2):
        again = service.answer(asked, (TRACE,), cancelled=lambda: False)
    root = spans_of(again[TRACE][0])[0]["attributes"]
    assert (root["hndsr.cache_hits"] > 0, root["hndsr.cache_hits"]) == (True, again["STATS"][1])


def test_answer_is_the_same_but_for_the_trace(service: TileService) -> None:
    plain = service.answer(request(), ("PIXELS_U8",), cancelled=lambda: False)
    with_trace = service.answer(request(), ("PIXELS_U8", TRACE), cancelled=lambda: False)
    del with_trace[TRACE]
    assert plain.keys() == with_trace.keys()
    assert plain["PIXELS_U8"].tobytes() == with_trace["PIXELS_U8"].tobytes()


def test_description_has_no_trace(service: TileService) -> None:
    assert set(service.answer({}, ("DESCRIPTION", TRACE), cancelled=lambda: False)) == {"DESCRIPTION"}


def test_nothing_is_recorded_any_more_when_a_tile_is_cancelled(service: TileService) -> None:
    with pytest.raises(TileRequestError, match="CANCELLED"):
        service.answer(request(), (TRACE,), cancelled=lambda: True)
    assert span("a") is span("b")


def test_tile_is_refused_as_ever_when_a_trace_is_asked_for(service: TileService) -> None:
    asked = request(GEOMETRY=None)
    with pytest.raises(TileRequestError) as refused:
        service.answer(asked, (TRACE,), cancelled=lambda: False)
    assert str(refused.value) == str(refusal(service, asked))
