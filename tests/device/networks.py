"""A small random network for tests of devices."""

import numpy as np
from pumice.graph import Conv, Graph, Softmax, Tensor, Window


def small_graph(seed: int, *, softmax: bool = False) -> Graph:
    """A pruned 3x3 convolution with stride 2 on 6 x 5 x 3, then fully connected to 4, softmax if asked for."""
    rng = np.random.default_rng(seed)

    def conv(name: str, source: str, output: str, shape: tuple[int, ...], window: Window, kind: str) -> Conv:
        weights = rng.integers(-127, 128, shape).astype(np.int8)
        weights[rng.random(shape) < 0.6] = 0
        return Conv(
            name=name,
            inputs=(source,),
            output=output,
            window=window,
            weights=weights,
            bias=rng.integers(-500, 500, shape[0]).astype(np.int32),
            scales=rng.uniform(0.002, 0.01, shape[0]),
            kind=kind,
        )

    layers: list = [
        conv("conv", "image", "features", (6, 3, 3, 3), Window(kernel=(3, 3), stride=(2, 2), pad_bottom=1), "conv"),
        conv("dense", "features", "logits", (4, 3, 2, 6), Window(kernel=(3, 2)), "dense"),
    ]
    tensors = [
        Tensor(name="image", shape=(6, 5, 3), scale=1 / 128, zero_point=3),
        Tensor(name="features", shape=(3, 2, 6), scale=0.05, zero_point=-20),
        Tensor(name="logits", shape=(1, 1, 4), scale=0.1, zero_point=7),
    ]
    if softmax:
        layers.append(Softmax(name="softmax", inputs=("logits",), output="probabilities"))
        tensors.append(Tensor(name="probabilities", shape=(1, 1, 4), scale=1 / 256, zero_point=-128))
    return Graph(
        name="small",
        tensors={tensor.name: tensor for tensor in tensors},
        layers=layers,
        input="image",
        output=tensors[-1].name,
        input_shape=(1, 6, 5, 3),
        output_shape=(1, 4),
    )
