"""Which engine runs the networks on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hndsr_ensemble.engines.onnx import OnnxEngine
from hndsr_ensemble.engines.protocol import Engine
from hndsr_ensemble.manifest import VERSION_FOLDER
from hndsr_ensemble.serving import ServingSettings


class EngineError(RuntimeError):
    """The engine that was asked for is none that can run here."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What runs the networks; replicas that differ in it have different revisions."""

    name: str
    precision: str
    device: str
    batch: int


def engine_class(settings: ServingSettings) -> type[OnnxEngine]:
    """The engine that the settings pick.

    Raises:
        EngineError: if there is none of this name, or not for this device or precision.
    """
    for variable, chosen, known in (
        ("HNDSR_ENGINE", settings.engine, "onnxruntime"),
        ("HNDSR_DEVICE", settings.device, "cpu"),
        ("HNDSR_PRECISION", settings.precision, "float32"),
    ):
        if chosen not in {"auto", known}:
            raise EngineError(f"{variable} is {chosen!r}, which no engine here offers; set it to 'auto' or {known!r}")
    return OnnxEngine


def engine_facts(settings: ServingSettings) -> EngineFacts:
    """Facts of the engine that the settings pick, without loading a network.

    Raises:
        EngineError: as `engine_class`.
    """
    engine = engine_class(settings)
    return EngineFacts(engine.name, engine.precision, engine.device, engine.batch)


def load_engine(repository: Path, network: str, settings: ServingSettings) -> Engine:
    """Load one network of a model repository.

    Raises:
        EngineError: as `engine_class`.
    """
    path = repository / network / VERSION_FOLDER / "model.onnx"
    return engine_class(settings)(path, threads=settings.cpu_threads)
