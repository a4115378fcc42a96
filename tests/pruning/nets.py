"""Small networks to prune, with inputs whose channels are correlated, as those of real feature maps are."""

import numpy as np
from pumice.floating import FloatGraph
from pumice.frontends.build import FloatBuilder
from pumice.graph import Window

SAME = Window(kernel=(3, 3), pad_top=1, pad_bottom=1, pad_left=1, pad_right=1)


def residual(seed: int = 1, softmax: bool = True) -> FloatGraph:
    """Convolution, depthwise, residual addition, average, fully connected."""
    rng, net = np.random.default_rng(seed), FloatBuilder("net")
    x = net.input("x", (6, 6, 4))
    a = net.conv("a", x, rng.normal(size=(8, 3, 3, 4)) / 6, rng.normal(size=8), SAME, low=0.0)
    b = net.conv(
        "b", a, rng.normal(size=(8, 3, 3, 1)) / 3, rng.normal(size=8), SAME, groups=8, kind="depthwise", low=0.0
    )
    c = net.conv("c", b, rng.normal(size=(8, 1, 1, 8)) / 3, None, Window(kernel=(1, 1)))
    pooled = net.pool("mean", net.add("sum", a, c, low=0.0), Window(kernel=(6, 6), stride=(6, 6)), "average")
    last = net.dense("d", pooled, rng.normal(size=(5, 1, 1, 8)), rng.normal(size=5))
    return net.finish(x, {net.softmax("p", last) if softmax else last: (1, 5)}, (1, 6, 6, 4), "test")


def samples(n: int, seed: int = 2) -> np.ndarray:
    """Inputs: each channel a mixture of two smooth ones."""
    rng = np.random.default_rng(seed)
    smooth = rng.normal(size=(n, 6, 6, 2)).cumsum(axis=1).cumsum(axis=2) / 4
    mixture = np.random.default_rng(0).normal(size=(2, 4))
    return (smooth @ mixture + 0.3 * rng.normal(size=(n, 6, 6, 4))).astype(np.float32)
