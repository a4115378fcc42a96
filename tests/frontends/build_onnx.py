"""Builds ONNX files by hand, for tests: a method adds a node and returns the name of what it makes."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 19
IR_VERSION = 9


class OnnxBuilder:
    """One network with one input and one output, both of unknown type for the latter."""

    def __init__(self, *shape: int | str, dtype: int = TensorProto.FLOAT):
        self.input = "x"
        self.nodes, self.constants = [], []
        self._inputs = [helper.make_tensor_value_info("x", dtype, shape)]

    def constant(self, values) -> str:
        """An initializer; floats are float32."""
        values = np.asarray(values)
        values = values.astype(np.float32) if values.dtype == np.float64 else values
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(values.copy(), name))
        return name

    def node(self, operator: str, *inputs, domain: str = "", **attributes) -> str:
        """A node; inputs that are no names become constants."""
        names = [value if isinstance(value, str) else self.constant(value) for value in inputs]
        output = f"{operator.lower()}{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, names, [output], domain=domain, **attributes))
        return output

    def finish(self, *outputs: str) -> bytes:
        """The file."""
        values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
        graph = helper.make_graph(self.nodes, "network", self._inputs, values, self.constants)
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return model.SerializeToString()

    def quantised(self, x: str, scale: float, zero_point: int, dtype=np.int8) -> str:
        """QuantizeLinear and DequantizeLinear behind ``x``."""
        parameters = np.float32(scale), np.array(zero_point, dtype)
        return self.node("DequantizeLinear", self.node("QuantizeLinear", x, *parameters), *parameters)


def evaluate(data: bytes, x: np.ndarray) -> np.ndarray:
    """The output by ONNX's own reference implementation."""
    from onnx.reference import ReferenceEvaluator

    (output,) = ReferenceEvaluator(onnx.ModelProto.FromString(data)).run(None, {"x": x})
    return output
