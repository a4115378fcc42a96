"""Writes a chain of quantised layers as an int8 TensorFlow Lite file."""

from dataclasses import dataclass

import flatbuffers
import numpy as np
import tflite

SCHEMA_VERSION = 3
IMAGE_SIZE = 8


@dataclass(frozen=True, kw_only=True)
class QuantisedLayer:
    """A 3x3 convolution with ReLU and SAME padding (``stride`` given), or average pool and fully connected (None).

    Attributes
    ----------
    weights : ndarray of int8, (out, 9 * in) or (out, in)
    weight_scales : ndarray of float, one per output, or one
    bias : ndarray of int32, (out,)
    scale, zero_point
        Of the result.
    """

    weights: np.ndarray
    weight_scales: np.ndarray
    bias: np.ndarray
    scale: float
    zero_point: int
    stride: int | None


class _Writer:
    """Collects buffers, tensors, operators and operator codes of one subgraph."""

    def __init__(self):
        self.builder = flatbuffers.Builder(1 << 16)
        self.buffers, self.tensors, self.operators, self.codes = [self._buffer(b"")], [], [], []

    def _buffer(self, data: bytes) -> int:
        vector = self.builder.CreateByteVector(data) if data else None
        tflite.BufferStart(self.builder)
        if vector is not None:
            tflite.BufferAddData(self.builder, vector)
        return tflite.BufferEnd(self.builder)

    def vector(self, start, values, put: str) -> int:
        """A vector of scalars or offsets; ``start`` is the schema's function, ``put`` the builder's Prepend method."""
        start(self.builder, len(values))
        for value in reversed(values):
            getattr(self.builder, put)(value)
        return self.builder.EndVector()

    def tensor(self, name: str, shape, dtype: int, scales, zero_point: int = 0, data: bytes = b"") -> int:
        """Add a tensor and return its index; ``scales`` with more than one value are along axis 0."""
        b = self.builder
        buffer = 0
        if data:
            buffer = len(self.buffers)
            self.buffers.append(self._buffer(data))
        quantisation = None
        if scales is not None:
            zero_points = [zero_point] * len(scales)
            scale_vector = self.vector(tflite.QuantizationParametersStartScaleVector, scales, "PrependFloat32")
            zero_vector = self.vector(tflite.QuantizationParametersStartZeroPointVector, zero_points, "PrependInt64")
            tflite.QuantizationParametersStart(b)
            tflite.QuantizationParametersAddScale(b, scale_vector)
            tflite.QuantizationParametersAddZeroPoint(b, zero_vector)
            quantisation = tflite.QuantizationParametersEnd(b)
        label = b.CreateString(name)
        dimensions = self.vector(tflite.TensorStartShapeVector, shape, "PrependInt32")
        tflite.TensorStart(b)
        tflite.TensorAddName(b, label)
        tflite.TensorAddShape(b, dimensions)
        tflite.TensorAddType(b, dtype)
        tflite.TensorAddBuffer(b, buffer)
        if quantisation is not None:
            tflite.TensorAddQuantization(b, quantisation)
        self.tensors.append(tflite.TensorEnd(b))
        return len(self.tensors) - 1

    def operator(self, code: int, inputs, output: int, options_type: int, options: int) -> None:
        """Add an operator; ``options`` is the offset of its finished options table."""
        b = self.builder
        if code not in self.codes:
            self.codes.append(code)
        input_vector = self.vector(tflite.OperatorStartInputsVector, inputs, "PrependInt32")
        output_vector = self.vector(tflite.OperatorStartOutputsVector, [output], "PrependInt32")
        tflite.OperatorStart(b)
        tflite.OperatorAddOpcodeIndex(b, self.codes.index(code))
        tflite.OperatorAddInputs(b, input_vector)
        tflite.OperatorAddOutputs(b, output_vector)
        tflite.OperatorAddBuiltinOptionsType(b, options_type)
        tflite.OperatorAddBuiltinOptions(b, options)
        self.operators.append(tflite.OperatorEnd(b))

    def finish(self, name: str, source: int, result: int) -> bytes:
        """The file, its network reading tensor ``source`` and making tensor ``result``."""
        b = self.builder
        codes = []
        for code in self.codes:
            tflite.OperatorCodeStart(b)
            tflite.OperatorCodeAddDeprecatedBuiltinCode(b, code)
            tflite.OperatorCodeAddBuiltinCode(b, code)
            tflite.OperatorCodeAddVersion(b, 1)
            codes.append(tflite.OperatorCodeEnd(b))
        label = b.CreateString(name)
        parts = [
            self.vector(tflite.SubGraphStartTensorsVector, self.tensors, "PrependUOffsetTRelative"),
            self.vector(tflite.SubGraphStartInputsVector, [source], "PrependInt32"),
            self.vector(tflite.SubGraphStartOutputsVector, [result], "PrependInt32"),
            self.vector(tflite.SubGraphStartOperatorsVector, self.operators, "PrependUOffsetTRelative"),
        ]
        tflite.SubGraphStart(b)
        tflite.SubGraphAddTensors(b, parts[0])
        tflite.SubGraphAddInputs(b, parts[1])
        tflite.SubGraphAddOutputs(b, parts[2])
        tflite.SubGraphAddOperators(b, parts[3])
        tflite.SubGraphAddName(b, label)
        subgraph = tflite.SubGraphEnd(b)
        subgraphs = self.vector(tflite.ModelStartSubgraphsVector, [subgraph], "PrependUOffsetTRelative")
        buffers = self.vector(tflite.ModelStartBuffersVector, self.buffers, "PrependUOffsetTRelative")
        codes = self.vector(tflite.ModelStartOperatorCodesVector, codes, "PrependUOffsetTRelative")
        description = b.CreateString("trained and pruned by bench/digits/train.py of Pumice")
        tflite.ModelStart(b)
        tflite.ModelAddVersion(b, SCHEMA_VERSION)
        tflite.ModelAddOperatorCodes(b, codes)
        tflite.ModelAddSubgraphs(b, subgraphs)
        tflite.ModelAddDescription(b, description)
        tflite.ModelAddBuffers(b, buffers)
        b.Finish(tflite.ModelEnd(b), b"TFL3")
        return bytes(b.Output())


def write_tflite(name: str, input_scale: float, input_zero_point: int, layers: list[QuantisedLayer]) -> bytes:
    """The network as a TensorFlow Lite file: input (1, 8, 8, 1), output (1, out)."""
    w, b = _Writer(), None
    b = w.builder
    types, size, channels = tflite.TensorType, IMAGE_SIZE, 1
    scale, zero_point = input_scale, input_zero_point
    source = x = w.tensor("image", (1, size, size, channels), types.INT8, [scale], zero_point)
    for i, layer in enumerate(layers, 1):
        n_out = len(layer.weights)
        convolution = layer.stride is not None
        if not convolution:
            pooled = w.tensor("pooled", (1, 1, 1, channels), types.INT8, [scale], zero_point)
            tflite.Pool2DOptionsStart(b)
            tflite.Pool2DOptionsAddPadding(b, tflite.Padding.VALID)
            for add in (
                tflite.Pool2DOptionsAddStrideW,
                tflite.Pool2DOptionsAddStrideH,
                tflite.Pool2DOptionsAddFilterWidth,
                tflite.Pool2DOptionsAddFilterHeight,
            ):
                add(b, size)
            options = tflite.Pool2DOptionsEnd(b)
            w.operator(
                tflite.BuiltinOperator.AVERAGE_POOL_2D, [x], pooled, tflite.BuiltinOptions.Pool2DOptions, options
            )
            x = pooled
        shape = (n_out, 3, 3, channels) if convolution else layer.weights.shape
        label = f"conv{i}" if convolution else "logits"
        weights = w.tensor(
            f"{label}/weights", shape, types.INT8, list(layer.weight_scales), data=layer.weights.tobytes()
        )
        bias_scales = list(scale * layer.weight_scales)
        bias = w.tensor(f"{label}/bias", (n_out,), types.INT32, bias_scales, data=layer.bias.tobytes())
        scale, zero_point, channels = layer.scale, layer.zero_point, n_out
        if convolution:
            size = -(-size // layer.stride)
            y = w.tensor(label, (1, size, size, n_out), types.INT8, [scale], zero_point)
            tflite.Conv2DOptionsStart(b)
            tflite.Conv2DOptionsAddPadding(b, tflite.Padding.SAME)
            tflite.Conv2DOptionsAddStrideW(b, layer.stride)
            tflite.Conv2DOptionsAddStrideH(b, layer.stride)
            tflite.Conv2DOptionsAddFusedActivationFunction(b, tflite.ActivationFunctionType.RELU)
            code, kind = tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOptions.Conv2DOptions
            options = tflite.Conv2DOptionsEnd(b)
        else:
            y = w.tensor(label, (1, n_out), types.INT8, [scale], zero_point)
            tflite.FullyConnectedOptionsStart(b)
            code, kind = tflite.BuiltinOperator.FULLY_CONNECTED, tflite.BuiltinOptions.FullyConnectedOptions
            options = tflite.FullyConnectedOptionsEnd(b)
        w.operator(code, [x, weights, bias], y, kind, options)
        x = y
    return w.finish(name, source, x)
