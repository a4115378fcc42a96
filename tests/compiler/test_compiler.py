"""Whole networks: the reference interpreter of an image gives what the golden model gives, tensor by tensor."""

from dataclasses import replace

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.errors import CompileError
from pumice.graph import Conv, Graph
from pumice.spec.config import TINY, Z7020
from pumice.spec.registers import COMMANDS_OFFSET

from .checks import assert_matches_golden
from .graphs import GraphBuilder, random_graph

SEED = 11
SMALL_WEIGHTS = [replace(config, weight_depth=256) for config in (TINY, Z7020)]


def strided(rng) -> Graph:
    """Odd sizes, stride 2 on the input and inside."""
    b = GraphBuilder(rng, (9, 11, 3))
    name = b.conv("input", 5, stride=(2, 2))
    name = b.conv(name, 4)
    return b.build(b.conv(name, 6, stride=(2, 2)))


def mobile(rng) -> Graph:
    """Depthwise and pointwise layers, dead channels, global average, dense."""
    b = GraphBuilder(rng, (17, 14, 3))
    name = b.conv("input", 6, stride=(2, 2), silent=[1])
    name = b.depthwise(name, density=0.8)
    name = b.conv(name, 8, (1, 1), density=0.4)
    name = b.depthwise(name, stride=(2, 2))
    name = b.conv(name, 9, (1, 1), density=0.3)
    name = b.pool(name, "average", b.tensors[name].shape[:2])
    return b.build(b.dense(name, 4))


def residual(rng) -> Graph:
    """Shortcuts over layers of stride 1 and 2."""
    b = GraphBuilder(rng, (8, 8, 4))
    a = b.conv("input", 6)
    a = b.add(a, b.conv(a, 6))
    c = b.conv(b.conv(a, 8, stride=(2, 2)), 8, relu=False)
    return b.build(b.dense(b.add(c, b.conv(a, 8, (1, 1), stride=(2, 2))), 3))


def both_strides(rng) -> Graph:
    """A tensor read at stride 1 and 2, so copied; max pool with padding."""
    b = GraphBuilder(rng, (7, 10, 4))
    a = b.conv("input", 6)
    c = b.pool(b.conv(a, 6), "max", pad="same")
    return b.build(b.add(b.conv(c, 5, (1, 1)), b.conv(a, 5, stride=(2, 2))))


def grouped(rng) -> Graph:
    """Groups of several channels, dilation, multipliers above one."""
    b = GraphBuilder(rng, (6, 6, 8))
    name = b.conv("input", 8, groups=2, density=0.5)
    name = b.conv(name, 12, groups=4, dilation=(2, 2), silent=[0, 1])
    return b.build(b.conv(name, 3, (1, 1), density=0.2, gain=400))


def one_row(rng) -> Graph:
    """A signal: maps of one row, strides along it."""
    b = GraphBuilder(rng, (1, 40, 2))
    name = b.conv("input", 4, (1, 5), stride=(1, 2))
    name = b.conv(name, 4, (1, 3), stride=(1, 2))
    return b.build(b.dense(b.conv(name, 4, (1, 3)), 5))


def uneven_stride(rng) -> Graph:
    """Any stride on the input, overlapping pool."""
    b = GraphBuilder(rng, (20, 21, 3))
    name = b.conv("input", 5, (5, 4), stride=(3, 1))
    return b.build(b.pool(name, "max", (3, 3), stride=(2, 2)))


def sparse(rng) -> Graph:
    """Long sparse rows: bitmap pays; sparse depthwise kernels: flat addressing pays."""
    b = GraphBuilder(rng, (5, 4, 40))
    name = b.conv("input", 33, (1, 1), density=0.4)
    return b.build(b.depthwise(name, (5, 5), density=0.1))


def constant(rng) -> Graph:
    """A layer without weights: nothing is read, the input included."""
    b = GraphBuilder(rng, (5, 5, 2))
    name = b.conv("input", 3, silent=[0, 1, 2])
    return b.build(b.conv(name, 4))


def scattered(rng) -> Graph:
    """Other strides inside the network; a tensor that is read at three strides; padding behind a scattered layer."""
    b = GraphBuilder(rng, (11, 13, 3))
    a = b.conv("input", 4)
    c = b.pool(a, "max", (3, 3), stride=(3, 3))
    d = b.conv(a, 4, stride=(3, 4), silent=[2])
    e = b.conv(b.conv(a, 4, (5, 3), stride=(2, 2)), 4, stride=(2, 1))
    return b.build(b.add(b.dense(b.conv(c, 3), 5), b.add(b.dense(d, 5), b.dense(e, 5))))


NETWORKS = (strided, mobile, residual, both_strides, grouped, one_row, uneven_stride, scattered, sparse, constant)


@pytest.mark.parametrize("config", [TINY, Z7020, *SMALL_WEIGHTS], ids=["tiny", "z7020", "tiny-small", "z7020-small"])
@pytest.mark.parametrize("network", NETWORKS)
def test_network_matches_golden(network, config):
    for seed in range(SEED, SEED + 3):
        assert_matches_golden(network(np.random.default_rng(seed)), config, seed=seed)


@pytest.mark.parametrize("seed", range(60))
def test_random_network_matches_golden(seed):
    graph = random_graph(np.random.default_rng(seed))
    assert_matches_golden(graph, [TINY, Z7020, *SMALL_WEIGHTS][seed % 4], seed=seed)


@pytest.mark.parametrize("name", ["bitmap", "relative", "rice:3+huffman", "block:4:4+huffman", "csr:6", "nm:4:4"])
@pytest.mark.parametrize("network", [sparse, residual])
def test_one_format_for_all(network, name):
    image = assert_matches_golden(network(np.random.default_rng(SEED)), TINY, seed=SEED, formats=name)
    assert name in {layer["format"] for layer in image.metadata["layers"]}


def test_format_of_one_layer():
    graph = strided(np.random.default_rng(SEED))
    image = assert_matches_golden(graph, TINY, seed=SEED, formats={"conv1": "relative"})
    assert [layer["format"] == "relative" for layer in image.metadata["layers"]] == [False, True, False]


@pytest.mark.parametrize(
    ("formats", "message"),
    [
        ("huffman", "unknown weight format huffman; there are dense, bitmap, relative, .* a \\+ plain, codebook"),
        ("rice:9", "0 <= K <= 6, not 9"),
        ({"conv0": "nm:1:2"}, "conv0 cannot be encoded as asked.* do not suit nm with plain values"),
        ({"conv9": "dense"}, "no such layer"),
        ({"conv0": "bitmap"}, "conv0 cannot be encoded as asked"),
    ],
)
def test_refused_format(formats, message):
    b = GraphBuilder(np.random.default_rng(SEED), (4, 4, 2))
    with pytest.raises(CompileError, match=message):
        compile_graph(b.build(b.conv("input", 3)), TINY, formats=formats)


def test_networks_cover_what_they_are_for():
    """The cases above reach streaming, splitting, copies, flat addressing, dropped channels and left shifts."""
    images = [compile_graph(network(np.random.default_rng(SEED)), SMALL_WEIGHTS[0]) for network in NETWORKS]
    layers = [layer for image in images for layer in image.metadata["layers"]]
    assert any(layer["streamed"] for layer in layers)
    assert any(len(layer["tags"]) > 1 for layer in layers)
    assert any(layer["kind"] == "relayout" for layer in layers)
    assert any(layer["flat"] for layer in layers)
    assert {layer["format"].partition(":")[0] for layer in layers} >= {"dense", "rice", "stripes"}
    assert sum(image.metadata["dropped_channels"].get("conv0", 0) for image in images) > 2
    assert max(max(layer.scales) for layer in grouped(np.random.default_rng(SEED)).layers) > 1


def test_a_dense_run_makes_no_use_of_zeros():
    """Dead channels and empty rows are computed too; layers of one position run on all lanes, a byte a weight."""
    graph = mobile(np.random.default_rng(SEED))
    assert sum(compile_graph(graph, TINY).metadata["dropped_channels"].values()) > 0
    image = assert_matches_golden(graph, TINY, seed=SEED, dense=True)
    layers = {layer["name"]: layer for layer in image.metadata["layers"]}
    assert image.metadata["dropped_channels"] == {}
    assert list(layers) == [layer.name for layer in graph.layers]
    convs = [layer for layer in graph.layers if isinstance(layer, Conv)]
    assert any(np.any(layer.weights == 0) for layer in convs)
    for layer in convs[:-1]:
        assert layers[layer.name]["steps"] == layer.weights.size * layers[layer.name]["n_tiles"]
    assert layers[convs[-1].name]["format"] == "stripes"
    b = GraphBuilder(np.random.default_rng(SEED), (1, 1, 64))
    sparse = b.build(b.conv("input", 32, (1, 1), density=0.05))
    assert compile_graph(sparse, TINY).metadata["layers"][0]["format"] == "stripes, pairs"
    (layer,) = assert_matches_golden(sparse, TINY, seed=SEED, dense=True).metadata["layers"]
    assert (layer["format"], layer["weight_bytes"] >= 64 * 32) == ("stripes", True)
    with pytest.raises(CompileError, match="no weight formats"):
        compile_graph(graph, TINY, formats="rice", dense=True)


def test_streaming_is_reported():
    graph = residual(np.random.default_rng(SEED))
    resident = compile_graph(graph, TINY).metadata
    streamed = compile_graph(graph, SMALL_WEIGHTS[0]).metadata
    assert resident["streamed_bytes"] == 0
    assert 0 < streamed["streamed_bytes"] <= streamed["weight_bytes"]
    assert streamed["weight_words"] <= 256


def _stride_three(b: GraphBuilder) -> str:
    return b.conv(b.conv("input", 1, (1, 1)), 8, (1, 1), stride=(3, 3))


def _many_taps(b: GraphBuilder) -> str:
    return b.conv("input", 2, (12, 12))


def _padded_max(b: GraphBuilder) -> str:
    return b.pool(b.conv("input", 2, relu=False), "max", (3, 3), pad="same")


def _long_row(b: GraphBuilder) -> str:
    return b.dense("input", 2)


def _huge_multiplier(b: GraphBuilder) -> str:
    return b.conv("input", 2, gain=1e7)


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (_stride_three, (200, 200, 1), r"conv1 has stride \(3, 3\).* 35912 outputs, where up to 32768.*stride 2"),
        (_many_taps, (12, 12, 1), "conv0 has 144 taps but the engine's tap table holds 128"),
        (_padded_max, (6, 6, 1), "max pool max1: padding holds the zero point"),
        (_long_row, (10, 10, 15), "conv0: a single row with its tap table is larger than a staging area"),
        (_huge_multiplier, (3, 3, 1), "conv0: a requantise multiplier"),
    ],
)
def test_what_does_not_fit_is_refused(make, shape, message):
    b = GraphBuilder(np.random.default_rng(SEED), shape)
    graph = b.build(make(b))
    with pytest.raises(CompileError, match=message):
        compile_graph(graph, replace(TINY, weight_depth=256) if make is _long_row else TINY)


def test_list_of_many_pages():
    """More commands than the soft core's RAM holds."""
    b = GraphBuilder(np.random.default_rng(SEED), (1, 1, 1))
    name = "input"
    for _ in range(340):
        name = b.conv(name, 3, (1, 1))
    image = assert_matches_golden(b.build(name), TINY, seed=SEED, formats="dense")
    assert image.header["run_bytes"] > TINY.cpu_ram_bytes - COMMANDS_OFFSET


def test_nothing_to_run_is_refused():
    b = GraphBuilder(np.random.default_rng(SEED), (2, 2, 1))
    with pytest.raises(CompileError, match="no layer for the engine"):
        compile_graph(b.build("input"), TINY)
