"""Passes on their own: what each promises the next one."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from pumice.passes.dead import drop_dead
from pumice.passes.deal import deal
from pumice.passes.encode import encode
from pumice.passes.layout import lay_out
from pumice.passes.lower import lower
from pumice.passes.memory import peak_bytes, place
from pumice.passes.plan import Plan
from pumice.passes.relayout import insert_relayouts
from pumice.passes.stripes import stripe
from pumice.passes.weights import WORD_BYTES, make_passes
from pumice.spec.config import Z7020

from ..compiler.graphs import GraphBuilder, random_graph

SEED = 17


def _prepared(graph):
    operations, tensors, phases = insert_relayouts(lower(graph), graph.tensors, (graph.input,))
    operations, stored = drop_dead(operations, tensors, (graph.input,), (graph.output,))
    return operations, tensors, phases, stored


@pytest.mark.parametrize("left", [1, 2, 4])
def test_left_shift_becomes_more_terms(left):
    """A multiplier of 2**(left - 1) or more is 2**left on weights and bias, which int8 terms of equal taps carry."""
    b = GraphBuilder(np.random.default_rng(SEED), (4, 4, 2))
    b.conv("input", 3)
    scales = np.array([0.3, 0.5, 1.5 * 2 ** (left - 1)])
    b.layers[0] = layer = replace(b.layers[0], scales=scales)
    (operation,) = lower(b.build("conv0"))
    n_terms = len(operation.taps) // 9
    assert operation.taps == operation.taps[:9] * n_terms
    scaled = layer.weights.reshape(3, 9, 2).astype(int) << np.array([0, 0, left])[:, None, None]
    np.testing.assert_array_equal(operation.weights.astype(int).reshape(3, n_terms, 9, 2).sum(axis=1), scaled)
    np.testing.assert_array_equal(operation.bias, layer.bias.astype(int) << np.array([0, 0, left]))
    assert n_terms == np.ceil(max(scaled.max() / 127, -scaled.min() / 128))


def test_dead_channels_go_both_ways():
    """A silent channel takes its readers' weights along; a channel nobody reads is not made; the output keeps all."""
    b = GraphBuilder(np.random.default_rng(SEED), (4, 4, 2))
    b.conv("input", 4, (1, 1), silent=[1])
    b.conv("conv0", 3, (1, 1))
    b.layers[1].weights[..., 3] = 0  # nobody reads channel 3 of conv0
    b.layers[1].weights[2, ..., :] = [[[0, 5, 0, 0]]]  # reads the silent channel only
    operations, _, _, stored = _prepared(b.build("conv1"))
    assert operations[0].channel.tolist() == [0, 2]
    assert stored["conv0"] == (0, 2)
    assert operations[1].channel.tolist() == [0, 1, 2]
    assert operations[1].n_terms.tolist()[2] == 0


def test_constant_that_is_not_the_zero_point_stays():
    b = GraphBuilder(np.random.default_rng(SEED), (4, 4, 2))
    b.conv("input", 3, silent=[1])
    b.layers[0].bias[1] = 100_000
    b.conv("conv0", 2)
    operations, _, _, stored = _prepared(b.build("conv1"))
    assert stored["conv0"] == (0, 1, 2)
    assert operations[0].n_terms[1] == 0
    assert np.all(operations[1].weights[:, :, 1].any(axis=1))


@pytest.mark.parametrize("seed", range(20))
def test_layouts_leave_room_for_every_tap(seed):
    """No tap at a valid position leaves the region, and taps outside the map hit neither values nor other planes."""
    graph = random_graph(np.random.default_rng(seed))
    operations, tensors, phases, stored = _prepared(graph)
    planes = lay_out(operations, tensors, phases, stored, (graph.input,), Z7020)
    for operation in operations:
        height, width, _ = tensors[operation.output].shape
        y, x = np.mgrid[:height, :width]
        for tap in operation.taps:
            source = planes[operation.inputs[tap.source]]
            iy, ix = y * operation.stride[0] + tap.dy, x * operation.stride[1] + tap.dx
            inside = (iy >= 0) & (iy < source.shape[0]) & (ix >= 0) & (ix < source.shape[1])
            read = source.gap_bytes + source.tap_offset(tap.dy, tap.dx) + y * source.row_stride + x
            assert read.min() >= 0
            assert read.max() < source.gap_bytes + source.channel_pitch + source.gap_bytes
            values = source.pack(np.full(source.shape, source.zero_point ^ 1, np.int8))
            if source.channels:
                np.testing.assert_array_equal(np.frombuffer(values, np.int8)[read] != source.zero_point, inside)


def test_row_strides_are_free_at_each_level():
    """Three levels of stride 2 with padded layers between: every map has one column of padding, no more."""
    b = GraphBuilder(np.random.default_rng(SEED), (48, 48, 4))
    name = b.conv("input", 8)
    for _ in range(3):
        name = b.conv(b.depthwise(name, stride=(2, 2)), 8)
    operations, tensors, phases, stored = _prepared(b.build(name))
    planes = lay_out(operations, tensors, phases, stored, ("input",), Z7020)
    assert [planes[o.output].row_stride for o in operations] == [25, 25, 13, 13, 7, 7, 7]
    assert [o.row_stride for o in operations] == [49, 25, 25, 13, 13, 7, 7]
    for operation in operations[:-1:2]:
        assert planes[operation.output].phase_pitch % Z7020.n_lanes == Z7020.n_lanes // 2


@pytest.mark.parametrize("seed", range(20))
def test_regions_that_live_together_do_not_overlap(seed):
    graph = random_graph(np.random.default_rng(seed))
    operations, tensors, phases, stored = _prepared(graph)
    planes = lay_out(operations, tensors, phases, stored, (graph.input,), Z7020)
    plan = place(operations, planes, (graph.input,), (graph.output,))
    assert all(address % 8 == 0 for address in plan.values())
    for i, operation in enumerate(operations):
        later = [other for reader in operations[i + 1 :] for other in reader.inputs] + [graph.output]
        made = {graph.input} | {other.output for other in operations[: i + 1]}
        live = {operation.output, *operation.inputs} | (made & set(later))
        spans = sorted((plan[name], plan[name] + planes[name].n_bytes) for name in live)
        assert all(end <= start for (_, end), (start, _) in pairwise(spans))
        assert spans[-1][1] <= peak_bytes(plan, planes)


@pytest.mark.parametrize("n_cores", [1, 3, 4, 16])
def test_deal_is_longest_first(n_cores):
    rng = np.random.default_rng(SEED)
    for n_rows in (0, 1, 5, 40):
        costs = rng.integers(8, 200, n_rows).tolist()
        cores = deal(costs, n_cores)
        assert sorted(row for core in cores for row in core) == list(range(n_rows))
        loads = [sum(costs[row] for row in core) for core in cores]
        assert max(loads) <= sum(costs) / n_cores + max(costs, default=0)
    assert deal([8, 8, 9, 33, 8], 2) == [[3], [0, 1, 2, 4]]


@pytest.mark.parametrize("seed", range(10))
def test_words_of_segments_are_known_before_they_are_made(seed):
    """A whole layer may have more words than its preamble can state: then it is cut, by this size."""
    graph = random_graph(np.random.default_rng(seed))
    operations, tensors, phases, stored = _prepared(graph)
    planes = lay_out(operations, tensors, phases, stored, (graph.input,), Z7020)
    inputs, outputs = (graph.input,), (graph.output,)
    plan = Plan(
        planes=planes, addresses=place(operations, planes, inputs, outputs), bands={}, homes={}, next_inputs=None,
        network_inputs=inputs, network_outputs=outputs, config=Z7020,
    )  # fmt: skip
    layers = [encode(operation, plan) for operation in operations]
    for layer in layers + stripe(layers, plan, range(1 << 14, Z7020.activation_bytes)):
        for n_parts in range(1, min(3, len(layer.groups)) + 1):
            for part in make_passes(layer, n_parts, Z7020):
                assert part.n_words == max(map(len, part.segments)) // WORD_BYTES
