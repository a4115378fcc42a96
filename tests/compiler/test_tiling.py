"""Networks larger than activation memory: the reference interpreter, which checks transfers, equals golden."""

from dataclasses import replace

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.errors import CompileError
from pumice.spec.config import TINY, Z7020

from .checks import assert_matches_golden
from .graphs import GraphBuilder, random_graph

SEED = 5
SMALL = replace(TINY, bank_depth=64)  # 512 bytes of activations
BOTH_SMALL = replace(SMALL, weight_depth=256)
LARGER = replace(TINY, bank_depth=128)


def kinds_in_bands(image) -> set[str]:
    return {layer["kind"] for layer in image.metadata["layers"] if layer["n_bands"] > 1}


def test_random_networks_match_golden():
    n_cut = n_refused = 0
    for seed in range(48):
        graph, config = random_graph(np.random.default_rng(seed)), [SMALL, BOTH_SMALL][seed % 2]
        try:
            compile_graph(graph, config)
        except CompileError:
            n_refused += 1
            continue
        image = assert_matches_golden(graph, config, seed=seed)
        n_cut += len(kinds_in_bands(image)) > 0
    assert n_cut >= 15
    assert n_refused <= 3


def convolutions(b: GraphBuilder) -> str:
    """Halos on all sides, dilation, valid padding, groups."""
    name = b.conv("input", 4)
    name = b.conv(name, 4, (3, 2), dilation=(2, 3))
    name = b.depthwise(name, (5, 3))
    name = b.conv(name, 6, (2, 2), pad="valid", groups=2)
    return b.conv(name, 3, (1, 1))


def pools(b: GraphBuilder) -> str:
    """Max with padding and average, overlapping and not."""
    name = b.pool(b.conv("input", 5), "max", (3, 3), stride=(1, 1), pad="same")
    name = b.pool(name, "average", (2, 2), stride=(1, 1))
    return b.pool(b.conv(name, 4), "max", (2, 2))


def residuals(b: GraphBuilder) -> str:
    """Skips over several layers, one over a layer of stride 2; a map that is read with both strides."""
    a = b.conv("input", 4)
    c = b.add(a, b.conv(b.conv(a, 4), 4, relu=False))
    d = b.add(b.conv(b.conv(c, 6, stride=(2, 2)), 6), b.conv(c, 6, (1, 1), stride=(2, 2)))
    return b.add(b.conv(d, 4, stride=(2, 2)), b.conv(b.add(b.conv(d, 6), d), 4, stride=(2, 2)))


def strides(b: GraphBuilder) -> str:
    """Phases stored and read in bands, odd sizes; the last maps stay on chip."""
    name = b.conv("input", 4, stride=(2, 2))
    name = b.depthwise(b.conv(name, 6), stride=(2, 2))
    return b.dense(b.conv(name, 4, stride=(2, 2)), 5)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("make", "kinds"),
    [
        (convolutions, {"conv", "depthwise"}),
        (pools, {"conv", "max", "average"}),
        (residuals, {"conv", "add", "relayout"}),
        (strides, {"conv"}),
    ],
)
def test_every_kind_runs_in_bands(make, kinds, seed):
    b = GraphBuilder(np.random.default_rng(seed), (21 + seed, 15 - seed, 3))
    image = assert_matches_golden(b.build(make(b)), LARGER, seed=seed)
    assert kinds_in_bands(image) >= kinds
    assert image.metadata["activation_bytes"] <= LARGER.activation_bytes


@pytest.mark.parametrize(("height", "outside"), [(40, False), (8, True)])
def test_weights_in_parts(height, outside):
    """Bands inside the parts of the rows, and parts inside the bands: whichever moves fewer bytes."""
    b = GraphBuilder(np.random.default_rng(SEED), (height, 10, 8))
    config = replace(BOTH_SMALL, bank_depth=256)
    image = assert_matches_golden(b.build(b.conv("input", 30)), config, seed=SEED)
    (layer,) = image.metadata["layers"]
    assert layer["streamed"]
    n_parts = len(layer["tags"]) // layer["n_bands"]
    assert n_parts > 2
    assert layer["n_bands"] > 2


def test_wide_configuration():
    """Lanes in whole vectors of 32, four cores."""
    config = replace(Z7020, bank_depth=128)
    b = GraphBuilder(np.random.default_rng(SEED), (30, 22, 8))
    name = b.conv(b.conv("input", 12, density=0.5), 8, stride=(2, 2), density=0.5)
    image = assert_matches_golden(b.build(b.add(name, b.conv(name, 8))), config, seed=SEED)
    assert kinds_in_bands(image) == {"conv", "add"}


def test_what_fits_is_not_cut():
    b = GraphBuilder(np.random.default_rng(SEED), (20, 20, 3))
    image = compile_graph(b.build(b.conv("input", 4)), TINY)
    assert image.header["scratch_bytes"] == 0
    assert [layer["n_bands"] for layer in image.metadata["layers"]] == [1]


@pytest.mark.parametrize(
    ("make", "shape", "message"),
    [
        (lambda b: b.conv("input", 3), (40, 40, 12), r"conv0: a band of its output needs \d+ bytes .* has 512"),
        (lambda b: b.dense("input", 2), (7, 7, 14), r"conv0: it, which cannot run in bands, needs \d+ bytes"),
    ],
)
def test_what_does_not_fit_in_bands_is_refused(make, shape, message):
    b = GraphBuilder(np.random.default_rng(SEED), shape)
    with pytest.raises(CompileError, match=message):
        compile_graph(b.build(make(b)), SMALL)
