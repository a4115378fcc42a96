"""Pruning without training: against brute force on one layer, and what it must hold on whole networks."""

from itertools import combinations

import numpy as np
import pytest
from pumice import floating, golden
from pumice.errors import InputError
from pumice.floating import FloatGraph
from pumice.frontends.build import FloatBuilder
from pumice.graph import Window
from pumice.inputs import convert_input
from pumice.pruning import parse_pattern
from pumice.pruning.allocate import by_sensitivity, layer_adaptive
from pumice.pruning.network import prunable
from pumice.pruning.prune import METHODS, prune, sensitive_sparsities
from pumice.pruning.reconstruct import fit, moments
from pumice.quantise import quantise

from .nets import residual, samples

UNSTRUCTURED = parse_pattern("unstructured")
SEED = 5
GROUPS_HOLD = {
    "unstructured": lambda zeros: True,
    "2:4": lambda zeros: np.all(zeros.reshape(-1, 4).sum(axis=1) >= 2),
    "block:1x4": lambda zeros: np.mean(np.isin(zeros.reshape(-1, 4).sum(axis=1), (0, 4))) > 0.9,  # int8 may round to 0
    "channel": lambda zeros: zeros.all(axis=1).sum() >= round(0.5 * len(zeros)),
}


def _row(n: int) -> tuple[FloatGraph, np.ndarray]:
    """A fully connected layer of one output, and correlated samples."""
    rng = np.random.default_rng(SEED)
    net = FloatBuilder("row")
    x = net.input("x", (1, 1, n))
    net.dense("d", x, rng.normal(size=(1, 1, 1, n)), rng.normal(size=1))
    graph = net.finish(x, {"d": (1, 1)}, (1, n), "test")
    mixed = rng.normal(size=(500, n)) @ rng.normal(size=(n, n)) + rng.normal(size=n)
    return graph, mixed.reshape(500, 1, 1, n).astype(np.float32)


def _error(graph: FloatGraph, other: FloatGraph, x: np.ndarray) -> float:
    return float(np.square(floating.run_batch(graph, x) - floating.run_batch(other, x)).mean())


def test_one_row_is_near_the_best_of_all_supports():
    graph, x = _row(8)
    pruned = prune(graph, {"d": 0.5}, UNSTRUCTURED, samples=x)
    inputs = np.c_[x.reshape(500, 8).astype(np.float64), np.ones(500)]
    expected = floating.run_batch(graph, x).ravel()

    def best(support) -> float:
        columns = inputs[:, [*support, 8]]
        return float(np.square(columns @ np.linalg.lstsq(columns, expected, rcond=None)[0] - expected).mean())

    errors = sorted(best(support) for support in combinations(range(8), 4))
    found = _error(graph, pruned, x)
    assert np.count_nonzero(pruned.layers[0].weights) == 4
    assert found < 1.05 * errors[2]  # of 70
    assert found < 0.5 * _error(graph, prune(graph, {"d": 0.5}, UNSTRUCTURED, method="magnitude"), x)


@pytest.mark.parametrize("seed", range(6))
def test_the_block_that_goes_is_the_one_that_others_replace_best(seed):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(400, 8)) @ rng.normal(size=(8, 8))).reshape(400, 1, 1, 8)
    weights, window = rng.normal(size=(1, 1, 1, 8)), Window(kernel=(1, 1))
    inputs, expected = np.c_[x.reshape(400, 8), np.ones(400)], x.reshape(400, 8) @ weights.ravel()

    def error(block: int) -> float:
        columns = np.delete(inputs, [2 * block, 2 * block + 1], axis=1)
        return float(np.square(columns @ np.linalg.lstsq(columns, expected, rcond=None)[0] - expected).mean())

    errors = [error(block) for block in range(4)]
    fitted, _ = fit(weights, np.zeros(1), moments(x, x, window, 1), 1, parse_pattern("block:1x2"), 0.25)
    (gone,) = np.flatnonzero(~fitted.reshape(4, 2).any(axis=1))
    assert errors[gone] <= 1.05 * min(errors)


def test_the_channel_that_goes_is_the_one_that_varies_least():
    """Not the one of the smallest weights: its input varies most."""
    x = np.random.default_rng(SEED).normal(size=(500, 1, 1, 4)) * (10, 1, 1, 1)
    weights, window = np.diag([1.0, 2.0, 3.0, 4.0]).reshape(4, 1, 1, 4), Window(kernel=(1, 1))
    fitted, _ = fit(weights, np.zeros(4), moments(x, x, window, 1), 1, parse_pattern("channel"), 0.25)
    assert np.flatnonzero(~fitted.reshape(4, 4).any(axis=1)).tolist() == [1]


def test_weights_of_int8_networks_may_outgrow_their_scale():
    """Of two equal inputs one goes: the weight of the other is twice as large."""
    net = FloatBuilder("twice")
    x = net.input("x", (1, 1, 2))
    graph = net.finish(x, {net.dense("d", x, np.ones((1, 1, 1, 2)), np.zeros(1)): (1, 1)}, (1, 2), "test")
    samples_ = np.repeat(np.random.default_rng(SEED).normal(size=(200, 1, 1, 1)), 2, axis=3).astype(np.float32)
    integer = quantise(graph, samples_)
    inputs = convert_input(samples_, integer)
    pruned = prune(integer, {"d": 0.5}, UNSTRUCTURED, samples=inputs)
    assert np.count_nonzero(pruned.layers[0].weights) == 1
    difference = golden.run_batch(pruned, inputs).astype(int) - golden.run_batch(integer, inputs)
    assert np.abs(difference).max() <= 2


def test_weights_whose_input_others_replace_cost_nothing():
    graph, x = _row(6)
    x[..., 3] = x[..., 1] - 0.5 * x[..., 2] + 1
    pruned = prune(graph, {"d": 1 / 6}, UNSTRUCTURED, samples=x)
    assert np.flatnonzero(pruned.layers[0].weights.ravel() == 0).tolist() in ([1], [2], [3])
    assert _error(graph, pruned, x) < 1e-3 * floating.run_batch(graph, x).var()


@pytest.mark.parametrize("pattern", ["unstructured", "2:4", "block:1x4", "channel"])
@pytest.mark.parametrize("int8", [False, True])
def test_second_order_is_better_than_magnitude_and_keeps_the_pattern(pattern, int8):
    float_graph, x = residual(softmax=False), samples(200)
    graph = quantise(float_graph, x) if int8 else float_graph
    x, fresh = (convert_input(part, graph) if int8 else part for part in (x, samples(100, seed=3)))
    run = golden.run_batch if int8 else floating.run_batch
    shares = dict.fromkeys(("a", "c", "d"), 0.5)
    expected = run(graph, fresh).astype(np.float64)
    errors = {}
    for method in METHODS:
        pruned = prune(graph, shares, parse_pattern(pattern), samples=x, method=method)
        for name in shares:
            zeros = prunable(pruned)[name].weights == 0
            assert zeros.mean() >= 0.4
            assert GROUPS_HOLD[pattern](zeros.reshape(len(zeros), -1))
        errors[method] = np.square(run(pruned, fresh) - expected).mean()
    assert errors["obs"] < 0.7 * errors["magnitude"]


def test_nothing_changes_where_nothing_is_dropped():
    for graph in (residual(), quantise(residual(), samples(50))):
        shares = dict.fromkeys(prunable(graph), 0.0)
        x = samples(50) if isinstance(graph, FloatGraph) else convert_input(samples(50), graph)
        for method in METHODS:
            pruned = prune(graph, shares, UNSTRUCTURED, samples=x, method=method)
            for name, layer in prunable(graph).items():
                assert np.allclose(prunable(pruned)[name].weights, layer.weights, atol=1e-6)
                assert np.allclose(prunable(pruned)[name].bias, layer.bias, atol=1e-4)


def test_a_residual_addition_makes_good_the_error_of_its_other_side():
    rng, net = np.random.default_rng(SEED), FloatBuilder("sum")
    x = net.input("x", (6, 6, 4))
    sides = [net.conv(name, x, rng.normal(size=(3, 1, 1, 4)), None, Window(kernel=(1, 1))) for name in "ab"]
    graph = net.finish(x, {net.add("sum", *sides): (1, 6, 6, 3)}, (1, 6, 6, 4), "test")
    only_a = prune(graph, {"a": 0.6}, UNSTRUCTURED, samples=samples(100))
    both = prune(graph, {"a": 0.6, "b": 0.0}, UNSTRUCTURED, samples=samples(100))
    fresh = samples(100, seed=3)
    assert _error(graph, both, fresh) < 0.01 * _error(graph, only_a, fresh)


def test_what_is_owed_on_average_goes_into_the_bias():
    layer = prunable(residual())["c"]
    x = np.random.default_rng(SEED).normal(size=(50, 6, 6, 8))
    owed = np.full((50, 6, 6, 8), 3.0)
    weights, bias = fit(layer.weights, layer.bias, moments(x, x, layer.window, 1, owed), 1, UNSTRUCTURED, 0.0)
    np.testing.assert_allclose(weights, layer.weights, atol=1e-9)
    np.testing.assert_allclose(bias, layer.bias + 3, atol=1e-9)


def test_sensitive_sparsities_add_up_and_spare_the_layer_that_matters():
    graph, x = residual(), samples(64)
    for method, given in (("obs", x), ("magnitude", x), ("magnitude", None)):
        shares = sensitive_sparsities(graph, 0.5, UNSTRUCTURED, samples=given, method=method)
        layers = prunable(graph)
        dropped = sum(shares[name] * layer.weights.size for name, layer in layers.items())
        assert dropped == pytest.approx(0.5 * sum(layer.weights.size for layer in layers.values()), abs=2)
        assert len({round(share, 2) for share in shares.values()}) > 1


def test_the_least_error_is_shared_out():
    """Errors that grow as squares: what the next weight costs is the same everywhere."""
    errors = {"cheap": {0.5: 0.25, 1.0: 1.0}, "dear": {0.5: 1.0, 1.0: 4.0}}
    shares = by_sensitivity({"cheap": 10, "dear": 10}, errors, 0.25)
    assert shares == pytest.approx({"cheap": 0.4, "dear": 0.1}, abs=0.051)
    assert sum(shares.values()) == pytest.approx(0.5)
    shares = by_sensitivity({"cheap": 10, "dear": 30}, errors, 0.25)  # a zero in the large layer costs a third
    assert shares == pytest.approx({"cheap": 0.31, "dear": 0.23}, abs=0.051)
    assert 10 * shares["cheap"] + 30 * shares["dear"] == pytest.approx(10)


def test_the_way_to_much_sparsity_may_be_cheaper_than_a_little():
    """Of "dear" the way to 0.5 costs more than the whole way in proportion: it is taken as a straight line."""
    errors = {"cheap": {0.5: 1.0, 1.0: 10.0}, "dear": {0.5: 6.0, 1.0: 6.1}}
    assert by_sensitivity({"cheap": 10, "dear": 10}, errors, 1.0) == pytest.approx({"cheap": 1.0, "dear": 1.0})
    assert by_sensitivity({"cheap": 10, "dear": 10}, errors, 0.75)["dear"] == pytest.approx(0.9, abs=0.11)


def test_a_layer_that_costs_nothing_still_keeps_what_it_must():
    errors = {"cheap": {0.5: 1e-3, 1.0: 1e-2}, "dear": {0.5: 1.0, 1.0: 4.0}}
    sizes = {"cheap": 10, "dear": 10}
    shares = by_sensitivity(sizes, errors, 0.5, {"cheap": 0.87, "dear": 0.87})
    assert shares == pytest.approx({"cheap": 0.87, "dear": 0.13})
    assert by_sensitivity(sizes, errors, 0.87, {"cheap": 0.87, "dear": 0.87}) == pytest.approx(
        dict.fromkeys(sizes, 0.87)
    )
    with pytest.raises(InputError, match=r"at most 87\.0000%"):
        by_sensitivity(sizes, errors, 0.88, {"cheap": 0.87, "dear": 0.87})


@pytest.mark.parametrize(("pattern", "sparsity"), [("channel", 0.82), ("block:1x4", 0.95), ("unstructured", 0.98)])
def test_no_layer_loses_all(pattern, sparsity):
    graph, x = residual(), samples(64)
    chosen = parse_pattern(pattern)
    pruned = prune(graph, sensitive_sparsities(graph, sparsity, chosen, samples=x), chosen, samples=x)
    assert all(layer.weights.any() for layer in prunable(pruned).values())


def test_layer_adaptive_scores():
    """Squares over those of all that are not smaller: 1/14, 4/13, 1 and 9/18.61, 1."""
    weights = {"a": np.array([3.0, -1.0, 2.0]), "b": np.array([3.0, 3.1])}
    assert layer_adaptive(weights, 0.2) == pytest.approx({"a": 1 / 3, "b": 0})
    assert layer_adaptive(weights, 0.4) == pytest.approx({"a": 2 / 3, "b": 0})
    assert layer_adaptive(weights, 0.6) == pytest.approx({"a": 2 / 3, "b": 1 / 2})


def test_layer_adaptive_keeps_some_of_every_layer():
    rng = np.random.default_rng(SEED)
    shares = layer_adaptive({"large": rng.normal(size=1000), "small": 1e-3 * rng.normal(size=100)}, 0.95)
    assert max(shares.values()) < 1
    assert (1000 * shares["large"] + 100 * shares["small"]) / 1100 == pytest.approx(0.95, abs=0.002)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(sparsities={"zzz": 0.5}), "no weights called zzz"),
        (dict(sparsities={"a": 1.5}, method="magnitude"), r"0\.\.1"),
        (dict(sparsities={"a": 0.5}, method="best"), "no pruning method 'best'"),
        (dict(sparsities={"a": 0.5}), "takes samples"),
    ],
)
def test_mistakes_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        prune(residual(), pattern=UNSTRUCTURED, **arguments)


def test_more_than_a_pattern_drops_is_refused():
    with pytest.raises(InputError, match="drops 50%"):
        sensitive_sparsities(residual(), 0.75, parse_pattern("2:4"))
