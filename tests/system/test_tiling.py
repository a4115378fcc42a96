"""Networks larger than the chip on the verilated system."""

from dataclasses import replace

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.reference import run_image
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
    """More commands than the soft core's RAM holds; every layer's log entry arrives, with samples in a row too."""
    b = GraphBuilder(np.random.default_rng(1), (1, 1, 1))
    name = "input"
    for _ in range(340):
        name = b.conv(name, 3, (1, 1))
    graph, xs = b.build(name), [np.array([[[value]]], np.int8) for value in (77, -5)]
    image = compile_graph(graph, TINY, formats="dense")
    assert image.header["run_bytes"] > TINY.cpu_ram_bytes - COMMANDS_OFFSET
    data = [image.pack_input(x) for x in xs]
    board = boards("TINY")
    board.load(image)
    for x, run in zip(xs, board.run_many(data), strict=True):
        np.testing.assert_array_equal(image.unpack_output(run.output), golden.run(graph, x))
    _, log = run_image(image.data, TINY, data[-1])
    assert [entry["steps"] for entry in run.log] == [entry["steps"] for entry in log]
    assert len(log) > 150


LONG = {"dense_csr", "deep"}


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.long] * (n in LONG)) for n in NETWORKS])
def test_large_network(boards, name):
    """`run_and_check` compares the output."""
    image, _ = run_and_check(boards("Z7020"), NETWORKS[name]())
    assert image.metadata["streamed_bytes"] > 0 or any(layer["n_bands"] > 1 for layer in image.metadata["layers"])
