"""docs/benchmarks.md from the results: the parts that are about the service itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import comparison_pages
from page_parts import where as _where
from rasters import STAGES
from scale import STREAM_ROUNDS
from stack import ROUNDS

INTRODUCTION = """# Benchmarks

Written by `make bench` (`make bench ARGS="--only stack"` for a part), `make bench-scale`, `make bench-rasters` and
`make bench-gpu`; the numbers are also in `benchmarks.json`, from which `benchmarks/plots.py` draws.
Other machines give other seconds; the ratios are made in one run and travel better.
"""


def page(results: dict[str, Any]) -> str:
    """The results as Markdown."""
    return "\n".join([INTRODUCTION, *(write(results[name]) for name, write in WRITERS.items() if name in results)])


def _stack(result: dict[str, Any]) -> str:
    rows = "".join(
        f"| {one['engine']} | {steps} | {row['stack_s']:.2f} s | {row['bare_s']:.2f} s "
        f"| {row['bare_s'] / row['stack_s']:.2f} | {one['ready_s']:.1f} s | {one['memory_mib']:,.0f} MiB |\n"
        for one in result["engines"]
        for steps, row in one["overhead"].items()
    )
    return f"""## The whole stack

{_where(result)}
A 1024² target through SDK, gateway and Triton against the bare passes of its 25 windows, side by side as they are
served, medians of {ROUNDS} rounds in turn on images that no cache has seen (aim: bare over stack at least 0.90). Start
to ready, probes passed (aim: 15 s); memory of gateway, Triton and models after the work, shared pages counted once:

| engine | steps | whole stack | bare passes | bare over stack | ready | memory |
|---|---|---|---|---|---|---|
{rows}"""


def _seams(result: dict[str, Any]) -> str:
    rows = "".join(
        f"| {name} | {row['disagreement']:.2f} | {row['gradient_ratio']:.3f} |\n"
        for name, row in result.items()
        if name != "machine"
    )
    return f"""## Seams

{_where(result)}
A rendered 1024² scene at scale 4. Disagreement: mean absolute difference of neighbouring windows in their overlap, in
grey levels, before blending. Gradient: across window borders over that of the median border, after it; 1 is invisible.

| | disagreement | gradient ratio |
|---|---|---|
{rows}"""


def _concurrency(result: dict[str, Any]) -> str:
    rows = "".join(
        f"| {name} | {row['clients']}, {row['small_clients']} of them small | {row['alone_p95_s'] * 1000:,.0f} ms "
        f"| {row['mixed_p95_s'] * 1000:,.0f} ms | {row['ratio']:.2f} |\n"
        for name, row in result.items()
        if name != "machine"
    )
    return f"""## Small requests among large ones

{_where(result)}
The 95th percentile of the latency of small requests (one window), sent by the small clients alone, and with the other
clients sending large ones all the while (aim: at most 3 times as long):

| model | clients | alone | in the mix | ratio |
|---|---|---|---|---|
{rows}"""


def _overload(result: dict[str, Any]) -> str:
    rows = "".join(
        f"| {row['load']:g} | {row['told']['goodput']:.2f} | {row['told']['refused']:.0%} | "
        f"{row['told']['refusal_p50_s'] * 1000:,.0f} ms | {row['untold']['goodput']:.2f} |\n"
        for row in result["loads"]
    )
    return f"""## Overload

{_where(result)}
Requests of one window ({result["model"]}, {result["steps"]} steps) that come at random times, however many are there
already; each is worth something for {result["deadline_s"]:.2g} s, five times as long as it takes alone. The service
does {result["capacity"]:.2f} of them per second. Goodput is what is answered in time, over that (aim: at least 0.9 at
four times as much). Beside it, the same where calls do not say how long they are worth something, and give up then.
Medians of {result["rounds"]} rounds.

| asked for, over capacity | goodput | refused | a refusal takes | goodput, deadlines untold |
|---|---|---|---|---|
{rows}"""


def _watched(result: dict[str, Any]) -> str:
    rows = "".join(
        f"| {row['model']} | {row['clients']} | {row['rounds']} | {row['rates']['off']:.1f} | "
        f"{row['ratios']['sampled']:.3f} | {row['ratios']['all']:.3f} |\n"
        for row in result["loads"]
    )
    return f"""## Being watched

{_where(result)}
Requests of one window at 0 steps, from clients that each wait for their answer, to three services in turn: one that
nobody watches, one whose metrics are exported and {result["sampled"]:.0%} of whose calls are traced (aim: at least 0.98
of the first's throughput), and one with every call traced. Ratios are medians of those of the rounds.

| model | clients | rounds | per second, unwatched | metrics and {result["sampled"]:.0%} traced | all traced |
|---|---|---|---|---|---|
{rows}"""


def _refusals(result: dict[str, Any]) -> str:
    def table(rows: list[dict[str, Any]]) -> str:
        return "".join(
            f"| {row['name']} | {row['reason']} | {row['file_bytes'] / 2**20:,.2f} MiB | {row['seconds']:.2f} s "
            f"| {row['memory_mib']:,.0f} MiB |\n"
            for row in rows
        )

    head = "| file | reason | size | time | worker's memory |\n|---|---|---|---|---|\n"
    return f"""## Hostile files

{_where(result)}
{result["refused"]:,} of the {result["files"]:,} files of the tests' corpus are refused, each through the whole gateway
(aim: at most 2 s and 500 MiB). The slowest:

{head}{table(result["slowest"])}
The fattest, by the peak of the worker that read it, which takes {result["at_rest_mib"]:,.0f} MiB at rest:

{head}{table(result["fattest"])}"""


def _install(result: dict[str, Any]) -> str:
    return f"""## From nothing

{_where(result)}
From `git clone` to the demo's table, everything downloaded and installed on the way:
{result["clone_to_table_s"]:.0f} s. The installation takes {result["venv_mib"]:,.0f} MiB.
"""


def _scale(result: dict[str, Any]) -> str:
    sizes = "".join(
        f"| {row['megapixels']:,} Mpx | {row['tiles']:,} | {row['wall_s']:,.1f} s | {row['mpx_per_s']:.2f} Mpx/s "
        f"| {row['first_tile_s']:.1f} s | {_footprint(row['gateway_mib'])} | {_footprint(row['sdk_mib'])} "
        f"| {row['gateway_mib']['tree']:,.0f} |\n"
        for row in result["sizes"]
    )
    waits = "".join(
        f"| {model} | {_spread(row['alone'])} | {_spread(row['among'])} | {row['tile_s']:.2f} s "
        f"| {row['of_bound']:.2f} | {row['mean_tiles']:.1f}, {row['most_tiles']} |\n"
        for model, row in result["fairness"].items()
    )
    hndsr, growth = result["hndsr"], result["growth_mib"]
    return f"""## Images of any size

{_where(result)}
Files of noise into files at scale 4 by the model `bicubic`, each through a gateway process that did nothing before and
an SDK process of its own. Memory in MiB: the kernel's peak of what was resident (VmHWM, libraries included), behind it
what of that was anonymous, the peak of samples twice a second; last, the peak of gateway, Triton and models together,
shared pages counted once.

| target | tiles | wall | throughput | first tile | gateway | SDK | with Triton |
|---|---|---|---|---|---|---|---|
{sizes}
From the smallest to the largest the gateway's peak grows by {growth["gateway"]:,.0f} MiB and the SDK's by
{growth["sdk"]:,.0f} MiB (aim: at most 150 each).

A stream by the model `hndsr` at 0 steps against the bare engine passes of its {hndsr["windows"]:,} windows, medians of
{STREAM_ROUNDS} rounds in turn: {hndsr["stream_s"]:.2f} s over {hndsr["bare_s"]:.2f} s, a ratio of {hndsr["ratio"]:.3f}
(aim: at most 1.15), in {hndsr["tiles"]:,} tiles, {hndsr["cache_hit_rate"]:.0%} of whose windows came from the cache.

Thumbnails of one window, one after the other, alone and while a stream of the same model goes on. None should wait for
more than one tile: the longest wait over the time of a tile (the mean between two tiles of the stream alone) and the
longest of a thumbnail alone should be about 1, unless tiles take longer at times, and the stream's tiles that came
while a thumbnail was under way should be 1:

| model | alone: median, p95, longest | beside a stream | a tile | longest wait | tiles meanwhile: mean, most |
|---|---|---|---|---|---|
{waits}"""


def _rasters(result: dict[str, Any]) -> str:
    sizes = "".join(
        f"| {row['megapixels']:,} Mpx | {row['tiles']:,} | {row['wall_s']:,.1f} s "
        f"| {_stages(row['stages_s'])} s "
        f"| {row['array_s']:,.1f} s | {row['wall_s'] / row['array_s']:.2f} | {row['size_bytes'] / 1e6:,.0f} MB "
        f"| {_footprint(row['gateway_mib'])} | {_footprint(row['sdk_mib'])} | {row['sdk_mib']['tree']:,.0f} |\n"
        for row in result["sizes"]
    )
    growth = result["growth_mib"]
    return f"""## Rasters

{_where(result)}
GeoTIFF of 16 bits, three bands, nodata, into a Cloud-Optimized GeoTIFF at scale 4 by the model `bicubic`, beside the
same samples from .npy into .npy; all files on one disk. Where the time goes: value ranges measured, upscaled, written
with overviews and deflate, read back and checked. Memory in MiB as above; last, the SDK with the process that writes.

| target | tiles | wall | stages | array alone | ratio | size | gateway | SDK | with the writer |
|---|---|---|---|---|---|---|---|---|---|
{sizes}
From the smaller to the larger the gateway's peak grows by {growth["gateway"]:,.0f} MiB and the SDK's by
{growth["sdk"]:,.0f} MiB, in which GDAL's cache of the source's blocks fills, to 256 MB at most.
"""


def _stages(seconds: dict[str, float]) -> str:
    return ", ".join(f"{seconds[stage]:,.1f}" for stage in STAGES)


def _footprint(memory: dict[str, float]) -> str:
    return f"{memory['resident']:,.0f} ({memory['anonymous']:,.0f})"


def _spread(latency: dict[str, float]) -> str:
    return ", ".join(f"{latency[name] * 1000:,.0f}" for name in ("p50_s", "p95_s", "max_s")) + " ms"


def _precisions(result: dict[str, Any]) -> str:
    import precisions  # noqa: PLC0415 - it wants packages that the others do not

    return precisions.page(result)


WRITERS: Mapping[str, Callable[[dict[str, Any]], str]] = {
    "stack": _stack,
    "alternatives": comparison_pages.alternatives,
    "roofline": comparison_pages.roofline,
    "latency": comparison_pages.latency,
    "growth": comparison_pages.growth,
    "gpu": comparison_pages.gpu,
    "gateway": comparison_pages.gateway,
    "precisions": _precisions,
    "seams": _seams,
    "concurrency": _concurrency,
    "overload": _overload,
    "watched": _watched,
    "refusals": _refusals,
    "install": _install,
    "scale": _scale,
    "rasters": _rasters,
}
"""By section, in the order of the page."""
