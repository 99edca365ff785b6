"""The model repository as Triton reads it: configurations by model, adapters as syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2
from tritonclient.utils import np_to_triton_dtype

from hndsr_ensemble.manifest import model_repository, read_manifests
from hndsr_gateway.triton.client import TILING_MODEL

REPOSITORY = model_repository()
MODELS = sorted(path.parent.name for path in REPOSITORY.glob("*/config.pbtxt"))
ADAPTERS = sorted(path.parts[-3] for path in REPOSITORY.glob("*/1/model.py"))
NETWORKS = sorted(path.parts[-3] for path in REPOSITORY.glob("*/1/model.onnx"))
ENSEMBLES = sorted(set(MODELS) - set(ADAPTERS))
MANIFESTS = read_manifests(REPOSITORY)
TILING = TILING_MODEL

Signature = dict[str, tuple[str, tuple[int, ...]]]
"""Data type and dimensions of tensors by name, −1 for any length."""


@cache
def config(model: str) -> Any:
    """A model's configuration as Triton reads it."""
    text = (REPOSITORY / model / "config.pbtxt").read_text(encoding="utf-8")
    return text_format.Parse(text, model_config_pb2.ModelConfig())


def signature(tensors: Any) -> Signature:
    """Inputs or outputs of a configuration, with the data types' names as on the wire."""
    names = {tensor.name: model_config_pb2.DataType.Name(tensor.data_type).removeprefix("TYPE_") for tensor in tensors}
    dtypes = {name: "BYTES" if dtype == "STRING" else dtype for name, dtype in names.items()}
    return {tensor.name: (dtypes[tensor.name], tuple(tensor.dims)) for tensor in tensors}


def inputs(model: str) -> Signature:
    return signature(config(model).input)


def outputs(model: str) -> Signature:
    return signature(config(model).output)


def misfits(arrays: Mapping[str, np.ndarray], declared: Signature) -> list[str]:
    """The arrays that a declaration does not allow."""
    return [
        f"{name}: {array.dtype} {array.shape} is not {declared.get(name)}"
        for name, array in arrays.items()
        if name not in declared
        or np_to_triton_dtype(array.dtype) != declared[name][0]
        or not fits(array.shape, declared[name][1])
    ]


def fits(shape: tuple[int, ...], dims: tuple[int, ...]) -> bool:
    return len(shape) == len(dims) and all(dim in {-1, length} for length, dim in zip(shape, dims, strict=True))


@cache
def source(model: str) -> str:
    return (REPOSITORY / model / "1" / "model.py").read_text(encoding="utf-8")


@cache
def tree(model: str) -> ast.Module:
    return ast.parse(source(model))


def strings(node: ast.AST) -> list[str]:
    """All strings below a node."""
    constants = (child for child in ast.walk(node) if isinstance(child, ast.Constant))
    return [constant.value for constant in constants if isinstance(constant.value, str)]


def declared_inputs(model: str) -> list[str]:
    """The adapter's constant INPUTS."""
    assigned = [node for node in tree(model).body if isinstance(node, ast.Assign)]
    return next(strings(node.value) for node in assigned if ast.unparse(node.targets[0]) == "INPUTS")


def calls(model: str, function: str) -> Iterator[ast.Call]:
    """The adapter's calls of one function of Triton's."""
    for node in ast.walk(tree(model)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"pb_utils.{function}":
            yield node


def made_tensors(model: str) -> set[str]:
    """The names that the adapter writes out where it makes tensors."""
    first = (call.args[0] for call in calls(model, "Tensor"))
    return {name.value for name in first if isinstance(name, ast.Constant)}


def called_models(model: str) -> set[str]:
    """The models that the adapter calls by name."""
    named = (keyword for call in calls(model, "InferenceRequest") for keyword in call.keywords)
    values = [keyword.value for keyword in named if keyword.arg == "model_name"]
    return {value.value for value in values if isinstance(value, ast.Constant)}


def steps(ensemble: str) -> list[Any]:
    return list(config(ensemble).ensemble_scheduling.step)


def behind(model: str) -> set[str]:
    """A model and all that it needs."""
    needed = called_models(model) if model in ADAPTERS else {step.model_name for step in steps(model)}
    return {model}.union(*(behind(one) for one in needed))
