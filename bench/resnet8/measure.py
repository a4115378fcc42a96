"""What an int8 ResNet-8 is worth: accuracy of the golden model, predicted cycles, weights that are not zero."""

from collections.abc import Callable

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.graph import Graph
from pumice.pruning.network import prunable
from pumice.spec.config import CONFIGS

from .data import load_test, to_real


def measure(graph: Graph, config: str, convert: Callable[[np.ndarray], np.ndarray] = to_real) -> dict:
    """On the test images, which ``convert`` brings to real units, and for the configuration of that name."""
    images, labels = load_test()
    outputs = golden.run_batch(graph, golden.quantise(graph.tensors[graph.input], convert(images)))
    weights = [layer.weights for layer in prunable(graph).values()]
    return {
        "accuracy": round(float(np.mean(outputs[:, 0, 0].argmax(1) == labels)), 4),
        "test_images": len(labels),
        "predicted_cycles": compile_graph(graph, CONFIGS[config]).metadata["predicted_cycles"],
        "config_name": config,
        "density": round(float(sum(map(np.count_nonzero, weights)) / sum(map(np.size, weights))), 4),
    }
