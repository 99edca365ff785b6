"""Engines run one network each; which one is chosen when a model loads, and only that one is imported."""

from hndsr_ensemble.engines.protocol import Engine
from hndsr_ensemble.engines.select import engine_choice, engine_facts, load_engine

__all__ = ["Engine", "engine_choice", "engine_facts", "load_engine"]
