"""An ONNX graph under construction, written as the arithmetic it computes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Union

import numpy as np
import onnx
from jaxtyping import Shaped
from onnx import TensorProto, helper, numpy_helper

from hndsr_ensemble.export.stored import external_tensor, read_index

OPSET: Final = 17
"""Old enough for every runtime in use, new enough for all that the networks need."""
IR_VERSION: Final = 8

Operand = Union["Value", np.ndarray, float, int, Sequence[int], None]
"""What a node reads: a value, a constant (floats are fp32, integers int64), or None for an optional input left out."""


@dataclass(frozen=True, eq=False)
class Value:
    """A named tensor of `graph`: an input, a weight, a constant or the output of a node."""

    graph: "Graph"
    name: str

    def __add__(self, other: Operand) -> "Value":
        return self.graph.node("Add", self, other)

    def __sub__(self, other: Operand) -> "Value":
        return self.graph.node("Sub", self, other)

    def __mul__(self, other: Operand) -> "Value":
        return self.graph.node("Mul", self, other)

    def __truediv__(self, other: Operand) -> "Value":
        return self.graph.node("Div", self, other)

    def __matmul__(self, other: Operand) -> "Value":
        return self.graph.node("MatMul", self, other)

    def __neg__(self) -> "Value":
        return self.graph.node("Neg", self)

    def as_float(self) -> "Value":
        """The same numbers in fp32."""
        return self.graph.node("Cast", self, to=TensorProto.FLOAT)

    def reshape(self, *shape: int) -> "Value":
        """The same elements in another shape; -1 is what is left over, 0 the size this axis has."""
        return self.graph.node("Reshape", self, shape)

    def transpose(self, *axes: int) -> "Value":
        """The axes in another order."""
        return self.graph.node("Transpose", self, perm=axes)

    def size(self, axis: int) -> "Value":
        """The length of one axis, an int64 scalar known when the graph runs."""
        return self.graph.node("Gather", self.graph.node("Shape", self), axis)

    def chunk(self, axis: int) -> tuple["Value", "Value"]:
        """The two halves along one axis."""
        return self.graph.halves(self, axis)


class Graph:
    """Collects nodes, constants and references into one weights file; makes the ONNX model of them.

    Names are numbered in order of creation, so equal constructions give equal bytes.
    """

    def __init__(self, name: str, weights: Path) -> None:
        self._name = name
        self._location = weights.name
        self._index = read_index(weights)
        self._inputs: list[onnx.ValueInfoProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], Value] = {}
        self._weights: dict[str, Value] = {}
        self._nodes: list[onnx.NodeProto] = []

    def input(self, name: str, *shape: int | str) -> Value:
        """A new fp32 input; axes given by name are dynamic."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return Value(self, name)

    def weight_shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor of the weights file."""
        return self._index[name].shape

    def weight(self, name: str) -> Value:
        """A tensor of the weights file, read as stored and computed with in fp32."""
        if name not in self._weights:
            stored = self._index[name]
            self._initializers[name] = external_tensor(name, stored, self._location)
            value = Value(self, name)
            self._weights[name] = value if stored.dtype == TensorProto.FLOAT else value.as_float()
        return self._weights[name]

    def constant(self, array: Shaped[np.ndarray, "..."]) -> Value:
        """A constant stored in the graph itself, once however often it is asked for."""
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self._initializers[name] = numpy_helper.from_array(array, name)
            self._constants[key] = Value(self, name)
        return self._constants[key]

    def node(self, operator: str, *operands: Operand, **attributes: Any) -> Value:
        """The output of one operator of the standard domain."""
        name = f"{operator}_{len(self._nodes)}"
        self._append(operator, operands, [name], attributes)
        return Value(self, name)

    def halves(self, x: Value, axis: int) -> tuple[Value, Value]:
        """The two outputs of `Split`."""
        first, second = (f"Split_{len(self._nodes)}_{half}" for half in range(2))
        self._append("Split", [x], [first, second], {"axis": axis})
        return Value(self, first), Value(self, second)

    def concat(self, *values: Value, axis: int) -> Value:
        """The values one after another along `axis`."""
        return self.node("Concat", *values, axis=axis)

    def model(self, output: Value, name: str, *shape: int | str) -> onnx.ModelProto:
        """The finished model, whose only output is `output` under the given name."""
        self._append("Identity", [output], [name], {})
        graph = helper.make_graph(
            self._nodes,
            self._name,
            self._inputs,
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)],
            initializer=list(self._initializers.values()),
        )
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION, producer_name="hndsr")

    def _append(
        self, operator: str, operands: Sequence[Operand], outputs: list[str], attributes: dict[str, Any]
    ) -> None:
        inputs = [self._operand_name(operand) for operand in operands]
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=outputs[0], **attributes))

    def _operand_name(self, operand: Operand) -> str:
        if operand is None:
            return ""
        if isinstance(operand, Value):
            return operand.name
        dtype = np.float32 if isinstance(operand, float) else np.int64
        return self.constant(operand if isinstance(operand, np.ndarray) else np.array(operand, dtype)).name
