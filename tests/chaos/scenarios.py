"""All that is done to a gateway, by name."""

from __future__ import annotations

from typing import Final

from chaos import callers_at_fault, endings, shortages, surroundings, ways
from chaos.scenario import KILLED, NEVER, Scenario, simple

SCENARIOS: Final = (
    Scenario("kill_triton", "kill -9 of Triton", simple(endings.kill_triton)),
    Scenario("kill_model", "kill -9 of a model's process", simple(endings.kill_model)),
    Scenario("kill_guard", "kill -9 of Triton's parent, which clears up after it", simple(endings.kill_guard)),
    Scenario(
        "stop_triton",
        f"Triton stands still for {endings.STILL_S:g} s (SIGSTOP, SIGCONT; tile timeout 2 s)",
        simple(endings.stop_triton, HNDSR_TILE_TIMEOUT_S="2", HNDSR_HEALTH_TIMEOUT_S="2"),
    ),
    Scenario(
        "kill_gateway",
        "kill -9 of the gateway, which is started again",
        simple(endings.kill_gateway, endings=KILLED),
    ),
    Scenario(
        "restart_gateway",
        "SIGTERM to the gateway under load, which is started again",
        simple(endings.restart_gateway, endings=frozenset({0})),
    ),
    Scenario(
        "kill_process",
        "kill -9 of one of two processes that serve (HNDSR_PROCESSES=2)",
        simple(endings.kill_process, HNDSR_PROCESSES="2"),
    ),
    Scenario(
        "full_shared_memory",
        "/dev/shm is full for a while",  # noqa: S108 - no file
        shortages.full_shared_memory,
        missing=shortages.missing_mounts,
    ),
    Scenario(
        "full_disk",
        "no room on the disk of a caller that makes a file",
        simple(shortages.fill_disk, reasons=NEVER),
        missing=shortages.missing_mounts,
    ),
    Scenario(
        "slow_reader",
        f"a stream that is not read (HNDSR_STREAM_STALL_S={callers_at_fault.STALL_S:g})",
        simple(callers_at_fault.read_slowly, reasons=NEVER, HNDSR_STREAM_STALL_S=f"{callers_at_fault.STALL_S:g}"),
    ),
    Scenario(
        "half_open",
        f"{callers_at_fault.SILENT} connections that begin a call and fall silent, and as many that only connect "
        f"(HNDSR_RECEIVE_TIMEOUT_S={callers_at_fault.RECEIVE_S:g})",
        callers_at_fault.falling_silent,
    ),
    Scenario("cut_network", "connections that are slow and are cut, wholly or one way, by a proxy", ways.cutting),
    Scenario("turned_bits", "bits that turn on the way, by a proxy, without TLS", ways.turning),
    Scenario(
        "lost_packets",
        f"no packet comes back from the gateway's network namespace for {ways.VANISHED_S:g} s",
        ways.vanishing,
        missing=ways.missing_networks,
    ),
    Scenario(
        "clock_jump",
        "the wall clock of gateway and Triton jumps a day ahead, then two back, then to the right time (libfaketime)",
        surroundings.jumping_clock,
        missing=surroundings.missing_faketime,
    ),
    Scenario(
        "redis_gone",
        f"Redis hangs for {surroundings.HANGS_S:g} s, is killed, and is back {surroundings.GONE_S:g} s later",
        surroundings.redis_gone,
        missing=surroundings.missing_redis,
    ),
)
