"""Constants of a TensorFlow Lite file that operators compute: DENSIFY, and DEQUANTIZE of float16 and int8 weights."""

from dataclasses import replace

import numpy as np

from .tflite_file import FileOperator, FileTensor, TfliteFile

_OPERATORS = ("DENSIFY", "DEQUANTIZE")


def fold_constants(file: TfliteFile) -> TfliteFile:
    """The file with such constants in the place of the operators that compute them."""
    tensors, operators = list(file.tensors), []
    for op in file.operators:
        source = tensors[op.inputs[0]] if len(op.inputs) == 1 and op.inputs[0] >= 0 else None
        if op.operator in _OPERATORS and len(op.outputs) == 1 and source is not None and source.data is not None:
            result = tensors[op.outputs[0]]
            if result.data is None and result.shape == source.shape:
                tensors[op.outputs[0]] = replace(result, data=_values(op, source))
                continue
        operators.append(op)
    return replace(file, tensors=tensors, operators=operators)


def _values(op: FileOperator, source: FileTensor) -> np.ndarray:
    assert source.data is not None
    if op.operator == "DENSIFY":
        return source.data
    if not len(source.scales):
        return source.data.astype(np.float32)
    shape = [1] * source.data.ndim
    if len(source.scales) > 1:
        shape[source.axis] = len(source.scales)
    scales, zero_points = source.scales.reshape(shape), source.zero_points.reshape(shape)
    return ((source.data - zero_points) * scales).astype(np.float32)
