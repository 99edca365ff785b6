"""docs/benchmarks.md from the results: the parts that set the service beside something else."""

from __future__ import annotations

from typing import Any

from page_parts import table, where
from plots import CONTENDERS

OVER_THE_ROOF = """
More than 100% means that the library's own products are slower than the engine's passes, or that the machine was busy
with something else while they were measured: then they are no bound, and the share says nothing.
"""


def alternatives(result: dict[str, Any]) -> str:
    """Throughput of all contenders, and the ratios of the whole stack to them."""
    rows = result["rows"]
    names = [name for name in CONTENDERS if name in rows[0]["mpx_per_s"]]
    rates = table(
        ["target", "steps", "rounds", *(CONTENDERS[name] for name in names)],
        [[*_case(row), str(row["rounds"]), *(f"{row['mpx_per_s'][name]:.3f}" for name in names)] for row in rows],
    )
    others = [name for name in names if name != "stack"]
    ratios = table(
        ["target", "steps", *(f"over {CONTENDERS[name]}" for name in others)],
        [[*_case(row), *(f"{row['stack_over'][name]:.2f}" for name in others)] for row in rows],
    )
    engine, tuned = result["engine"], result["predecessor"]
    best = ", ".join(f"{name}: {_way(row)}" for name, row in tuned["best"].items())
    return f"""## Against the alternatives

{where(result)}
Target megapixels (2²⁰ px) per second, medians of rounds taken in turn, on noise that no cache has seen, at scale 4.
The bare networks run every window's passes by the served engine ({_engine(engine)}) and
nothing else: the limit. tritonclient sends the same Triton the whole image as one tile. The FastAPI process is what one
would write first (`benchmarks/predecessor_app.py`): the same networks in a PyTorch loop over overlapping tiles, blended
in float; raw samples are its answer, too. Of {len(tuned["tried"])} ways it does its best ({best});
bf16 is PyTorch's autocast. At 0 steps the two targets are {result["difference_levels"]:.2f} grey levels apart on
average.

{rates}
The whole stack's throughput over that of the others (over the limit 1 is the most there can be; above 1 it is ahead):

{ratios}
![Bars of the throughput of each](images/benchmarks-throughput.svg)

Over each bar: the whole stack's throughput over this one's.
"""


def roofline(result: dict[str, Any]) -> str:
    """The machine's rates, what a window asks for, and what the bare passes reach."""
    machine, engine = result["machine_rates"], result["engine"]
    products = ", ".join(f"{name} {rate / 1e9:,.0f}" for name, rate in machine["operations_per_s"].items())
    networks = table(
        ["network", "GFLOP per window", "FLOP per byte", "a window", "GFLOP/s", "of the roofline"],
        [
            [
                name,
                f"{row['operations'] / 1e9:.1f}",
                f"{row['operations_per_byte']:,.0f}",
                f"{row['window_s'] * 1000:.1f} ms",
                f"{row['operations_per_s'] / 1e9:,.0f}",
                f"{row['of_roofline']:.0%}",
            ]
            for name, row in result["networks"].items()
        ],
    )
    over = max(row["of_roofline"] for row in result["networks"].values()) > 1
    return f"""## How much of the machine

{where(result)}
The best that was seen here, in turn with the passes: copies of {machine["bytes_per_s"] / 1e9:,.1f} GB/s, read and
written; products of matrices in GFLOP/s, the best of several sizes: {products}. A pass's roofline is the lesser
of the matrix rate of its arithmetic and of the bandwidth times its FLOP per byte, the bytes being weights, inputs and
output alone. Bare passes, medians, by {_engine(engine)}:

{networks}{OVER_THE_ROOF if over else ""}"""


def latency(result: dict[str, Any]) -> str:
    """Cold start, memory, latencies by concurrency, first pixels."""
    start, memory, first = result["start"], result["memory_mib"], result["first"]
    levels = table(
        ["model", "clients", "requests", "per second", "median", "p95", "p99", "longest"],
        [
            [
                model,
                str(row["concurrency"]),
                f"{row['requests']:,}",
                f"{row['per_s']:.1f}",
                *(f"{row[name] * 1000:,.0f} ms" for name in ("p50_s", "p95_s", "p99_s", "max_s")),
            ]
            for model, rows in result["levels"].items()
            for row in rows
        ],
    )
    roles = [role for role in memory["after"] if role != "all"]
    pss = table(
        ["", *roles, "together"],
        [
            [said, *(f"{memory[name].get(role, 0):,.0f}" for role in [*roles, "all"])]
            for name, said in (("at_rest", "at rest"), ("after", "after the work"))
        ],
    )
    pixels = table(
        ["model", "thumbnail", "first strip of a stream", "its first tile"],
        [
            [
                model,
                *(f"{first[model][name] * 1000:,.0f} ms" for name in ("thumbnail_s", "first_strip_s", "first_tile_s")),
            ]
            for model in result["levels"]
        ],
    )
    return f"""## Waiting

{where(result)}
From the start of the process until it is ready: {start["ready_s"]:.1f} s; until it has answered the first image, one
window at 4 steps: {start["first_answer_s"]:.1f} s.

Requests of one window at 0 steps, from clients that each wait for their answer:

{levels}
![Latency by the number of clients](images/benchmarks-latency.svg)

Until the first pixel is here, on an idle service at 0 steps: of a thumbnail of one window, and of a stream with a
target of {first["stream_megapixels"]:g} Mpx, by the contract itself:

{pixels}
Memory in MiB of all processes with all models, shared pages counted once:

{pss}"""


def growth(result: dict[str, Any]) -> str:
    """Cost per target Mpx by size, streams at once and steps."""
    sizes = table(
        ["target", "windows", "time", "per Mpx", "per window"],
        [
            [
                f"{row['megapixels']:g} Mpx",
                f"{row['windows']:,}",
                f"{row['seconds']:.2f} s",
                f"{row['s_per_mpx']:.2f} s",
                f"{row['seconds'] / row['windows'] * 1000:.0f} ms",
            ]
            for row in result["sizes"]
        ],
    )
    streams = table(
        ["model", "streams", "together", "time", "per Mpx"],
        [
            [model, str(row["streams"]), f"{row['megapixels']:g} Mpx", *_cost(row)]
            for model, rows in result["streams"].items()
            for row in rows
        ],
    )
    steps = table(
        ["steps", "time", "per Mpx", "a step adds per Mpx"],
        [
            [
                str(row["steps"]),
                f"{row['seconds']:.2f} s",
                f"{row['s_per_mpx']:.2f} s",
                f"{row['step_s_per_mpx']:.2f} s" if row["steps"] else "",
            ]
            for row in result["steps"]
        ],
    )
    return f"""## How cost grows

{where(result)}
Streams from arrays into arrays at scale 4; what grows in proportion has the same cost per target Mpx in every row.
Small targets have more windows per Mpx, since theirs overlap as much and reach further beyond the edge.

![Cost per target Mpx by size, by streams at once, and of a step](images/benchmarks-growth.svg)

By size, model `hndsr`, 0 steps:

{sizes}
By streams at once, each with a scene and a client of its own, 0 steps:

{streams}
By diffusion steps, a target of {result["steps"][0]["megapixels"]:g} Mpx:

{steps}"""


def gpu(result: dict[str, Any]) -> str:
    """One GPU, from a bare pass to a gigapixel."""
    device, giga, rates = result["device"], result["gigapixel"], result["machine_rates"]
    products = ", ".join(f"{name} {rate / 1e12:,.1f}" for name, rate in rates["operations_per_s"].items())
    busy = "not known" if giga["gpu_busy"] is None else f"{giga['gpu_busy']:.0%} ({giga['gpu_busy_samples']} samples)"
    passes = table(
        ["network", "batch", "a pass", "windows per second", "TFLOP/s", "of the roofline"],
        [
            [
                name,
                str(row["batch"]),
                f"{row['pass_s'] * 1000:.2f} ms",
                f"{row['windows_per_s']:,.0f}",
                f"{row['operations_per_s'] / 1e12:.1f}",
                f"{row['of_roofline']:.0%}",
            ]
            for name, rows in result["passes"].items()
            for row in rows
        ],
    )
    pipeline = table(
        ["steps", "batch", "windows per second", "target Mpx per second"],
        [
            [str(row["steps"]), str(row["batch"]), f"{row['windows_per_s']:,.1f}", f"{row['mpx_per_s']:,.2f}"]
            for row in result["pipeline"]
        ],
    )
    tiles = table(
        ["steps", "one tile in process", "Mpx per second"],
        [[str(row["steps"]), f"{row['seconds']:.2f} s", f"{row['mpx_per_s']:,.2f}"] for row in result["tile"]],
    )
    stack = table(
        ["steps", "windows", "whole stack", "tritonclient, one tile", "bare windows", "stack over bare"],
        [
            [
                str(row["steps"]),
                f"{row['windows']:,}",
                *(f"{row['mpx_per_s'][name]:,.2f} Mpx/s" for name in ("stack", "triton", "bare")),
                f"{row['stack_over_bare']:.2f}",
            ]
            for row in result["stack"]
        ],
    )
    agreement = table(
        ["steps", "pixels within 1 grey level", "mean", "most"],
        [
            [str(row["steps"]), f"{row['within_1_level']:.2%}", f"{row['mean_levels']:.3f}", str(row["most_levels"])]
            for row in result["agreement"]
        ],
    )
    scales = ", ".join(
        f"{row['scale']}: {row['first_s'] * 1000:,.0f} ms, then {row['second_s'] * 1000:,.0f}"
        for row in result["unseen_scales"]
    )
    memory = ", ".join(f"{name} {mib:,.0f}" for name, mib in result["memory_mib"].items())
    return f"""## On a GPU

{where(result)}
{device["name"]}, torch {device["torch"]}, CUDA {device["cuda"] or "none"}; the service: {_engine(result["engine"])}.
Large copies reach {rates["bytes_per_s"] / 1e9:,.0f} GB/s, matrix products in TFLOP/s: {products}.
Bare passes in {result["precision"]}:

{passes}
![Windows per second by batch](images/benchmarks-gpu.svg)

Whole windows with the diffusion loop on the device; a window adds 224² px to a large target:

{pipeline}
A tile of noise in one process, samples in and out:

{tiles}
A stream through SDK, gateway and Triton, and as many bare windows in batches of the service's, medians of rounds in
turn:

{stack}
A stream of {giga["megapixels"]:g} Mpx at 4 steps: {giga["wall_s"]:,.1f} s, {giga["mpx_per_s"]:,.2f} Mpx/s,
{giga["tiles"]:,} tiles, the first after {giga["first_tile_s"]:.2f} s; the GPU was busy {busy} from then on.

The first window at a scale that was not seen before, and the next: {scales}.

Against onnxruntime on the CPU in fp32, on a rendered scene:

{agreement}
The same bytes run to run: {_yes(result["same_run_to_run"])}; at every position in a batch:
{_yes(result["same_at_every_position"])}.

Memory in MiB: {memory}; allocated on the GPU by the bare networks: {result["memory_allocated_mib"]:,.0f}.
"""


def gateway(result: dict[str, Any]) -> str:
    """The gateway with a model that costs little."""
    rows = table(
        [
            *("scale", "streams", "gateway", "bare gRPC", "ratio", "messages per second"),
            *("processor time per GB", "of it the model", "bare gRPC's"),
        ],
        [
            [
                str(row["scale"]),
                str(row["streams"]),
                f"{row['gateway']['mb_per_s']:,.0f} MB/s",
                f"{row['bare']['mb_per_s']:,.0f} MB/s",
                f"{row['ratio']:.2f}",
                f"{row['gateway']['messages_per_s']:,.0f}",
                f"{row['gateway']['cpu_s_per_gb']:.2f} s",
                f"{row['model_cpu_s_per_gb']:.2f} s",
                f"{row['bare']['cpu_s_per_gb']:.2f} s",
            ]
            for row in result["rows"]
        ],
    )
    return f"""## The gateway alone

{where(result)}
Streams through the gateway in front of a model that lays its source side by side at the speed of memory, which is part
of the gateway's time here, beside a bare gRPC server that answers with the same messages; targets of
{result["megapixels"]} Mpx together, medians of {result["rounds"]} rounds in turn:

{rows}"""


def _cost(row: dict[str, Any]) -> list[str]:
    return [f"{row['seconds']:.2f} s", f"{row['s_per_mpx']:.2f} s"]


def _case(row: dict[str, Any]) -> list[str]:
    return [f"{row['megapixels']:g} Mpx", str(row["steps"])]


def _way(row: dict[str, Any]) -> str:
    threads = f", {row['threads']} threads" if row["threads"] else ""
    return f"batch {row['batch']}{threads}"


def _engine(engine: dict[str, Any]) -> str:
    at_once = f", {engine['at_once']} at once" if engine.get("at_once", 1) > 1 else ""
    return f"{engine['engine']}, {engine['precision']}, {engine['device']}, batch {engine['batch']}{at_once}"


def _yes(said: bool) -> str:  # noqa: FBT001 - what is told, not how
    return "yes" if said else "NO"
