"""Builds int8 TensorFlow Lite files by hand, for tests: a method adds a layer and returns the tensor that it makes.

net = TfliteBuilder()
x = net.input((1, 8, 8, 3), scale=0.1, zero_point=-3)
x = net.conv(x, weights, bias, weight_scales=0.02, scale=0.2, zero_point=5, stride=(2, 2), activation="RELU")
data = net.finish(net.softmax(x))
"""

import math
from dataclasses import dataclass

import flatbuffers
import numpy as np
import tflite

SCHEMA_VERSION = 3
IDENTIFIER = b"TFL3"
SOFTMAX_SCALE, SOFTMAX_ZERO_POINT = 1 / 256, -128  # required by TensorFlow Lite


@dataclass(frozen=True)
class Made:
    """A tensor of the file."""

    index: int
    shape: tuple[int, ...]
    scale: float | None
    zero_point: int


class TfliteBuilder:
    """One file with one network. Shapes include the batch; ``padding`` and ``activation`` have the schema's names."""

    def __init__(self):
        self._b = flatbuffers.Builder(4096)
        self._buffers = [self._table("Buffer")]  # the schema's empty buffer, for what is not constant
        self._tensors, self._operators, self._inputs = [], [], []
        self._codes: dict[tuple[str, str], int] = {}

    # Layers

    def input(self, shape, *, scale=None, zero_point=0, dtype="INT8", name="input") -> Made:
        """An input of the network."""
        made = self.tensor(name, shape, scale=scale, zero_point=zero_point, dtype=dtype)
        self._inputs.append(made.index)
        return made

    def conv(self, x, weights, bias=None, *, dilation=(1, 1), stride=(1, 1), padding="SAME", **quantisation) -> Made:
        """CONV_2D; weights (out, height, width, in); see `_weighted` for ``quantisation``."""
        shape = (1, *_slide(x.shape[1:3], weights.shape[1:3], stride, dilation, padding), weights.shape[0])
        options = _sliding(stride, padding, dilation)
        return self._weighted("CONV_2D", "Conv2DOptions", options, x, weights, 0, bias, shape, **quantisation)

    def depthwise(
        self, x, weights, bias=None, *, dilation=(1, 1), stride=(1, 1), padding="SAME", **quantisation
    ) -> Made:
        """DEPTHWISE_CONV_2D; weights (1, height, width, in * multiplier)."""
        shape = (1, *_slide(x.shape[1:3], weights.shape[1:3], stride, dilation, padding), weights.shape[3])
        options = _sliding(stride, padding, dilation) | {"DepthMultiplier": weights.shape[3] // x.shape[3]}
        table = "DepthwiseConv2DOptions"
        return self._weighted("DEPTHWISE_CONV_2D", table, options, x, weights, 3, bias, shape, **quantisation)

    def fully_connected(self, x, weights, bias=None, *, keep_dims=False, **quantisation) -> Made:
        """FULLY_CONNECTED; weights (out, in)."""
        shape = (*x.shape[:-1], len(weights)) if keep_dims else (math.prod(x.shape) // weights.shape[1], len(weights))
        options = {"KeepNumDims": keep_dims}
        return self._weighted(
            "FULLY_CONNECTED", "FullyConnectedOptions", options, x, weights, 0, bias, shape, **quantisation
        )

    def _weighted(
        self, operator, table, options, x, weights, axis, bias, shape, *, weight_scales, scale, zero_point=0,
        activation="NONE", weight_zero_point=0, name="",
    ) -> Made:  # fmt: skip
        """``weight_scales``: one, or one for each output; ``scale``, ``zero_point``: of the result; ``bias``: int32."""
        weight_scales = np.atleast_1d(weight_scales)
        w = self.constant(weights, scale=weight_scales, axis=axis, zero_point=weight_zero_point)
        inputs = [x, w]
        if bias is not None:
            inputs.append(self.constant(np.asarray(bias, np.int32), scale=x.scale * weight_scales))
        options = options | {"FusedActivationFunction": _activation(activation)}
        return self.operator(
            operator, inputs, shape, options_table=table, options=options, scale=scale, zero_point=zero_point, name=name
        )

    def average_pool(self, x, kernel, *, stride=None, padding="VALID", **result) -> Made:
        """AVERAGE_POOL_2D; the stride is the kernel unless given."""
        return self._pool("AVERAGE_POOL_2D", x, kernel, stride or kernel, padding, **result)

    def max_pool(self, x, kernel, *, stride=None, padding="VALID", **result) -> Made:
        """MAX_POOL_2D; the stride is the kernel unless given."""
        return self._pool("MAX_POOL_2D", x, kernel, stride or kernel, padding, **result)

    def _pool(self, operator, x, kernel, stride, padding, *, activation="NONE", name="") -> Made:
        shape = (1, *_slide(x.shape[1:3], kernel, stride, (1, 1), padding), x.shape[3])
        options = _sliding(stride, padding) | {"FilterHeight": kernel[0], "FilterWidth": kernel[1]}
        options |= {"FusedActivationFunction": _activation(activation)}
        return self.operator(operator, [x], shape, options_table="Pool2DOptions", options=options, like=x, name=name)

    def mean(self, x, axes=(1, 2), *, keep_dims=False, scale=None, zero_point=0, name="") -> Made:
        """MEAN; same scale and zero point as the input unless given."""
        shape = tuple(1 if i in axes else n for i, n in enumerate(x.shape) if keep_dims or i not in axes)
        options = {"options_table": "ReducerOptions", "options": {"KeepDims": keep_dims}, "name": name}
        inputs = [x, self.constant(np.array(axes, np.int32))]
        if scale is None:
            return self.operator("MEAN", inputs, shape, like=x, **options)
        return self.operator("MEAN", inputs, shape, scale=scale, zero_point=zero_point, **options)

    def add(self, a, b, *, scale, zero_point=0, activation="NONE", name="") -> Made:
        """ADD of two tensors."""
        options = {"FusedActivationFunction": _activation(activation)}
        shape = np.broadcast_shapes(a.shape, b.shape)
        return self.operator(
            "ADD",
            [a, b],
            shape,
            options_table="AddOptions",
            options=options,
            scale=scale,
            zero_point=zero_point,
            name=name,
        )

    def softmax(self, x, *, beta=1.0, name="") -> Made:
        """SOFTMAX."""
        quantisation = {"scale": SOFTMAX_SCALE, "zero_point": SOFTMAX_ZERO_POINT}
        return self.operator(
            "SOFTMAX", [x], x.shape, options_table="SoftmaxOptions", options={"Beta": beta}, name=name, **quantisation
        )

    def reshape(self, x, shape, *, name="") -> Made:
        """RESHAPE."""
        return self.operator("RESHAPE", [x, self.constant(np.array(shape, np.int32))], shape, like=x, name=name)

    def pad(self, x, amounts, *, name="") -> Made:
        """PAD; ``amounts`` is ((before, after), ...) for each dimension."""
        shape = tuple(n + sum(amount) for n, amount in zip(x.shape, amounts, strict=True))
        return self.operator("PAD", [x, self.constant(np.array(amounts, np.int32))], shape, like=x, name=name)

    def quantize(self, x, *, scale, zero_point=0, name="") -> Made:
        """QUANTIZE to int8."""
        return self.operator("QUANTIZE", [x], x.shape, scale=scale, zero_point=zero_point, name=name)

    def dequantize(self, x, *, name="") -> Made:
        """DEQUANTIZE to float32."""
        return self.operator("DEQUANTIZE", [x], x.shape, dtype="FLOAT32", name=name)

    # What layers are made of

    def tensor(self, name, shape, *, scale=None, zero_point=0, dtype="INT8", data=None, axis=0, signature=None) -> Made:
        """Any tensor; ``scale`` may be an array, one for each index of ``axis``; ``data`` makes it a constant."""
        quantisation = None
        if scale is not None:
            scales = np.atleast_1d(np.asarray(scale, np.float32))
            quantisation = self._table(
                "QuantizationParameters",
                Scale=self._b.CreateNumpyVector(scales),
                ZeroPoint=self._b.CreateNumpyVector(np.full(len(scales), zero_point, np.int64)),
                QuantizedDimension=axis,
            )
        buffer = 0
        if data is not None:
            buffer = len(self._buffers)
            raw = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
            self._buffers.append(self._table("Buffer", Data=self._b.CreateNumpyVector(raw)))
        fields = {
            "Name": self._b.CreateString(name),
            "Shape": self._b.CreateNumpyVector(np.array(shape, np.int32)),
            "Type": getattr(tflite.TensorType, dtype),
            "Buffer": buffer,
        }
        if quantisation is not None:
            fields["Quantization"] = quantisation
        if signature is not None:
            fields["ShapeSignature"] = self._b.CreateNumpyVector(np.array(signature, np.int32))
        self._tensors.append(self._table("Tensor", **fields))
        return Made(len(self._tensors) - 1, tuple(shape), scale, zero_point)

    def constant(self, values, *, scale=None, zero_point=0, axis=0) -> Made:
        """A constant of the dtype of ``values``."""
        return self.tensor(
            f"constant_{len(self._tensors)}", values.shape, scale=scale, zero_point=zero_point, axis=axis,
            dtype=values.dtype.name.upper(), data=values,
        )  # fmt: skip

    def operator(
        self, operator, inputs, shape, *, options_table="", options=None, like=None, scale=None, zero_point=0,
        dtype="INT8", custom="", name="",
    ) -> Made:  # fmt: skip
        """Any operator of the schema with one output; ``like``: a tensor whose scale and zero point the output has."""
        if like is not None:
            scale, zero_point = like.scale, like.zero_point
        name = name or f"{operator.lower()}_{len(self._operators)}"
        made = self.tensor(name, shape, scale=scale, zero_point=zero_point, dtype=dtype)
        fields = {
            "OpcodeIndex": self._codes.setdefault((operator, custom), len(self._codes)),
            "Inputs": self._b.CreateNumpyVector(np.array([x.index for x in inputs], np.int32)),
            "Outputs": self._b.CreateNumpyVector(np.array([made.index], np.int32)),
        }
        if options_table:
            fields["BuiltinOptions"] = self._table(options_table, **(options or {}))
            fields["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, options_table)
        self._operators.append(self._table("Operator", **fields))
        return made

    def finish(self, *outputs: Made, subgraphs: int = 1) -> bytes:
        """The file; ``subgraphs`` repeats the network."""
        codes = []
        for operator, custom in self._codes:
            code = getattr(tflite.BuiltinOperator, operator)
            fields = {"CustomCode": self._b.CreateString(custom)} if custom else {}
            deprecated = min(code, tflite.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES)
            codes.append(
                self._table("OperatorCode", DeprecatedBuiltinCode=deprecated, BuiltinCode=code, Version=1, **fields)
            )
        subgraph = self._table(
            "SubGraph",
            Tensors=self._tables(self._tensors),
            Inputs=self._b.CreateNumpyVector(np.array(self._inputs, np.int32)),
            Outputs=self._b.CreateNumpyVector(np.array([x.index for x in outputs], np.int32)),
            Operators=self._tables(self._operators),
        )
        model = self._table(
            "Model",
            Version=SCHEMA_VERSION,
            OperatorCodes=self._tables(codes),
            Subgraphs=self._tables([subgraph] * subgraphs),
            Buffers=self._tables(self._buffers),
        )
        self._b.Finish(model, IDENTIFIER)
        return bytes(self._b.Output())

    def _table(self, table: str, **fields) -> int:
        getattr(tflite, f"{table}Start")(self._b)
        for field, value in fields.items():
            getattr(tflite, f"{table}Add{field}")(self._b, value)
        return getattr(tflite, f"{table}End")(self._b)

    def _tables(self, offsets: list[int]) -> int:
        self._b.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self._b.PrependUOffsetTRelative(offset)
        return self._b.EndVector()


def _activation(name: str) -> int:
    return getattr(tflite.ActivationFunctionType, name)


def _sliding(stride, padding, dilation=None) -> dict[str, int]:
    options = {"Padding": getattr(tflite.Padding, padding), "StrideH": stride[0], "StrideW": stride[1]}
    return options if dilation is None else options | {"DilationHFactor": dilation[0], "DilationWFactor": dilation[1]}


def _slide(size, kernel, stride, dilation, padding) -> tuple[int, ...]:
    """Output height and width."""
    if padding == "SAME":
        return tuple(-(-n // s) for n, s in zip(size, stride, strict=True))
    return tuple((n - (k - 1) * d - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True))
