"""What Triton needs of its host: models, instances and variables of the embedded one, and room in shared memory."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from hndsr_ensemble.choice import EngineChoiceError, Machine, choose, this_machine
from hndsr_ensemble.geometry import Axis
from hndsr_ensemble.manifest import Manifest, read_manifests
from hndsr_ensemble.serving import IN_PROCESS
from hndsr_gateway.errors import StartupError
from hndsr_gateway.planning import MAX_CORES_PER_TILE, MAX_SIDE_PX, tile_bytes
from hndsr_gateway.settings import Settings
from hndsr_gateway.triton.client import TILING_MODEL
from hndsr_gateway.triton.embedded import EmbeddedTritonOptions
from hndsr_gateway.triton.errors import enlarge_shared_memory
from hndsr_gateway.triton.region_pool import RegionPool
from hndsr_gateway.triton.requirements import SHARED_MEMORY, SharedMemoryNeeds, free_shared_memory_bytes

logger = logging.getLogger(__name__)

SPARE_REGIONS = 2
"""Regions for each tile that is worked on: those of cancelled tiles cannot be used until Triton lets go of them."""


class ModelRepositoryError(StartupError):
    """The folder of the models does not hold any."""

    def __init__(self, *, folder: Path) -> None:
        super().__init__(
            f"HNDSR_MODEL_REPOSITORY is {folder}, where no model has a manifest.json; name a folder like the one that "
            "is installed, or leave the setting empty"
        )


class UnknownModelError(StartupError):
    """A model is to be served that the repository does not have."""

    def __init__(self, *, names: list[str], served: list[str]) -> None:
        super().__init__(f"HNDSR_MODELS names {', '.join(names)}; the repository has {', '.join(served)}")


class UnknownDefaultModelError(StartupError):
    """The model of requests that name none is none that is served."""

    def __init__(self, *, name: str, served: list[str]) -> None:
        super().__init__(f"HNDSR_DEFAULT_MODEL is {name!r}; served are {', '.join(served)}")


class EngineUnavailableError(StartupError):
    """The engine, device or arithmetic that was asked for cannot be had here."""


def embedded_options(settings: Settings, machine: Machine | None = None) -> EmbeddedTritonOptions:
    """What the embedded Triton is started with on this machine.

    Raises:
        ModelRepositoryError: if the folder holds no models.
        UnknownModelError: if a model is to be served that the repository does not have.
        EngineUnavailableError: if nothing here runs the networks as it is asked for.
    """
    repository = settings.repository
    manifests = read_manifests(repository)
    _check_models(settings, manifests, repository)
    machine = machine or this_machine()
    called = _called([manifests[name] for name in settings.model_names or manifests], settings)
    needs = _needs(settings, manifests, instances=embedded_instances(settings, machine), other_models=len(called))
    return EmbeddedTritonOptions(
        model_repository=repository,
        models=(TILING_MODEL, *called),
        instance_groups=_instance_groups(settings) if _on_gpus(settings, machine) else {},
        environment={
            "HNDSR_ENGINE": settings.engine,
            "HNDSR_DEVICE": settings.device,
            "HNDSR_PRECISION": settings.precision,
            "HNDSR_NETWORKS": settings.networks,
            "HNDSR_WINDOW_BATCH": str(settings.window_batch),
            "HNDSR_INSTANCES_PER_GPU": str(settings.instances_per_gpu),
            "HNDSR_CPU_THREADS": str(settings.cpu_threads),
            "HNDSR_WINDOW_CACHE_MIB": str(settings.window_cache_mib),
            "HNDSR_MODELS": settings.models,
        },
        startup_timeout_s=settings.startup_timeout_s,
        required_shared_memory_bytes=needs.models_bytes,
        metrics_port=settings.triton_metrics_port,
    )


def embedded_instances(settings: Settings, machine: Machine | None = None) -> int:
    """Instances of the tiling model in the embedded Triton: as many tiles are worked on at once.

    Raises:
        EngineUnavailableError: as `embedded_options`.
    """
    machine = machine or this_machine()
    return machine.cuda_devices * settings.instances_per_gpu if _on_gpus(settings, machine) else 1


def region_pool(settings: Settings) -> RegionPool | None:
    """Regions of shared memory for the tiles of one gateway process; None where none are wanted, or there is no room.

    They take no more than is free beside what Triton needs, since tiles that find no room go by gRPC.
    """
    if settings.shared_memory == "off" or not SHARED_MEMORY.is_dir():
        return None
    instances = settings.tiles_at_once * max(1, len(settings.triton_addresses))
    needs = _needs(settings, read_manifests(settings.repository), instances=instances)
    free_bytes = max(0, free_shared_memory_bytes() - needs.models_bytes) // settings.processes
    if free_bytes < needs.regions_bytes:
        logger.info(
            "%s has %d bytes free beside what Triton needs, the largest tiles take %d: some may go by gRPC; %s",
            SHARED_MEMORY,
            free_bytes,
            needs.regions_bytes,
            enlarge_shared_memory(needs.total_bytes),
        )
    return RegionPool(max_regions=needs.regions, max_bytes=min(needs.regions_bytes, free_bytes))


def _needs(
    settings: Settings, manifests: Mapping[str, Manifest], *, instances: int, other_models: int = 0
) -> SharedMemoryNeeds:
    """What the largest tiles take that may be asked for, with so many instances and their regions."""
    largest_bytes = max(_largest_tile_bytes(manifest) for manifest in manifests.values())
    limit_bytes = min(settings.stream_bytes, settings.max_stream_bytes)
    regions = SPARE_REGIONS * instances if settings.shared_memory == "auto" else 0
    return SharedMemoryNeeds(
        min(largest_bytes, limit_bytes),
        instances=instances,
        model_processes=instances + other_models,
        regions=regions,
    )


def _largest_tile_bytes(manifest: Manifest) -> int:
    axis = Axis(MAX_SIDE_PX, manifest.min_scale, manifest.geometry)
    return tile_bytes((axis, axis), "uint16", MAX_CORES_PER_TILE)


def _check_models(settings: Settings, manifests: dict[str, Manifest], repository: Path) -> None:
    if not manifests:
        raise ModelRepositoryError(folder=repository)
    if "default_model" in settings.model_fields_set and settings.default_model not in manifests:
        raise UnknownDefaultModelError(name=settings.default_model, served=list(manifests))
    unknown = [name for name in settings.model_names if name not in manifests]
    if unknown:
        raise UnknownModelError(names=unknown, served=list(manifests))


def _on_gpus(settings: Settings, machine: Machine) -> bool:
    """Whether the tiling model itself runs on GPUs.

    Raises:
        EngineUnavailableError: as `embedded_options`.
    """
    try:
        choice = choose(settings.engine, settings.device, settings.precision, machine)
    except EngineChoiceError as error:
        raise EngineUnavailableError(str(error)) from error
    return choice.device == "cuda" and settings.networks == "fused"


def _called(served: Iterable[Manifest], settings: Settings) -> list[str]:
    """Triton models that the tiling model calls: those of window models that it cannot run in its own process."""
    fused = IN_PROCESS if settings.networks == "fused" else frozenset()
    called = [manifest for manifest in served if manifest.triton_model not in fused]
    return sorted({model for manifest in called for model in (manifest.triton_model, *manifest.requires)})


def _instance_groups(settings: Settings) -> dict[str, str]:
    """Instance groups on GPUs, where they differ from the models' own configurations.

    Source: Triton's model configuration, `ModelInstanceGroup`: without a list of GPUs, on each of them.
    """
    return {TILING_MODEL: f"{{ kind: KIND_GPU, count: {settings.instances_per_gpu} }}"}
