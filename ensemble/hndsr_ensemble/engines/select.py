"""Which engine runs the networks on this machine."""

from __future__ import annotations

from pathlib import Path

from hndsr_ensemble.choice import EngineChoice, EngineFacts, choose, this_machine
from hndsr_ensemble.engines.protocol import Engine
from hndsr_ensemble.manifest import VERSION_FOLDER
from hndsr_ensemble.serving import ServingSettings

SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
"""What revisions call an arithmetic."""


def engine_choice(settings: ServingSettings) -> EngineChoice:
    """The engine that the settings pick on this machine.

    Raises:
        EngineChoiceError: if none can be had.
    """
    return choose(settings.engine, settings.device, settings.precision, this_machine())


def engine_facts(settings: ServingSettings) -> EngineFacts:
    """Facts of the engine that `load_engine` loads, without loading a network.

    Raises:
        EngineChoiceError: if none can be had.
    """
    choice = engine_choice(settings)
    precision = SHORT[choice.precision]
    if choice.engine == "openvino":
        from hndsr_ensemble.engines.openvino import OpenVinoEngine  # noqa: PLC0415 - the one that is chosen

        return EngineFacts(OpenVinoEngine.name, precision, OpenVinoEngine.device, OpenVinoEngine.batch)
    if choice.engine == "torch":
        from hndsr_ensemble.engines.torch.device import engine_name, open_device  # noqa: PLC0415
        from hndsr_ensemble.engines.torch.network import BATCHES  # noqa: PLC0415

        name = engine_name(open_device(choice.device), compiled=False)
        return EngineFacts(name, precision, choice.device, BATCHES[choice.device])
    from hndsr_ensemble.engines.onnx import OnnxEngine  # noqa: PLC0415

    return EngineFacts(OnnxEngine.name, precision, OnnxEngine.device, OnnxEngine.batch)


def load_engine(repository: Path, network: str, settings: ServingSettings, *, streams: int = 1) -> Engine:
    """Load one network of a model repository.

    Args:
        repository: the Triton model repository.
        network: `fno`, `unet` or `decoder`.
        settings: which engine, and how many cores it may use.
        streams: windows at once, each on its share of them; for an engine on a GPU, one.

    Raises:
        EngineChoiceError: if there is no such engine here.
    """
    choice, threads = engine_choice(settings), settings.cpu_threads
    folder = repository / network / VERSION_FOLDER
    if choice.engine == "openvino":
        from hndsr_ensemble.engines.openvino import OpenVinoEngine  # noqa: PLC0415

        return OpenVinoEngine(folder / "model.onnx", precision=choice.precision, threads=threads, streams=streams)
    if choice.engine == "torch":
        from hndsr_ensemble.engines.torch.network import TorchEngine  # noqa: PLC0415

        return TorchEngine(folder, network, choice, threads=threads)
    from hndsr_ensemble.engines.onnx import OnnxEngine  # noqa: PLC0415

    return OnnxEngine(folder / "model.onnx", threads=threads, streams=streams)
