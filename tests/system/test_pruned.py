"""Pruned at random to a quarter, and a real mask of 95 % zeros, on the verilated Z7020: exact and fast enough."""

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.frontends import load_graph

from bench import dlmc
from bench.masks import read_mask
from bench.networks import NETWORKS, sample
from bench.random_density import SEED, prune_at_random

MASK = "transformer/l0_regularization/0.9/body_encoder_layer_0_self_attention_multihead_attention_q.smtx"


@pytest.mark.parametrize(("name", "limit"), [("ic", 37_000), ("kws", 12_500)])
def test_a_quarter_of_the_weights(shared_data, boards, name, limit):
    """Doorbell to interrupt, the first run of an image included."""
    graph, board = load_graph(NETWORKS[name]), boards("Z7020")
    x = sample(NETWORKS[name], graph)
    graph = prune_at_random(graph, 0.25, np.random.default_rng(SEED))
    image = compile_graph(graph, board.config)
    board.load(image)
    run = board.run(image.pack_input(x))
    expected = golden.run(graph, x, keep=True)[image.metadata["output"]["name"]]
    np.testing.assert_array_equal(image.unpack_output(run.output), expected)
    assert run.cycles <= limit


def test_lane_peak_of_a_mask(shared_data, boards):
    board = boards("Z7020")
    point = dlmc.measure("mask", read_mask(shared_data / "dlmc" / MASK), board, np.random.default_rng(dlmc.SEED))
    assert point.sparsity > 0.95
    assert dlmc.BAR <= point.peak(point.cycles, board.config) < point.peak(point.computing, board.config) <= 1
