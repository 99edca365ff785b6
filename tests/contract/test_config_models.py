"""config.pbtxt, adapters, networks and ensembles agree on every tensor."""

from __future__ import annotations

import ast
import sys
from functools import cache
from typing import Any

import onnxruntime
import pytest
from model_configs import (
    ADAPTERS,
    ENSEMBLES,
    MANIFESTS,
    MODELS,
    NETWORKS,
    REPOSITORY,
    TILING,
    Signature,
    called_models,
    calls,
    config,
    declared_inputs,
    inputs,
    made_tensors,
    outputs,
    source,
    steps,
    strings,
    tree,
)

from hndsr_gateway.settings import Settings

ADAPTER_LINES = 60
PATH_STATEMENT = "sys.path[:0] = filter(None, os.environ.get('HNDSR_SITE_PACKAGES', '').split(os.pathsep))"
ALLOWED = {"hndsr_ensemble", "numpy", "triton_python_backend_utils", *sys.stdlib_module_names}


@pytest.mark.parametrize("model", MODELS)
def test_config_is_named_after_its_folder(model: str) -> None:
    assert config(model).name == model


@pytest.mark.parametrize("model", MODELS)
def test_config_makes_no_batches(model: str) -> None:
    batching = [field.name for field, _ in config(model).ListFields() if "batch" in field.name]
    assert (config(model).max_batch_size, batching) == (0, [])


@pytest.mark.parametrize("model", ADAPTERS)
def test_config_of_an_adapter_names_the_python_backend(model: str) -> None:
    assert config(model).backend == "python"


@pytest.mark.parametrize("model", ENSEMBLES)
def test_config_without_an_adapter_is_an_ensemble(model: str) -> None:
    assert config(model).platform == "ensemble"


def test_config_exists_for_every_manifest() -> None:
    assert {manifest.triton_model for manifest in MANIFESTS.values()} <= set(MODELS)


def test_config_of_the_tiling_model_has_as_many_instances_as_the_gateway_sends_tiles() -> None:
    instances = sum(group.count for group in config(TILING).instance_group)
    assert instances == Settings().tiles_at_once


@pytest.mark.parametrize("model", ADAPTERS)
def test_adapter_reads_the_inputs_of_its_config(model: str) -> None:
    assert declared_inputs(model) == list(inputs(model))


@pytest.mark.parametrize("model", sorted(set(ADAPTERS) - {TILING}))
def test_adapter_makes_the_outputs_of_its_config(model: str) -> None:
    assert set(outputs(model)) <= made_tensors(model)


@pytest.mark.parametrize("model", ADAPTERS)
def test_adapter_makes_no_other_tensors_but_for_the_models_it_calls(model: str) -> None:
    passed_on = {name for called in called_models(model) for name in inputs(called)}
    assert made_tensors(model) <= {*outputs(model), *passed_on}


@pytest.mark.parametrize("model", [model for model in ADAPTERS if called_models(model)])
def test_adapter_gives_the_models_it_calls_all_their_inputs(model: str) -> None:
    wanted = {name for called in called_models(model) for name in inputs(called)}
    assert wanted <= set(strings(tree(model)))


@pytest.mark.parametrize("model", ADAPTERS)
def test_adapter_asks_the_models_it_calls_for_outputs_that_they_have(model: str) -> None:
    called = called_models(model) or {manifest.triton_model for manifest in MANIFESTS.values()}
    requested = [
        name
        for call in calls(model, "InferenceRequest")
        for keyword in call.keywords
        if keyword.arg == "requested_output_names"
        for name in strings(keyword.value)
    ]
    assert [name for name in requested for one in called if name not in outputs(one)] == []


@pytest.mark.parametrize("model", ADAPTERS)
def test_adapter_is_thin(model: str) -> None:
    assert len(source(model).splitlines()) <= ADAPTER_LINES


@pytest.mark.parametrize("model", ADAPTERS)
def test_adapter_makes_our_packages_importable_before_all_else(model: str) -> None:
    first = [ast.unparse(node) for node in tree(model).body[1:4]]
    assert first == ["import os", "import sys", PATH_STATEMENT]


@pytest.mark.parametrize("model", ADAPTERS)
def test_adapter_imports_our_science_and_nothing_else_of_ours(model: str) -> None:
    imports = [node for node in ast.walk(tree(model)) if isinstance(node, ast.Import)]
    names = [alias.name for node in imports for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree(model)) if isinstance(node, ast.ImportFrom)]
    assert {name.partition(".")[0] for name in names} <= ALLOWED


@cache
def network(model: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(REPOSITORY / model / "1" / "model.onnx", providers=["CPUExecutionProvider"])


def network_signature(arguments: Any) -> dict[str, tuple[str, int]]:
    """Data type and rank by name."""
    return {one.name: (one.type, len(one.shape)) for one in arguments}


def expected_of(declared: Signature) -> dict[str, tuple[str, int]]:
    assert {dtype for dtype, _ in declared.values()} == {"FP32"}
    return {name.lower(): ("tensor(float)", len(dims)) for name, (_, dims) in declared.items()}


@pytest.mark.parametrize("model", NETWORKS)
def test_network_takes_the_inputs_of_its_config(model: str) -> None:
    assert network_signature(network(model).get_inputs()) == expected_of(inputs(model))


@pytest.mark.parametrize("model", NETWORKS)
def test_network_makes_the_outputs_of_its_config(model: str) -> None:
    assert network_signature(network(model).get_outputs()) == expected_of(outputs(model))


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_ensemble_gives_every_step_exactly_its_inputs(ensemble: str) -> None:
    assert [set(step.input_map) for step in steps(ensemble)] == [
        set(inputs(step.model_name)) for step in steps(ensemble)
    ]


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_ensemble_takes_outputs_that_its_steps_have(ensemble: str) -> None:
    assert [
        step.model_name for step in steps(ensemble) if not set(step.output_map) <= set(outputs(step.model_name))
    ] == []


def misused(ensemble: str) -> list[str]:
    """Inputs of steps whose tensor does not exist yet, or is of another type or shape."""
    known, wrong = inputs(ensemble), []
    for step in steps(ensemble):
        wanted, made = inputs(step.model_name), outputs(step.model_name)
        wrong += [f"{step.model_name}.{key}" for key, name in step.input_map.items() if known.get(name) != wanted[key]]
        known |= {name: made[key] for key, name in step.output_map.items()}
    wrong += [name for name, declared in outputs(ensemble).items() if known.get(name) != declared]
    return wrong


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_ensemble_hands_tensors_on_in_the_type_and_shape_that_is_wanted(ensemble: str) -> None:
    assert misused(ensemble) == []


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_ensemble_uses_all_its_inputs(ensemble: str) -> None:
    assert {name for step in steps(ensemble) for name in step.input_map.values()} >= set(inputs(ensemble))
