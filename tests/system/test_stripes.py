"""Multi-layer perceptrons on all lanes: striped layers on the verilated system, sizes from 1 to many bank rows."""

import numpy as np
import pytest
from pumice.compiler import compile_graph

from ..compiler.graphs import GraphBuilder
from ..compiler.test_stripes import LONG, MORE_SHARING, SHARING, perceptron
from .checks import assert_rtl_matches_golden

MEMORIES = [{}, {"latency": 150, "bandwidth": 0.2}]
DENSITIES = [1.0, 0.3, 0.05]


@pytest.mark.parametrize("config", ["TINY", "Z7020"])
@pytest.mark.parametrize("seed", range(18))
def test_rtl_matches_golden(boards, config, seed):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, [3, 62, 302][seed % 3], rng.integers(3, 6)).tolist()
    builder = GraphBuilder(rng, (1, 1, sizes[0]))
    tensor = "input"
    for n in sizes[1:]:
        tensor = builder.conv(tensor, n, (1, 1), density=DENSITIES[seed // 3 % 3])
    graph = builder.build(tensor)
    samples = [rng.integers(-128, 128, (1, 1, sizes[0])).astype(np.int8) for _ in range(2)]
    board = boards(config, **MEMORIES[seed % 2])
    if seed % 3 == 1:
        assert "stripes" in str(compile_graph(graph, board.config).metadata["layers"])
    assert assert_rtl_matches_golden(board, graph, samples) >= 2 * len(samples)


@pytest.mark.parametrize("memory", MEMORIES)
def test_slots_that_stream(boards, memory):
    """Layers whose slots share a place; a layer whose slots stream in parts."""
    rng = np.random.default_rng(5)
    board = boards("TINY", **memory)
    sharing, long = (perceptron(1, sizes) for sizes in (SHARING, MORE_SHARING)), perceptron(3, LONG, 0.1)
    for graph, formats in (*((graph, None) for graph in sharing), (long, {long.layers[0].name: "stripes"})):
        samples = [rng.integers(-128, 128, graph.tensors["input"].shape).astype(np.int8) for _ in range(2)]
        assert compile_graph(graph, board.config, formats=formats).metadata["streamed_bytes"]
        assert assert_rtl_matches_golden(board, graph, samples, formats=formats) >= 2 * len(samples)
