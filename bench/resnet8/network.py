"""ResNet-8, MLPerf Tiny's image classification network, with random weights."""

import math

import numpy as np
from pumice.floating import FloatGraph
from pumice.frontends.build import FloatBuilder
from pumice.graph import Window

INPUT_SCALE = 1 / 64  # of int8 = pixel - 128
STAGES = (16, 32, 64)
N_CLASSES = 10


def build(seed: int) -> FloatGraph:
    """The network, weights drawn by He et al. (2015)."""
    rng = np.random.default_rng(seed)
    builder = FloatBuilder("resnet8")

    def conv(name: str, x: str, n_out: int, *, size: int = 3, stride: int = 1, relu: bool = True) -> str:
        n_in = builder.shapes[x][2]
        weights = rng.normal(0, math.sqrt(2 / (size * size * n_in)), (n_out, size, size, n_in))
        pad = size // 2
        window = Window(
            kernel=(size, size), stride=(stride, stride), pad_top=pad, pad_bottom=pad, pad_left=pad, pad_right=pad
        )
        return builder.conv(name, x, weights, None, window, low=0.0 if relu else -math.inf)

    image = builder.input("image", (32, 32, 3))
    x = conv("stem", image, STAGES[0])
    for i, n_out in enumerate(STAGES, 1):
        stride = 1 if i == 1 else 2
        y = conv(f"stage{i}_a", x, n_out, stride=stride)
        y = conv(f"stage{i}_b", y, n_out, relu=False)
        if i > 1:
            x = conv(f"stage{i}_skip", x, n_out, size=1, stride=2, relu=False)
        x = builder.add(f"stage{i}", x, y, low=0.0)
    pooled = builder.pool("pooled", x, Window(kernel=builder.shapes[x][:2], stride=builder.shapes[x][:2]), "average")
    weights = rng.normal(0, math.sqrt(1 / STAGES[-1]), (N_CLASSES, 1, 1, STAGES[-1]))
    logits = builder.dense("logits", pooled, weights, None)
    return builder.finish(image, {logits: (1, N_CLASSES)}, (1, 32, 32, 3), "bench.resnet8")
