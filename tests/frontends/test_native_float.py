"""The file of a float network: written and read back, and damaged."""

import struct
import zlib

import numpy as np
import pytest
from pumice import floating
from pumice.errors import ModelError
from pumice.frontends import load_model
from pumice.frontends.native_float import float_graph_bytes, parse_float_native, save_float_graph

from ..pruning.nets import residual, samples

N_MUTATIONS = 300


def test_a_network_is_read_as_it_was_written(tmp_path):
    graph = residual()
    save_float_graph(graph, tmp_path / "net.pumf")
    read = load_model(tmp_path / "net.pumf")
    assert [layer.name for layer in read.layers] == [layer.name for layer in graph.layers]
    assert np.allclose(floating.run_batch(read, samples(4)), floating.run_batch(graph, samples(4)), atol=1e-6)


@pytest.mark.parametrize("checksum", [False, True])
def test_damaged_files_are_refused_or_valid(checksum):
    rng, data = np.random.default_rng(6), float_graph_bytes(residual())
    n_refused = 0
    for _ in range(N_MUTATIONS):
        damaged = bytearray(data)
        for at in rng.integers(0 if not checksum else 16, min(len(data), 1500), rng.integers(1, 4)):
            damaged[at] = rng.integers(256)
        if rng.random() < 0.3:
            damaged = damaged[: rng.integers(len(damaged))]
        if checksum and len(damaged) > 16:
            struct.pack_into("<I", damaged, 12, zlib.crc32(damaged[16:]))
        try:
            parse_float_native(bytes(damaged))
        except ModelError:
            n_refused += 1
    assert n_refused > (0.9 if not checksum else 0.2) * N_MUTATIONS
