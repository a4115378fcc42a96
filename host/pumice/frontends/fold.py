"""Activations, biases and batch normalisation, which front ends state as affine layers, into the layers before them."""

from collections import Counter
from dataclasses import replace

import numpy as np

from ..floating import Clamped, FloatConv, FloatGraph
from ..graph import Layer


def fold(graph: FloatGraph) -> None:
    """Drop layers that the output does not depend on, and fold affine layers, in place.

    An affine layer folds when it is the only reader of its input and the file states no quantisation for that: into a
    convolution without clamp, or, if all it does is to clamp, into any layer that has a clamp.
    """
    _drop_unread(graph)
    n_readers = Counter(name for layer in graph.layers for name in layer.inputs)
    makers: dict[str, Layer] = {}
    for layer in graph.layers:
        if isinstance(layer, FloatConv) and layer.kind == "affine":
            (source,) = layer.inputs
            maker = makers.get(source)
            is_read_once = n_readers[source] == 1 and source not in (graph.output, *graph.further_outputs)
            if maker is not None and is_read_once and source not in graph.quantisations:
                folded = _folded(maker, layer)
                if folded is not None:
                    del makers[source]
                    layer = folded
        makers[layer.output] = layer
    graph.layers = list(makers.values())


def _drop_unread(graph: FloatGraph) -> None:
    read, live = {graph.output, *graph.further_outputs}, []
    for layer in reversed(graph.layers):
        if layer.output in read:
            live.append(layer)
            read.update(layer.inputs)
    graph.layers = live[::-1]


def _folded(maker: Layer, affine: FloatConv) -> Layer | None:
    if not isinstance(maker, Clamped):
        return None
    factor, addend = affine.weights.ravel(), affine.bias
    is_clamp = bool(np.all(factor == 1) and np.all(addend == 0))
    low, high = (float(np.clip(bound, affine.low, affine.high)) for bound in (maker.low, maker.high))
    if is_clamp:
        return replace(maker, output=affine.output, low=low, high=high)
    if not isinstance(maker, FloatConv) or np.isfinite(maker.low) or np.isfinite(maker.high):
        return None
    return replace(
        maker,
        output=affine.output,
        weights=maker.weights * factor[:, None, None, None],
        bias=maker.bias * factor + addend,
        weight_scales=maker.weight_scales if np.all(factor == 1) else None,
        low=low,
        high=high,
    )
