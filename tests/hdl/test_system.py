"""The whole system between independent AXI peers (cocotbext-axi): a network runs, whatever the buses' timing."""

import json

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.spec.config import TINY
from pumice_hdl.system.soft_core import verilog_source
from pumice_hdl.top import System
from pumice_sim.firmware import build_firmware

from ..compiler.graphs import GraphBuilder
from .axi_ids import WithIds
from .harness import simulate

SEED = 11


def network(rng):
    """Every kind of layer once, streamed and resident, with a shortcut and a stride."""
    b = GraphBuilder(rng, (7, 6, 3))
    first = b.conv("input", 5, density=0.5)
    second = b.add(first, b.conv(b.depthwise(first), 5, (1, 1)))
    return b.build(b.dense(b.pool(b.conv(second, 6, stride=(2, 2)), "max", (2, 2), stride=(1, 1)), 4))


def test_system(tmp_path):
    print(f"seed {SEED}")
    rng = np.random.default_rng(SEED)
    graph = network(rng)
    image = compile_graph(graph, TINY)
    x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    result = image.metadata["output"]["name"]
    expected = golden.run(graph, x, keep=True)[result]
    output = np.zeros(image.header["output_bytes"], np.uint8)
    assert np.array_equal(image.unpack_output(output.tobytes()).shape, expected.shape)

    (tmp_path / "image").write_bytes(image.data)
    (tmp_path / "input").write_bytes(image.pack_input(x))
    env = {"RUN": json.dumps({"folder": str(tmp_path), **image.header})}
    system = WithIds(System(TINY, build_firmware(TINY.cpu_ram_bytes)))
    simulate(system, "system_tb", n_tests=4, env=env, sources=(verilog_source(),))
    for file in sorted(tmp_path.glob("output-*")):
        np.testing.assert_array_equal(image.unpack_output(file.read_bytes()), expected, err_msg=file.name)
    assert len(list(tmp_path.glob("output-*"))) == 3
