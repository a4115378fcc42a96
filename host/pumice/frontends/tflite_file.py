"""TensorFlow Lite files to plain records, every index, length and buffer checked; nothing is interpreted here.

Fields and enumerations are those of the schema, ``tensorflow/lite/schema/schema.fbs``, through the ``tflite`` package.
"""

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import tflite
from tflite.utils import BUILTIN_OPCODE2NAME

from ..errors import ModelError, UnsupportedModelError
from .tflite_sparse import densify

IDENTIFIER = b"TFL3"
MAX_RANK = 8  # of TensorFlow Lite's kernels
MAX_NAME = 1 << 16  # bytes; forged files can make many tensors share one huge name
MAX_ELEMENTS = 1 << 31  # of a tensor

DTYPES = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "INT8": "i1",
    "UINT8": "u1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "BOOL": "u1",
}
TYPE_NAMES = {code: name for name, code in vars(tflite.TensorType).items() if isinstance(code, int)}

# Options table of an operator and those of its fields that are read.
_CONVOLUTION = ("Padding", "StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "FusedActivationFunction")
_POOL = ("Padding", "StrideH", "StrideW", "FilterHeight", "FilterWidth", "FusedActivationFunction")
OPTIONS = {
    "CONV_2D": ("Conv2DOptions", _CONVOLUTION),
    "DEPTHWISE_CONV_2D": ("DepthwiseConv2DOptions", _CONVOLUTION),
    "FULLY_CONNECTED": ("FullyConnectedOptions", ("WeightsFormat", "FusedActivationFunction")),
    "AVERAGE_POOL_2D": ("Pool2DOptions", _POOL),
    "MAX_POOL_2D": ("Pool2DOptions", _POOL),
    "ADD": ("AddOptions", ("FusedActivationFunction",)),
    "SUB": ("SubOptions", ("FusedActivationFunction",)),
    "MUL": ("MulOptions", ("FusedActivationFunction",)),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", "FusedActivationFunction")),
    "STRIDED_SLICE": ("StridedSliceOptions", ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask")),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",)),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "RESIZE_BILINEAR": ("ResizeBilinearOptions", ("AlignCorners", "HalfPixelCenters")),
    "RESIZE_NEAREST_NEIGHBOR": ("ResizeNearestNeighborOptions", ("AlignCorners", "HalfPixelCenters")),
    "TRANSPOSE_CONV": ("TransposeConvOptions", ("Padding", "StrideH", "StrideW", "FusedActivationFunction")),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class FileTensor:
    """A tensor of the file.

    Attributes
    ----------
    name : str
        Unique in the file.
    shape : tuple of int
        A dimension that is not known before the network runs is -1.
    dtype : str
        As in the schema: ``INT8``.
    scales, zero_points : ndarray of float64, of int64
        Of equal length: 0 (not quantised), 1, or the size of ``axis``.
    data : ndarray or None
        The constant, read-only, in ``shape``; None for what the network computes and for unknown types.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: np.ndarray
    zero_points: np.ndarray
    axis: int
    data: np.ndarray | None


@dataclass(frozen=True, kw_only=True)
class FileOperator:
    """An operator: its name in the schema, tensor indices (an input of -1 is left out) and the fields of `OPTIONS`."""

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TfliteFile:
    """The one subgraph of a file; ``inputs`` and ``outputs`` are tensor indices."""

    tensors: list[FileTensor]
    operators: list[FileOperator]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read_tflite(data: bytes) -> TfliteFile:
    """Read a file's bytes, whatever they are.

    Raises
    ------
    ModelError
        The bytes are no TensorFlow Lite file, or a damaged one.
    UnsupportedModelError
        It has several subgraphs, or weights outside the flatbuffer.
    """
    if data[4:8] != IDENTIFIER:
        raise ModelError(f"no TensorFlow Lite file: bytes 4 to 7 must be {IDENTIFIER!r}, not {data[4:8]!r}")
    try:
        return _Reader(data).read()
    except (struct.error, IndexError, TypeError, ValueError, OverflowError) as error:  # flatbuffers checks no offset
        raise ModelError(f"the TensorFlow Lite file is damaged: an offset leaves the file ({error})") from error


class _Reader:
    def __init__(self, data: bytes):
        self.data = data
        self.model = tflite.Model.GetRootAs(data)

    def read(self) -> TfliteFile:
        model = self.model
        n_subgraphs = self._count(model.SubgraphsLength(), "subgraphs")
        subgraph = model.Subgraphs(0) if n_subgraphs == 1 else None
        if subgraph is None:
            raise UnsupportedModelError(
                f"the model has {n_subgraphs} subgraphs, where 1 is supported: convert it without control flow"
            )
        buffers = self._items(model.BuffersLength(), model.Buffers, self._buffer, "buffers")
        names: set[str] = set()
        tensors = self._items(
            subgraph.TensorsLength(), subgraph.Tensors, lambda i, t: self._tensor(i, t, buffers, names), "tensors"
        )
        codes = self._items(model.OperatorCodesLength(), model.OperatorCodes, self._code, "operator codes")
        operators = self._items(
            subgraph.OperatorsLength(),
            subgraph.Operators,
            lambda i, o: self._operator(i, o, codes, len(tensors)),
            "operators",
        )
        return TfliteFile(
            tensors=tensors,
            operators=operators,
            inputs=_indices(subgraph.InputsAsNumpy(), len(tensors), 0, "the network's inputs"),
            outputs=_indices(subgraph.OutputsAsNumpy(), len(tensors), 0, "the network's outputs"),
        )

    def _count(self, n: int, what: str) -> int:
        if 4 * n > len(self.data):  # each takes at least the four bytes of its offset
            raise ModelError(f"the TensorFlow Lite file is damaged: {n} {what} do not fit its {len(self.data)} bytes")
        return n

    def _items(self, n: int, get: Callable, convert: Callable, what: str) -> list:
        return [convert(i, get(i)) for i in range(self._count(n, what))]

    @staticmethod
    def _buffer(_: int, buffer: tflite.Buffer) -> np.ndarray:
        if buffer.Offset() > 1:
            raise UnsupportedModelError("weights behind the flatbuffer (models above 2 GiB) are not supported")
        return _array(buffer.DataAsNumpy(), np.uint8)

    @staticmethod
    def _code(_: int, code: tflite.OperatorCode) -> str:
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())  # codes below 127 may be in the old field only
        name = BUILTIN_OPCODE2NAME.get(number, f"operator {number}")
        return f"CUSTOM {_text(code.CustomCode())}".strip() if name == "CUSTOM" else name

    @staticmethod
    def _tensor(i: int, tensor: tflite.Tensor, buffers: list[np.ndarray], names: set[str]) -> FileTensor:
        name = _text(tensor.Name()) or f"tensor {i}"
        if name in names:
            name = f"{name} #{i}"
        names.add(name)
        dtype = TYPE_NAMES.get(tensor.Type(), f"type {tensor.Type()}")
        shape = _shape(name, tensor)
        scales, zero_points, axis = _quantisation(name, tensor, shape)
        if tensor.Buffer() >= len(buffers):
            raise ModelError(f"tensor {name}: buffer {tensor.Buffer()} does not exist, the file has {len(buffers)}")
        data, sparsity = buffers[tensor.Buffer()], tensor.Sparsity()
        constant = None
        if data.size and dtype in DTYPES:
            if sparsity is None:
                constant = _constant(name, data, dtype, shape)
            elif data.size % np.dtype(DTYPES[dtype]).itemsize == 0 and -1 not in shape:
                constant = densify(name, sparsity, data.view(DTYPES[dtype]), shape)
            else:
                raise ModelError(f"tensor {name}: {data.size} bytes of sparse {dtype} {shape}")
        return FileTensor(
            name=name,
            shape=shape,
            dtype=dtype,
            scales=scales,
            zero_points=zero_points,
            axis=axis,
            data=constant,
        )

    @staticmethod
    def _operator(i: int, operator: tflite.Operator, codes: list[str], n_tensors: int) -> FileOperator:
        if operator.OpcodeIndex() >= len(codes):
            raise ModelError(f"operator {i}: operator code {operator.OpcodeIndex()} does not exist")
        name = codes[operator.OpcodeIndex()]
        options = {}
        if name in OPTIONS:
            table, fields = OPTIONS[name]
            union = operator.BuiltinOptions()
            if union is None or operator.BuiltinOptionsType() != getattr(tflite.BuiltinOptions, table):
                raise ModelError(f"operator {i}: {name} needs options of type {table}")
            reader = getattr(tflite, table)()
            reader.Init(union.Bytes, union.Pos)
            options = {field: getattr(reader, field)() for field in fields}
        return FileOperator(
            operator=name,
            inputs=_indices(operator.InputsAsNumpy(), n_tensors, -1, f"the inputs of operator {i} ({name})"),
            outputs=_indices(operator.OutputsAsNumpy(), n_tensors, 0, f"the outputs of operator {i} ({name})"),
            options=options,
        )


def _array(values, dtype) -> np.ndarray:
    """A vector of the file, which the accessors return as 0 when it is absent."""
    return values if isinstance(values, np.ndarray) else np.empty(0, dtype)


def _text(value: bytes | None) -> str:
    if value is None:
        return ""
    if len(value) > MAX_NAME:
        raise ModelError(f"a name of {len(value)} bytes is longer than {MAX_NAME}")
    return value.decode("utf-8", "replace")


def _indices(values, n_tensors: int, lowest: int, what: str) -> tuple[int, ...]:
    indices = _array(values, np.int32)
    if indices.size and not lowest <= indices.min() <= indices.max() < n_tensors:
        raise ModelError(f"{what} name a tensor that does not exist: there are {n_tensors}")
    return tuple(indices.tolist())


def _shape(name: str, tensor: tflite.Tensor) -> tuple[int, ...]:
    """Shape, a dimension being -1 where the signature (which may have another batch) says that it is dynamic."""
    shape, signature = _array(tensor.ShapeAsNumpy(), np.int32), _array(tensor.ShapeSignatureAsNumpy(), np.int32)
    if len(shape) > MAX_RANK or len(signature) not in (0, len(shape)):
        raise ModelError(
            f"tensor {name}: a shape of {len(shape)} and a signature of {len(signature)} dimensions; "
            f"up to {MAX_RANK} are possible, and as many in both"
        )
    dimensions = shape.tolist()
    for i, size in enumerate(signature.tolist()):
        if size == -1 and i > 0:
            dimensions[i] = -1
    if min(dimensions, default=1) < -1 or math.prod(map(abs, dimensions)) >= MAX_ELEMENTS:
        raise ModelError(f"tensor {name}: impossible shape {tuple(shape.tolist())}")
    return tuple(dimensions)


def _quantisation(name: str, tensor: tflite.Tensor, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, int]:
    parameters = tensor.Quantization()
    scales = _array(parameters.ScaleAsNumpy() if parameters else 0, np.float32)
    if parameters is None or not scales.size:
        return np.empty(0), np.empty(0, np.int64), 0
    zero_points, axis = _array(parameters.ZeroPointAsNumpy(), np.int64), parameters.QuantizedDimension()
    if shape and not 0 <= axis < len(shape):
        raise ModelError(
            f"malformed: tensor {name} states quantized_dimension {axis}, which is not one of its {len(shape)} "
            "(0, 1, ...): export the network again"
        )
    if len(scales) != 1 and not (shape and len(scales) == shape[axis]):
        raise ModelError(f"tensor {name}: {len(scales)} scales for shape {shape}; there must be 1 or one a channel")
    if len(zero_points) == 0:
        zero_points = np.zeros(len(scales), np.int64)
    if len(zero_points) != len(scales):
        raise ModelError(f"tensor {name}: {len(scales)} scales but {len(zero_points)} zero points")
    with np.errstate(invalid="ignore"):  # a NaN is refused where the scale is used
        return scales.astype(np.float64), zero_points, axis


def _constant(name: str, data: np.ndarray, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if -1 in shape:
        raise ModelError(f"tensor {name}: a constant of dynamic shape {shape}")
    expected = math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize
    if data.size != expected:
        raise ModelError(f"tensor {name}: {dtype} {shape} takes {expected} bytes, but its buffer has {data.size}")
    return data.view(DTYPES[dtype]).reshape(shape)
