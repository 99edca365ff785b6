"""Where a network computes with places: bfloat16 has no room for a coordinate and its fraction."""

from __future__ import annotations

from dataclasses import dataclass

import openvino as ov
from openvino import opset13
from openvino.passes import ConstantFolding, Manager

ORIGIN = "origin"
"""The input that makes a network compute with coordinates."""

PLACES = frozenset({ORIGIN, "scale"})
"""Inputs whose consequences are computed apart, until they meet an image."""


@dataclass(frozen=True, slots=True)
class Split:
    """A network in two: `places` answers what `images` takes beside the images, by these names in this order."""

    places: ov.Model
    images: ov.Model
    names: tuple[str, ...]


def split(model: ov.Model) -> Split:
    """Cut a network of static shapes, which is consumed, where what depends on places alone meets an image."""
    folding = Manager()
    folding.register_pass(ConstantFolding())  # the sizes of images are no images any more
    folding.run_passes(model)
    meetings: dict[tuple[str, int], tuple[ov.Output, ov.Node]] = {}
    placed, seen = set[str](), set[str]()
    for node in model.get_ordered_ops():
        sources = [entry.get_source_output().get_node().get_friendly_name() for entry in node.inputs()]
        if node.get_type_name() == "Parameter":
            (placed if _input_name(node) in PLACES else seen).add(node.get_friendly_name())
        elif not seen.isdisjoint(sources):
            seen.add(node.get_friendly_name())
            _cut(node, placed, meetings)
        elif not placed.isdisjoint(sources):
            placed.add(node.get_friendly_name())
    outputs, parameters = [output for output, _ in meetings.values()], [node for _, node in meetings.values()]
    inputs = model.get_parameters()
    return Split(
        ov.Model(
            [opset13.result(output) for output in outputs], [node for node in inputs if _input_name(node) in PLACES]
        ),
        ov.Model(model.get_results(), [*(node for node in inputs if _input_name(node) not in PLACES), *parameters]),
        tuple(_input_name(node) for node in parameters),
    )


def _cut(node: ov.Node, placed: set[str], meetings: dict[tuple[str, int], tuple[ov.Output, ov.Node]]) -> None:
    """Have a node take what depends on places alone as an input of its network."""
    for entry in node.inputs():
        output = entry.get_source_output()
        key = (output.get_node().get_friendly_name(), output.get_index())
        if key[0] not in placed:
            continue
        if key not in meetings:
            parameter = opset13.parameter(list(output.get_shape()), output.get_element_type())
            parameter.output(0).get_tensor().set_names({f"place_{len(meetings)}"})
            meetings[key] = output, parameter
        entry.replace_source_output(meetings[key][1].output(0))


def _input_name(node: ov.Node) -> str:
    return str(node.get_output_tensor(0).get_any_name())
