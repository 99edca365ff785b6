"""How much shared memory a gateway and its Triton need."""

from __future__ import annotations

from hndsr_gateway.triton.requirements import MODEL_PROCESS_BYTES, SharedMemoryNeeds

MIB = 2**20


def needs(**facts: int) -> SharedMemoryNeeds:
    return SharedMemoryNeeds(**{"tile_bytes": 100 * MIB, "instances": 1, "model_processes": 1, "regions": 0, **facts})


def test_models_need_a_tile_for_each_instance_and_something_for_each_process() -> None:
    assert needs(instances=2, model_processes=5).total_bytes == 200 * MIB + 5 * MODEL_PROCESS_BYTES


def test_regions_need_a_tile_each_and_the_step_that_their_parts_are_aligned_by() -> None:
    assert needs(regions=3).regions_bytes == 303 * MIB


def test_regions_need_whole_steps() -> None:
    assert needs(tile_bytes=MIB + 1, regions=1).regions_bytes == 3 * MIB


def test_total_holds_models_and_regions() -> None:
    assert needs(regions=3).total_bytes == needs().total_bytes + needs(regions=3).regions_bytes
