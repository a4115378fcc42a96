"""Every weight format and value coding on the verilated system, forced on random networks."""

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.frontends.build import FloatBuilder
from pumice.graph import Window
from pumice.quantise import quantise
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


def test_a_codebook_from_quantising(boards):
    """A float network whose weights share 16 values: the compiler reads 4 bits for each of them."""
    rng, board = np.random.default_rng(SEED), boards("TINY")
    net = FloatBuilder("shared")
    x = net.input("x", (5, 6, 8))
    window = Window(kernel=(3, 3), pad_top=1, pad_bottom=1, pad_left=1, pad_right=1)
    y = net.conv("a", x, rng.normal(size=(12, 3, 3, 8)) * (rng.random((12, 3, 3, 8)) < 0.4), None, window, low=0.0)
    y = net.conv("b", y, rng.normal(size=(8, 3, 3, 12)), rng.normal(size=8), window)
    graph = net.finish(x, {y: (1, 5, 6, 8)}, (1, 5, 6, 8), "test")
    calibration = rng.normal(size=(32, 5, 6, 8)).astype(np.float32)
    integer = quantise(graph, calibration, codebook=16)
    formats = [layer["format"] for layer in compile_graph(integer, board.config).metadata["layers"]]
    assert all(name.endswith("+codebook") for name in formats), formats
    samples = [golden.quantise(integer.tensors[integer.input], x) for x in calibration[:2]]
    assert assert_rtl_matches_golden(board, integer, samples) >= 4
