"""Float TensorFlow Lite networks to float graphs."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import ModelError, UnsupportedModelError
from ..floating import FloatGraph
from ..graph import Arrange, Layer, Tensor, Window
from .build import FloatBuilder
from .names import with_short_names
from .places import Transposed
from .tflite import ACTIVATIONS, CLAMPS, Importer
from .tflite_file import FileOperator, FileTensor, TfliteFile

ARITHMETIC: dict[str, Callable[[np.ndarray], dict[str, Any]]] = {
    "ADD": lambda constant: {"addend": constant},
    "SUB": lambda constant: {"addend": -constant},
    "MUL": lambda constant: {"factor": constant},
}
"""What a constant operand does to each channel."""


class FloatImporter(Importer):
    """As its base, with layers of real numbers; scales and zero points mean nothing."""

    dtype = weight_dtype = bias_dtype = "FLOAT32"
    data_inputs = Importer.data_inputs | {"SUB": (0, 1), "MUL": (0, 1)}

    def __init__(self, file: TfliteFile, name: str):
        self.builder = FloatBuilder(name)
        super().__init__(file, name)

    def _rules(self) -> dict[str, Callable[[FileOperator], Layer | None]]:
        rules = super()._rules()
        rules |= dict.fromkeys(ARITHMETIC, self._arithmetic)
        return {operator: rule for operator, rule in rules.items() if operator not in ("QUANTIZE", "DEQUANTIZE")}

    def _finish(self, layers: list[Layer]) -> FloatGraph:
        input_shape = self.file.tensors[self.input].shape
        source, outputs = next(iter(self.tensors)), self._outputs()
        graph = self.builder.finish(source, outputs, input_shape, "tflite", self._output_names())
        return replace(graph, layers=with_short_names(graph.layers))

    def _quantisation(self, tensor: FileTensor) -> tuple[float, int]:
        return 1.0, 0

    def _clamp(self, op: FileOperator, output: Tensor) -> dict[str, Any]:
        code = op.options["FusedActivationFunction"]
        if code not in ACTIVATIONS:
            raise self.unsupported(op, f"has fused activation {code}; use RELU, RELU6 or RELU_N1_TO_1")
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
            raise self.unsupported(op, str(error)) from error
        except ModelError as error:
            raise self.malformed(op, str(error)) from error

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
        x = self.map_input(op)
        self._build(op, self.builder.softmax, self._made(op, x.shape), x, beta=op.options["Beta"])

    def move(self, op: FileOperator, inputs: list[Tensor], index: Callable[[], np.ndarray], kind: str) -> None:
        """As its base."""
        layer = super().move(op, inputs, index, kind)
        assert isinstance(layer, Arrange)
        self._build(op, self._arrange, self.tensors[layer.output], *inputs, index=layer.index, kind=kind)

    def _arrange(self, name: str, *inputs: str, index: np.ndarray, kind: str) -> str:
        return self.builder.arrange(name, inputs, index, kind)

    def resize(self, op: FileOperator, x: Tensor, size: tuple[int, int], modes: dict[str, bool]) -> None:
        """As its base."""
        self._build(op, self.builder.resize, self._made(op, (*size, x.shape[2])), x, size=size, **modes)

    def function(self, op: FileOperator, x: Tensor, kind: str, alpha: np.ndarray) -> None:
        """As its base."""
        self._build(op, self.builder.function, self._made(op, x.shape), x, kind=kind, alpha=alpha)

    def transposed(self, op: FileOperator, x: Tensor, weights: FileTensor, phases: Transposed) -> None:
        """As its base."""
        output = self._made(op, phases.index.shape)
        shape = (*phases.window.output_size(*x.shape[:2]), len(phases.outputs))
        grid = self.tensors[f"{output.name}/phases"] = replace(output, name=f"{output.name}/phases", shape=shape)
        bias = self._bias(op, weights.shape[0], 3)[phases.outputs]
        self._build(
            op, self.builder.conv, grid, x, weights=phases.weights, bias=bias, window=phases.window,
            **self._clamp(op, output),
        )  # fmt: skip
        self._build(op, self._arrange, output, grid, index=phases.index, kind="interleave")

    def _standalone_clamp(self, op: FileOperator) -> None:
        x, (low, high) = self.map_input(op), CLAMPS[op.operator]
        self._build(op, self.builder.affine, self._made(op, x.shape), x, low=low, high=high)

    def _arithmetic(self, op: FileOperator) -> None:
        constants = [self.file.tensors[i].data for i in op.inputs[:2]]
        if all(constant is None for constant in constants) and op.operator == "ADD":
            a, b = self.map_input(op, 0), self.map_input(op, 1)
            if a.shape != b.shape:
                raise self.unsupported(op, f"adds shapes {a.shape} and {b.shape}; only equal shapes are supported")
            output = self._made(op, a.shape)
            self._build(op, self.builder.add, output, a, b, **self._clamp(op, output))
            return
        data = 1 if constants[0] is not None and op.operator != "SUB" else 0
        x, constant = self.map_input(op, data), constants[1 - data]
        if (
            constant is None
            or constant.size not in (1, x.shape[2])
            or constant.shape[-1:] not in ((), (1,), x.shape[2:])
        ):
            raise self.unsupported(op, f"needs a constant of one value for each of {x.shape[2]} channels")
        output = self._made(op, x.shape)
        self._build(
            op, self.builder.affine, output, x, **ARITHMETIC[op.operator](constant.ravel()), **self._clamp(op, output)
        )  # fmt: skip
