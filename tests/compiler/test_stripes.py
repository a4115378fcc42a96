"""Striped layers whose slots do not fit: layers share a place, a layer streams in parts."""

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.errors import CompileError
from pumice.graph import Graph
from pumice.image import Image
from pumice.spec.config import TINY, Z7020
from pumice.spec.descriptor import COMMAND, OP_END, OP_NEXT_PAGE, OP_TRANSFER, PAGE_BYTES, SPACE_BANKS, TRANSFER

from .checks import assert_matches_golden
from .graphs import GraphBuilder

SHARING = [64] * 5  # 16,384 bytes of slots on TINY, which has as many bytes of activation memory
MORE_SHARING = [64] * 6
LONG = [600, 128]


def perceptron(seed: int, sizes: list[int], density: float = 1.0) -> Graph:
    """Fully connected layers of these sizes, the input first."""
    builder = GraphBuilder(np.random.default_rng(seed), (1, 1, sizes[0]))
    tensor = "input"
    for n in sizes[1:]:
        tensor = builder.conv(tensor, n, (1, 1), density=density)
    return builder.build(tensor)


def slot_places(image: Image) -> set[int]:
    """Addresses on chip to which the run list brings slots."""
    words = np.frombuffer(image.data, "<u4", image.header["run_bytes"] // 4, image.header["run_offset"])
    places, at = set(), 0
    while (head := COMMAND.unpack(words[at:]))["op"] != OP_END:
        if head["op"] == OP_NEXT_PAGE:
            at += PAGE_BYTES // 4 - at % (PAGE_BYTES // 4)
            continue
        if head["op"] == OP_TRANSFER:
            transfer = TRANSFER.unpack(words[at + COMMAND.n_words :])
            if transfer["space"] == SPACE_BANKS:
                places.add(transfer["local"])
        at += head["n_words"]
    return places


@pytest.mark.parametrize(("sizes", "n_passes"), [(SHARING, [1, 2]), (MORE_SHARING, [1, 1, 2])], ids=str)
def test_layers_share_a_place(sizes, n_passes):
    """Slots that nearly fit: parts of two or three layers stream to one place, all layers are striped."""
    graph = perceptron(1, sizes)
    image = assert_matches_golden(graph, TINY, seed=2)
    layers = image.metadata["layers"]
    assert all("stripes" in layer["format"] for layer in layers)
    streamed = [layer for layer in layers if layer["streamed"]]
    assert [len(layer["tags"]) for layer in streamed] == n_passes
    n_bytes = sum(layer["weight_bytes"] for layer in layers)
    assert 0 < image.metadata["streamed_bytes"] < n_bytes / 3
    places = slot_places(image)
    assert max(places) - min(places) < max(layer["streamed_slot_bytes"] for layer in streamed)


@pytest.mark.parametrize("density", [1.0, 0.1])
def test_a_layer_streams_in_parts(density):
    """A layer that is asked to be striped and whose slots take several times the activation memory."""
    graph = perceptron(3, LONG, density)
    name = graph.layers[0].name
    image = assert_matches_golden(graph, TINY, seed=4, formats={name: "stripes"})
    (layer,) = image.metadata["layers"]
    assert "stripes" in layer["format"]
    assert layer["streamed"]
    assert len(layer["tags"]) >= 3
    assert len(slot_places(image)) == 2


def test_a_layer_that_cannot_be_striped():
    builder = GraphBuilder(np.random.default_rng(5), (4, 4, 3))
    graph = builder.build(builder.conv("input", 4, (3, 3)))
    with pytest.raises(CompileError, match="cannot be striped"):
        compile_graph(graph, TINY, formats={graph.layers[0].name: "stripes"})


def test_slots_of_large_layers_are_busy():
    """Of the slots of a 4096 x 512 layer at 9 % density at least 90 % have weights, though it streams in parts."""
    graph = perceptron(6, [4096, 512], 0.09)
    image = compile_graph(graph, Z7020, formats={graph.layers[0].name: "stripes"})
    (layer,) = image.metadata["layers"]
    n_pairs = layer["steps"] // 2 * Z7020.n_lanes
    assert layer["nonzero_macs"] >= 0.9 * n_pairs
