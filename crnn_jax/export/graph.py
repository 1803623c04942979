"""An ONNX graph that is put together operation by operation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

OPSET, IR_VERSION = 17, 8
"""Of 2022: what ONNX Runtime 1.12 and all later ones read."""

DTYPES = {"uint8": 2, "int32": 6, "int64": 7, "float32": 1}
"""ONNX's numbers of them."""


class Graph:
    """Nodes so far, and constants by what they hold; what stands for an array is its name."""

    def __init__(self, outer: "Graph | None" = None) -> None:
        """Begin a graph, or the body of a loop in one, whose constants stand outside."""
        self.nodes: list[Any] = []
        self.constants: dict[tuple, tuple[str, np.ndarray]] = (
            {} if outer is None else outer.constants
        )
        self.prefix = "" if outer is None else f"body{len(outer.nodes)}."

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add an operation; returns its output, or its outputs where there are several."""
        names = [f"{self.prefix}{kind}{len(self.nodes)}.{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, dtype: str = "float32") -> str:
        """A constant array."""
        array = np.asarray(value, dtype)
        name, _ = self.constants.setdefault(
            (dtype, array.shape, array.tobytes()), (f"constant{len(self.constants)}", array)
        )
        return name

    def ints(self, *values: int) -> str:
        """A constant list of int64: what axes and shapes are given as."""
        return self.constant(values, "int64")

    def cast(self, array: str, dtype: str) -> str:
        """The array in another dtype."""
        return self.op("Cast", array, to=DTYPES[dtype])

    def reshape(self, array: str, *shape: int) -> str:
        """The array in another shape; 0 keeps a dimension, -1 is what remains."""
        return self.op("Reshape", array, self.ints(*shape))

    def places(self, array: str, axis: int) -> str:
        """The places along an axis of an array: int64 from 0 on."""
        shape = self.op("Shape", array)
        count = self.op("Squeeze", self.op("Gather", shape, self.ints(axis)))
        zero, one = self.constant(0, "int64"), self.constant(1, "int64")
        return self.op("Range", zero, count, one)

    def dense(self, array: str, weights: Any) -> str:
        """The product with a Flax layer's kernel, over the last axis, and its bias."""
        product = self.op("MatMul", array, self.constant(weights["kernel"]))
        bias = weights.get("bias")
        return product if bias is None else self.op("Add", product, self.constant(bias))

    def named(self, array: str, name: str) -> None:
        """Give an output its name."""
        self.nodes.append(helper.make_node("Identity", [array], [name]))

    def body(self, inputs: Sequence[str], outputs: Sequence[str]) -> Any:
        """The graph as the body of a loop over float32 arrays."""
        declared = [
            [helper.make_tensor_value_info(x, 1, None) for x in names]
            for names in (inputs, outputs)
        ]
        return helper.make_graph(self.nodes, "body", declared[0], declared[1])

    def model(
        self,
        inputs: Mapping[str, tuple[str, Sequence[int | str]]],
        outputs: Mapping[str, tuple[str, Sequence[int | str]]],
    ) -> bytes:
        """The whole as a file, checked.

        Args:
          inputs: dtype and shape of each; letters stand for any size.
          outputs: the same.
        """
        declared = [
            [
                helper.make_tensor_value_info(name, DTYPES[dtype], shape)
                for name, (dtype, shape) in arrays.items()
            ]
            for arrays in (inputs, outputs)
        ]
        constants = [numpy_helper.from_array(x, name) for name, x in self.constants.values()]
        graph = helper.make_graph(self.nodes, "crnn_jax", declared[0], declared[1], constants)
        model = helper.make_model(
            graph,
            producer_name="crnn_jax",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()
