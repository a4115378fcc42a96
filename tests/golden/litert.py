"""LiteRT's reference kernels, to compare the golden model with."""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from pumice import golden
from pumice.graph import Graph


class LiteRt:
    """Runs a network of a ``.tflite`` file and keeps all its tensors."""

    def __init__(self, data: bytes):
        self.interpreter = Interpreter(
            model_content=data,
            experimental_op_resolver_type=OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        self.interpreter.allocate_tensors()

    def run(self, graph: Graph, x: np.ndarray) -> dict[str, np.ndarray]:
        """All tensors of ``graph`` for the input ``x`` (in any shape), by name and in the graph's shapes."""
        details = self.interpreter.get_input_details()[0]
        self.interpreter.set_tensor(details["index"], x.reshape(details["shape"]))
        self.interpreter.invoke()
        return {
            tensor["name"]: self.interpreter.get_tensor(tensor["index"]).reshape(graph.tensors[tensor["name"]].shape)
            for tensor in self.interpreter.get_tensor_details()
            if tensor["name"] in graph.tensors
        }

    def output(self) -> np.ndarray:
        """The network's output of the last run."""
        return self.interpreter.get_tensor(self.interpreter.get_output_details()[0]["index"])


@dataclass
class Comparison:
    """Differences in LSB, golden model less LiteRT, of values by kind of layer."""

    largest: Counter = field(default_factory=Counter)
    n_values: Counter = field(default_factory=Counter)
    n_different: Counter = field(default_factory=Counter)
    n_layers: Counter = field(default_factory=Counter)
    n_equal_layers: Counter = field(default_factory=Counter)

    def layers(self, graph: Graph, tensors: dict[str, np.ndarray]) -> None:
        """Compare every layer, each on LiteRT's own input tensors."""
        for layer in graph.layers:
            kind = getattr(layer, "kind", getattr(layer, "mode", type(layer).__name__.lower()))
            made = golden.run_layer(graph, layer, [tensors[name] for name in layer.inputs])
            difference = np.abs(made.astype(int) - tensors[layer.output])
            self.largest[kind] = max(self.largest[kind], int(difference.max()))
            self.n_values[kind] += difference.size
            self.n_different[kind] += np.count_nonzero(difference)
            self.n_layers[kind] += 1
            self.n_equal_layers[kind] += not difference.any()

    def __str__(self) -> str:
        return "\n".join(
            f"{kind}: {self.n_equal_layers[kind]} of {n} layer runs equal, {self.n_different[kind]} of "
            f"{self.n_values[kind]} values differ, at most {self.largest[kind]} LSB"
            for kind, n in self.n_layers.items()
        )
