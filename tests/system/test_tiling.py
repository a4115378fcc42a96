"""Networks larger than the chip on the verilated system."""

from dataclasses import replace

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.errors import CompileError
from pumice.spec.config import TINY
from pumice.spec.registers import COMMANDS_OFFSET

from bench.large import NETWORKS, run_and_check

from ..compiler.graphs import GraphBuilder, random_graph
from .checks import assert_rtl_matches_golden

SMALL = replace(TINY, bank_depth=64, weight_depth=256)
MEMORIES = [{}, {"latency": 150, "bandwidth": 0.2}, {"latency": 1, "bandwidth": 1.0, "outstanding": 2}]


def test_random_networks(boards):
    """Half a kilobyte of activations, 2 KiB of weights: most run in bands, with weights that stream."""
    n_cut = 0
    for seed in range(100, 124):
        rng = np.random.default_rng(seed)
        graph = random_graph(rng)
        try:
            image = compile_graph(graph, SMALL)
        except CompileError:
            continue
        x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
        assert assert_rtl_matches_golden(boards(SMALL, **MEMORIES[seed % len(MEMORIES)]), graph, [x]) >= 2
        n_cut += any(layer["n_bands"] > 1 for layer in image.metadata["layers"])
    assert n_cut >= 6


def test_list_of_many_pages(boards):
    """More commands than the soft core's RAM holds; every layer's log entry arrives."""
    b = GraphBuilder(np.random.default_rng(1), (1, 1, 1))
    name = "input"
    for _ in range(420):
        name = b.conv(name, 3, (1, 1))
    x = np.array([[[77]]], np.int8)
    board = boards("TINY")
    image = compile_graph(b.build(name), TINY)
    assert image.header["run_bytes"] > TINY.cpu_ram_bytes - COMMANDS_OFFSET
    assert_rtl_matches_golden(board, b.build(name), [x])


@pytest.mark.parametrize("name", NETWORKS)
def test_large_network(boards, name):
    """`run_and_check` compares the output."""
    image, _ = run_and_check(boards("Z7020"), NETWORKS[name]())
    assert image.metadata["streamed_bytes"] > 0 or any(layer["n_bands"] > 1 for layer in image.metadata["layers"])
