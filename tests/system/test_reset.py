"""Reset at any moment of a run leaves a device that works: no burst is lost on the bus, no stale data arrives."""

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.spec import registers
from pumice.spec.config import TINY

from ..compiler.graphs import GraphBuilder
from ..compiler.test_stripes import perceptron


def small_network():
    b = GraphBuilder(np.random.default_rng(3), (9, 7, 3))
    return b.build(b.conv(b.conv("input", 6), 4, stride=(2, 2)))


@pytest.mark.parametrize("network", [small_network, lambda: perceptron(5, [90, 40, 10])], ids=["tiles", "stripes"])
def test_reset_in_the_middle_of_a_run(boards, network):
    graph = network()
    board = boards("TINY", latency=150, bandwidth=0.2)  # transfers take long, so that the cuts hit them
    image = compile_graph(graph, TINY)
    x = np.random.default_rng(4).integers(-128, 128, graph.input_shape[1:]).astype(np.int8)
    expected = golden.run(graph, x)
    board.load(image)
    whole = board.run(image.pack_input(x)).cycles
    for cut in range(10, whole, max(1, whole // 25)):
        doorbell = registers.find("host", "doorbell").offset
        board.hardware.write(doorbell, registers.COMMAND_RUN)
        board.hardware.run(cut)
        board.reset()
        board.load(image)
        output = image.unpack_output(board.run(image.pack_input(x)).output)
        np.testing.assert_array_equal(output, expected, err_msg=f"reset after {cut} cycles")
