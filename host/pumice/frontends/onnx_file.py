"""ONNX files to plain records; nothing is interpreted here.

Field and operator names are those of the ONNX specification, https://onnx.ai/onnx/operators/.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ModelError, PumiceError, UnsupportedModelError

DOMAINS = ("", "ai.onnx", "com.microsoft")
MAX_RANK = 8
MALFORMED = (ValueError, TypeError, KeyError, IndexError, OverflowError, MemoryError)
"""What numpy and the onnx package raise on values that do not fit each other."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Node:
    """An operator; an input of "" is left out."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def name(self) -> str:
        """What the layer is called: its first output."""
        return self.outputs[0] if self.outputs else "without output"


@dataclass(frozen=True, kw_only=True, eq=False)
class OnnxFile:
    """The main graph; ``inputs`` are name and shape of those without a value, an unknown dimension being -1."""

    nodes: list[Node]
    constants: dict[str, np.ndarray]
    inputs: list[tuple[str, tuple[int, ...]]]
    outputs: list[str]


def read_onnx(data: bytes) -> OnnxFile:
    """Read a file's bytes, whatever they are.

    Raises
    ------
    PumiceError
        The onnx package is not installed.
    ModelError
        The bytes are no ONNX file, or a damaged one.
    UnsupportedModelError
        Weights are in another file.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError:
        raise PumiceError("ONNX files are read with the onnx package: pip install 'pumice[onnx]'") from None
    try:
        model = onnx.ModelProto.FromString(data)
        if not model.HasField("graph") or not model.graph.node:
            raise ModelError("no ONNX file: it has no graph")
        return _read(model.graph)
    except (DecodeError, *MALFORMED) as error:
        raise ModelError(f"the ONNX file is damaged: {error}") from error


def _read(graph) -> OnnxFile:
    constants = {tensor.name: _array(tensor) for tensor in graph.initializer}
    if graph.sparse_initializer:
        raise UnsupportedModelError("sparse initializers are not supported: store the weights dense, zeros are found")
    inputs = [(value.name, _shape(value)) for value in graph.input if value.name not in constants]
    return OnnxFile(
        nodes=[_node(node) for node in graph.node],
        constants=constants,
        inputs=inputs,
        outputs=[value.name for value in graph.output],
    )


def _node(node) -> Node:
    operator = node.op_type if node.domain in DOMAINS else f"{node.domain}.{node.op_type}"
    attributes = {attribute.name: _attribute(attribute) for attribute in node.attribute}
    return Node(operator=operator, inputs=tuple(node.input), outputs=tuple(node.output), attributes=attributes)


def _attribute(attribute) -> Any:
    import onnx

    if attribute.type == onnx.AttributeProto.TENSOR:
        return _array(attribute.t)
    value = onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return list(value) if attribute.type in (onnx.AttributeProto.INTS, onnx.AttributeProto.FLOATS) else value


def _array(tensor) -> np.ndarray:
    import onnx

    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.external_data:
        raise UnsupportedModelError(f"tensor {tensor.name} lies in another file: save the model as a single file")
    if len(tensor.dims) > MAX_RANK or any(n < 0 for n in tensor.dims):
        raise ModelError(f"tensor {tensor.name} has impossible dimensions {list(tensor.dims)}")
    values = onnx.numpy_helper.to_array(tensor)
    if values.dtype.kind not in "fiub":
        raise ModelError(f"tensor {tensor.name} holds {values.dtype}, where numbers are expected")
    return values


def _shape(value) -> tuple[int, ...]:
    dimensions = value.type.tensor_type.shape.dim
    return tuple(d.dim_value if d.HasField("dim_value") and d.dim_value > 0 else -1 for d in dimensions)
