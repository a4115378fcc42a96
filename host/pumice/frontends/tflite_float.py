"""Float TensorFlow Lite networks to float graphs."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedModelError
from ..floating import FloatGraph
from ..graph import Layer, Tensor, Window
from .build import FloatBuilder
from .tflite import ACTIVATIONS, Importer
from .tflite_file import FileOperator, FileTensor, TfliteFile

CLAMPS = {"RELU": (0.0, math.inf), "RELU6": (0.0, 6.0), "RELU_N1_TO_1": (-1.0, 1.0)}
ARITHMETIC: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
    "ADD": lambda constant: {"addend": constant},
    "SUB": lambda constant: {"addend": -constant},
    "MUL": lambda constant: {"factor": constant},
}
"""What a constant operand does to each channel."""


class FloatImporter(Importer):
    """As its base, with layers of real numbers; scales and zero points mean nothing."""

    dtype = weight_dtype = bias_dtype = "FLOAT32"
    two_inputs = ("ADD", "SUB", "MUL")

    def __init__(self, file: TfliteFile, name: str):
        self.builder = FloatBuilder(name)
        super().__init__(file, name)

    def _rules(self) -> dict[str, Callable[[FileOperator], Layer | None]]:
        rules = super()._rules() | dict.fromkeys(CLAMPS, self._standalone_clamp)
        rules |= dict.fromkeys(ARITHMETIC, self._arithmetic)
        return {operator: rule for operator, rule in rules.items() if operator not in ("QUANTIZE", "DEQUANTIZE")}

    def _finish(self, layers: list[Layer]) -> FloatGraph:
        source, output = next(iter(self.tensors)), self._source(self.output, "the network's output")
        input_shape, output_shape = (self.file.tensors[i].shape for i in (self.input, self.output))
        return self.builder.finish(source, output, input_shape, output_shape, "tflite")

    def _quantisation(self, tensor: FileTensor) -> tuple[float, int]:
        return 1.0, 0

    def _clamp(self, op: FileOperator, output: Tensor) -> dict[str, Any]:
        code = op.options["FusedActivationFunction"]
        if code not in ACTIVATIONS:
            raise self._unsupported(op, f"has fused activation {code}; use RELU, RELU6 or RELU_N1_TO_1")
        low, high = ACTIVATIONS[code]
        return {"low": low, "high": high}

    def _build(self, op: FileOperator, method: Callable[..., str], output: Tensor, *inputs: Tensor, **fields) -> None:
        """Add a layer, its errors naming ``op``."""
        for tensor in inputs:
            if tensor.name not in self.builder.shapes:  # the input, in the shape that it has been given by now
                self.builder.input(tensor.name, tensor.shape)
        try:
            method(output.name, *(tensor.name for tensor in inputs), **fields)
        except UnsupportedModelError as error:
            raise self._unsupported(op, str(error)) from error
        except ModelError as error:
            raise self._malformed(op, str(error)) from error

    def _weighted(self, op, x: Tensor, weights: FileTensor, by_output, axis, window: Window, groups, kind) -> None:
        n_out = len(by_output)
        output = self._made(op, (*window.output_size(*x.shape[:2]), n_out))
        self._build(
            op, self.builder.conv, output, x, weights=by_output, bias=self._bias(op, n_out), window=window,
            groups=groups, kind=kind, **self._clamp(op, output),
        )  # fmt: skip

    def _pool(self, op: FileOperator, x: Tensor, window: Window, mode: str) -> None:
        output = self._made(op, (*window.output_size(*x.shape[:2]), x.shape[2]))
        clamp = self._clamp(op, output) if op.options else {}
        self._build(op, self.builder.pool, output, x, window=window, mode=mode, **clamp)

    def _softmax(self, op: FileOperator) -> None:
        x = self._input(op)
        self._build(op, self.builder.softmax, self._made(op, x.shape), x, beta=op.options["Beta"])

    def _standalone_clamp(self, op: FileOperator) -> None:
        x, (low, high) = self._input(op), CLAMPS[op.operator]
        self._build(op, self.builder.affine, self._made(op, x.shape), x, low=low, high=high)

    def _arithmetic(self, op: FileOperator) -> None:
        constants = [self.file.tensors[i].data for i in op.inputs[:2]]
        if all(constant is None for constant in constants) and op.operator == "ADD":
            a, b = self._input(op, 0), self._input(op, 1)
            if a.shape != b.shape:
                raise self._unsupported(op, f"adds shapes {a.shape} and {b.shape}; only equal shapes are supported")
            output = self._made(op, a.shape)
            self._build(op, self.builder.add, output, a, b, **self._clamp(op, output))
            return
        data = 1 if constants[0] is not None and op.operator != "SUB" else 0
        x, constant = self._input(op, data), constants[1 - data]
        if (
            constant is None
            or constant.size not in (1, x.shape[2])
            or constant.shape[-1:] not in ((), (1,), x.shape[2:])
        ):
            raise self._unsupported(op, f"needs a constant of one value for each of {x.shape[2]} channels")
        output = self._made(op, x.shape)
        self._build(
            op, self.builder.affine, output, x, **ARITHMETIC[op.operator](constant.ravel()), **self._clamp(op, output)
        )  # fmt: skip
