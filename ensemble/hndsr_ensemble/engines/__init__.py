"""Engines run one network each; which one is chosen when a model loads."""

from hndsr_ensemble.engines.onnx import OnnxEngine
from hndsr_ensemble.engines.protocol import Engine
from hndsr_ensemble.engines.select import EngineError, EngineFacts, engine_facts, load_engine

__all__ = ["Engine", "EngineError", "EngineFacts", "OnnxEngine", "engine_facts", "load_engine"]
