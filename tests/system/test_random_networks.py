"""Random small networks on the verilated system, with memories of different speed."""

import numpy as np
import pytest

from ..compiler.graphs import random_graph
from .checks import assert_rtl_matches_golden

MEMORIES = [{}, {"latency": 150, "bandwidth": 0.2}, {"latency": 1, "bandwidth": 1.0, "outstanding": 2}]


@pytest.mark.parametrize("config", ["TINY", "Z7020"])
@pytest.mark.parametrize("seed", range(30))
def test_rtl_matches_golden(boards, config, seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(rng)
    formats = [None, "dense", "relative"][seed % 3]
    samples = [rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8) for _ in range(2)]
    board = boards(config, **MEMORIES[seed % len(MEMORIES)])
    assert assert_rtl_matches_golden(board, graph, samples, formats=formats) >= 2 * len(samples)
