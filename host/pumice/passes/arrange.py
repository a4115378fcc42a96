"""Arrangements that are addresses: each output channel is one input channel, shifted and strided."""

import numpy as np

from ..graph import Arrange, Graph
from ..spec.numerics import quantise_multiplier
from .operation import Operation, Tap

IDENTITY = 1.0


def is_address(graph: Graph, layer: Arrange) -> bool:
    """Whether the engine can run it: concatenation, slices, padding and space-to-depth, but nothing that upsamples."""
    return _sources(graph, layer) is not None


def arrange(graph: Graph, layer: Arrange) -> Operation:
    """The operation of a layer for which `is_address` holds."""
    rows = _sources(graph, layer)
    assert rows is not None
    sources, channels, offsets, stride = rows
    output = graph.tensors[layer.output]
    known = sorted({(s, int(dy), int(dx)) for s, (dy, dx) in zip(sources, offsets, strict=True) if s >= 0})
    taps = [Tap(*tap) for tap in known] or [Tap(0, 0, 0)]
    fixed = []
    for name in layer.inputs:
        x = graph.tensors[name]
        multiplier, shift, left = quantise_multiplier(x.scale / output.scale, single_rounding=True)
        is_same = (x.scale, x.zero_point) == (output.scale, output.zero_point)
        fixed.append(((1 << 31) - 1, 0, 0) if is_same else (multiplier, shift, left))
    multipliers, shifts, lefts = np.array(fixed, np.int64).T
    n_terms = int((1 << lefts).max() + 126) // 127
    weights = np.zeros((len(channels), len(taps) * n_terms, 1), np.int8)
    for m, (source, (dy, dx)) in enumerate(zip(sources, offsets, strict=True)):
        if source >= 0:
            tap, rest = known.index((source, int(dy), int(dx))), int(1 << lefts[source])
            for i in range(n_terms):
                weights[m, tap + i * len(taps)] = min(rest, 127)
                rest -= int(weights[m, tap + i * len(taps), 0])
    return Operation(
        name=layer.name,
        kind=layer.kind,
        inputs=layer.inputs,
        output=layer.output,
        stride=stride,
        taps=taps * n_terms,
        weights=weights,
        first_channel=channels,
        channel=np.arange(len(channels)),
        bias=np.zeros(len(channels), np.int64),
        multiplier=multipliers[np.maximum(sources, 0)],
        shift=shifts[np.maximum(sources, 0)],
        low=-128,
        high=127,
    )


def _sources(graph: Graph, layer: Arrange):
    """Source, channel and offset (dy, dx) of each output channel, and the stride; None if it is no address."""
    shapes = [graph.tensors[name].shape for name in layer.inputs]
    if len({shape[:2] for shape in shapes}) > 1 or max(lefts(graph, layer)) > MAX_LEFT_SHIFT:
        return None
    height, width, _ = shapes[0]
    starts = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    index = layer.index.astype(np.int64)
    source = np.searchsorted(starts, index, side="right") - 1
    n_channels = np.array([shape[2] for shape in shapes])[np.maximum(source, 0)]
    place, channel = np.divmod(index - starts[np.maximum(source, 0)], n_channels)
    y, x = np.divmod(place, width)
    known = index >= 0
    stride = _step(y, known, 0), _step(x, known, 1)
    if min(stride) < 1 or max(stride) > MAX_STRIDE:
        return None
    dy = y - np.arange(index.shape[0])[:, None, None] * stride[0]
    dx = x - np.arange(index.shape[1])[:, None] * stride[1]
    row = np.stack([source, channel, dy, dx])
    anchor = known.reshape(-1, known.shape[2]).argmax(axis=0)
    first = row.reshape(4, -1, known.shape[2])[:, anchor, np.arange(known.shape[2])]
    is_empty = ~known.any(axis=(0, 1))
    if np.any((row != first[:, None, None]) & known):
        return None
    inside_y = np.arange(index.shape[0])[:, None, None] * stride[0] + first[2]
    inside_x = np.arange(index.shape[1])[:, None] * stride[1] + first[3]
    inside = (inside_y >= 0) & (inside_y < height) & (inside_x >= 0) & (inside_x < width)
    if np.any(inside & ~is_empty != known):
        return None
    first[:, is_empty] = 0
    if len(np.unique(first[[0, 2, 3]], axis=1).T) > MAX_TAPS:
        return None
    sources = np.where(is_empty, -1, first[0])
    return sources, first[1], first[2:].T, stride


MAX_STRIDE = 16
MAX_TAPS = 64
"""Sources and offsets; more are a flattening, which is no few addresses."""
MAX_LEFT_SHIFT = 10


def lefts(graph: Graph, layer: Arrange) -> list[int]:
    """Left shifts of the inputs' multipliers."""
    output = graph.tensors[layer.output]
    return [
        quantise_multiplier(graph.tensors[name].scale / output.scale, single_rounding=True)[2] for name in layer.inputs
    ]


def _step(places: np.ndarray, known: np.ndarray, axis: int) -> int:
    """Step from one output position to the next along an axis, where it is the same everywhere; 1 if there is none."""
    both = np.diff(known.astype(np.int8), axis=axis) == 0
    both &= np.take(known, np.arange(1, known.shape[axis]), axis)
    steps = np.diff(places, axis=axis)[both]
    return 1 if steps.size == 0 else int(steps[0]) if np.all(steps == steps[0]) else 0
