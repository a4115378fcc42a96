"""What pruning needs of a network, float or int8: weights in real numbers, what layers give, new weights in place."""

from copy import copy
from dataclasses import dataclass, replace

import numpy as np

from .. import floating, golden
from ..floating import BATCH_CHUNK, FloatConv, FloatGraph
from ..graph import Conv, Graph, Layer, Window
from ..quantise import BIAS_LIMIT, WEIGHT_LIMIT

PER_CHANNEL = "affine"  # kind of a layer whose weights are factors of a channel each: nothing to prune


@dataclass(frozen=True, kw_only=True, eq=False)
class Weights:
    """A layer's parameters in real units.

    Attributes
    ----------
    weights : ndarray of float64, (out channels, kernel height, kernel width, in channels / groups)
    bias : ndarray of float64, (out channels,)
    """

    name: str
    weights: np.ndarray
    bias: np.ndarray
    window: Window
    groups: int


def prunable(graph: Graph | FloatGraph) -> dict[str, Weights]:
    """The layers with weights, by name."""
    return {
        layer.name: _weights(graph, layer)
        for layer in graph.layers
        if isinstance(layer, Conv | FloatConv) and layer.kind != PER_CHANNEL
    }


def _weights(graph: Graph | FloatGraph, layer: Conv | FloatConv) -> Weights:
    if isinstance(graph, FloatGraph):
        factor = bias_factor = 1.0
    else:
        assert isinstance(layer, Conv)
        factor, bias_factor = (scale[:, None, None, None] if scale.ndim else scale for scale in _scales(graph, layer))
        bias_factor = np.ravel(bias_factor)
    return Weights(
        name=layer.name,
        weights=layer.weights * factor,
        bias=layer.bias * bias_factor,
        window=layer.window,
        groups=layer.groups,
    )


def _scales(graph: Graph, layer: Conv) -> tuple[np.ndarray, np.ndarray]:
    """Scales of an int8 layer's weights and of its bias, (out channels,) each."""
    scale_in, scale_out = graph.tensors[layer.inputs[0]].scale, graph.tensors[layer.output].scale
    bias_scales = layer.scales * scale_out
    return bias_scales / scale_in, bias_scales


def with_weights(graph: Graph | FloatGraph, new: dict[str, tuple[np.ndarray, np.ndarray]]) -> Graph | FloatGraph:
    """The network with other weights and biases, in real units, in the layers named.

    In an int8 network the scale of a channel's weights stays, unless the new ones need a larger one; the scales of
    activations stay.
    """
    layers = [_renewed(graph, layer, *new[layer.name]) if layer.name in new else layer for layer in graph.layers]
    return replace(graph, layers=layers)


def _renewed(graph: Graph | FloatGraph, layer: Layer, weights: np.ndarray, bias: np.ndarray) -> Layer:
    if isinstance(graph, FloatGraph):
        return replace(layer, weights=weights, bias=bias, weight_scales=None)
    assert isinstance(layer, Conv)
    scale_in, scale_out = graph.tensors[layer.inputs[0]].scale, graph.tensors[layer.output].scale
    scales, _ = _scales(graph, layer)
    needed = np.maximum(np.abs(weights).max(axis=(1, 2, 3)) / WEIGHT_LIMIT, np.abs(bias) / (scale_in * BIAS_LIMIT))
    scales = np.where(needed > scales * (1 + 1e-6), needed, scales)
    return replace(
        layer,
        weights=np.clip(np.round(weights / scales[:, None, None, None]), -128, 127).astype(np.int8),
        bias=np.round(bias / (scale_in * scales)).astype(np.int32),
        scales=scales * scale_in / scale_out,
    )


class Runner:
    """Computes a network layer by layer on samples, keeping only the tensors that are still to be read.

    Parameters
    ----------
    samples : ndarray, (n, height, width, channels)
        Float in real units; int8 for an int8 network.
    """

    def __init__(self, graph: Graph | FloatGraph, samples: np.ndarray):
        self._graph = graph
        self._tensors = {graph.input: samples}
        self._last_use = {name: i for i, layer in enumerate(graph.layers) for name in layer.inputs}
        self._next = 0

    def fork(self) -> "Runner":
        """Another one in the same state, to go on with other weights."""
        twin = copy(self)
        twin._tensors = dict(self._tensors)
        return twin

    def inputs(self, layer: Layer) -> np.ndarray:
        """What the next layer reads, in real numbers; the first where it reads several tensors."""
        return self.real(layer.inputs[0])

    def real(self, name: str) -> np.ndarray:
        """A tensor in real numbers, float32."""
        values = self._tensors[name]
        return values if isinstance(self._graph, FloatGraph) else golden.dequantise(self._graph.tensors[name], values)

    def has(self, name: str) -> bool:
        """Whether a tensor is made already, and still to be read."""
        return name in self._tensors

    def step(self, layer: Layer) -> None:
        """Compute the next layer: the graph's, or the like with other weights."""
        inputs = [self._tensors[name] for name in layer.inputs]
        chunks = [
            self._run(layer, [x[i : i + BATCH_CHUNK] for x in inputs]) for i in range(0, len(inputs[0]), BATCH_CHUNK)
        ]
        self._tensors[layer.output] = np.concatenate(chunks)
        done = [name for name in layer.inputs if self._last_use[name] <= self._next and name != self._graph.output]
        for name in set(done):
            del self._tensors[name]
        self._next += 1

    def _run(self, layer: Layer, inputs: list[np.ndarray]) -> np.ndarray:
        if isinstance(self._graph, FloatGraph):
            return floating.run_layer(layer, inputs)
        return golden.run_layer_batch(self._graph, layer, inputs)
