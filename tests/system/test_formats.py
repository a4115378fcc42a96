"""Every weight format and value coding on the verilated system, forced on random networks."""

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.spec.formats import FORMATS

from ..compiler.graphs import GraphBuilder
from .checks import assert_rtl_matches_golden

SEED = 23
FORCED = [
    *FORMATS, "dense+huffman", "dense+codebook", "bitmap+huffman", "relative+codebook", "csr+huffman",
    "rice:0", "rice:1+codebook", "rice:2+huffman", "rice:3", "rice:4+huffman", "rice:5", "rice:6+codebook",
    "nm:2:4", "nm:1:4+huffman", "nm:3:5+codebook", "nm:4:16", "nm:16:16+huffman",
    "block:4", "block:1+huffman", "block:16:2+codebook", "block:4:4", "block:2:8+huffman",
]  # fmt: skip


def random_network(rng, *, few_values: bool, slots: tuple[int, int] | None):
    """A deep 1x1 layer, a 3x3 layer, a depthwise one, a maximum and a dense layer; pruned as the format asks."""
    b = GraphBuilder(rng, (5, 6, 3))
    name = b.conv("input", 37, (1, 1))
    # Slots prune themselves; rarely used channels would drop out and shift groups.
    name = b.conv(name, 33, (1, 1), density=1.0 if slots else float(rng.choice([0.02, 0.1, 0.3])))
    name = b.pool(name, "max")
    name = b.conv(name, 9, density=0.3, silent=[2])
    name = b.depthwise(name, density=0.7)
    graph = b.build(b.dense(name, 10, density=float(rng.choice([0.03, 0.4]))))
    for layer in graph.layers:
        if hasattr(layer, "weights"):
            if few_values:
                layer.weights[:] = layer.weights // 32 * 24
            if slots:
                n, m = slots
                for row in layer.weights.reshape(len(layer.weights), -1):
                    for start in range(0, len(row), m):
                        places = start + rng.permutation(np.flatnonzero(row[start : start + m]))
                        row[places[n:]] = 0
    return graph


@pytest.mark.parametrize("text", FORCED)
def test_forced_format(boards, text):
    rng = np.random.default_rng(SEED + FORCED.index(text))
    name, *parameters = text.partition("+")[0].split(":")
    slots = tuple(map(int, parameters)) if name == "nm" and parameters else None
    graph = random_network(rng, few_values=text.endswith("codebook"), slots=slots)
    board = boards("TINY")
    used = [layer["format"] for layer in compile_graph(graph, board.config, formats=text).metadata["layers"]]
    assert any(layer.startswith(name) and layer.partition("+")[2] == text.partition("+")[2] for layer in used), used
    samples = [rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)]
    assert assert_rtl_matches_golden(board, graph, samples, formats=text) >= 2
