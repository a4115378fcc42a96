"""Small int8 networks, built by hand, that cover the operators of the TensorFlow Lite front end."""

from collections.abc import Callable

import numpy as np

from .build_tflite import Made, TfliteBuilder


class Weights:
    """Seeded weights and biases whose results spread over the int8 range."""

    def __init__(self, seed: int):
        self.rng = np.random.default_rng(seed)

    def filters(self, *shape: int) -> np.ndarray:
        """Int8, about half of them zero."""
        return (self.rng.integers(-128, 128, shape) * (self.rng.random(shape) < 0.5)).astype(np.int8)

    def layer(self, n_out: int, *shape: int, axis: int = 0, spread: float = 1.0, per_channel: bool = True) -> dict:
        """``weights`` of ``shape`` with ``n_out`` put in at ``axis``, ``bias`` and quantisation of a layer."""
        weights = self.filters(*shape[:axis], n_out, *shape[axis:])
        n_terms = weights.size // n_out
        scales = 0.01 * self.rng.uniform(0.5, 2, n_out) if per_channel else 0.01
        return {
            "weights": weights,
            "bias": self.rng.integers(-2000, 2000, n_out),
            "weight_scales": scales,
            "scale": spread * 0.02 * np.sqrt(n_terms),
            "zero_point": int(self.rng.integers(-60, 60)),
        }


def _input(net: TfliteBuilder, *shape: int, zero_point: int = -5) -> Made:
    return net.input((1, *shape), scale=0.05, zero_point=zero_point)


def classifier(seed: int = 1) -> bytes:
    """Strided convolution, depthwise with multiplier 2, average pool, fully connected, softmax."""
    net, w = TfliteBuilder(), Weights(seed)
    x = _input(net, 8, 7, 3)
    x = net.conv(x, **w.layer(6, 3, 3, 3), stride=(2, 2), activation="RELU", name="conv")
    x = net.depthwise(x, **w.layer(12, 1, 3, 3, axis=3), activation="RELU6", name="depthwise")
    x = net.average_pool(x, (2, 2), stride=(1, 1), name="average")
    x = net.reshape(x, (1, 3 * 3 * 12), name="flat")
    x = net.fully_connected(x, **w.layer(5, 108, per_channel=False), name="logits")
    return net.finish(net.softmax(x, name="probabilities"))


def residual(seed: int = 2) -> bytes:
    """Two branches of different scales, added and averaged by MEAN."""
    net, w = TfliteBuilder(), Weights(seed)
    x = _input(net, 6, 6, 4)
    a = net.conv(x, **w.layer(8, 3, 3, 4, spread=0.5), name="left")
    b = net.conv(x, **w.layer(8, 1, 1, 4), name="right")
    x = net.add(a, b, scale=0.06, zero_point=-128, activation="RELU", name="sum")
    return net.finish(net.mean(x, name="mean"))


def windows(seed: int = 3) -> bytes:
    """Grouped and dilated convolutions, explicit padding, padded max pool."""
    net, w = TfliteBuilder(), Weights(seed)
    x = _input(net, 12, 11, 4)
    x = net.conv(x, **w.layer(6, 3, 3, 2), dilation=(2, 1), padding="VALID", name="grouped")
    x = net.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0)), name="padded")
    x = net.conv(x, **w.layer(5, 3, 2, 6), stride=(2, 1), padding="VALID", name="strided")
    x = net.max_pool(x, (3, 3), stride=(2, 2), padding="SAME", name="max")
    x = net.depthwise(x, **w.layer(5, 1, 2, 2, axis=3), dilation=(2, 2), activation="RELU_N1_TO_1", name="dilated")
    return net.finish(x)


def dense(seed: int = 4) -> bytes:
    """Fully connected layers, the last of which keeps the shape; a multiplier above 1 and no bias."""
    net, w = TfliteBuilder(), Weights(seed)
    x = _input(net, 40, zero_point=12)
    x = net.fully_connected(x, **w.layer(17, 40), activation="RELU", name="wide")
    small = w.rng.integers(-2, 3, (3, 17)).astype(np.int8)
    narrow = w.layer(3, 17) | {"weights": small, "bias": None, "scale": 0.0004}
    x = net.fully_connected(x, **narrow, name="narrow")
    return net.finish(net.reshape(x, (1, 1, 3), name="reshaped"))


def float_borders(seed: int = 5) -> bytes:
    """Float input and output, quantised inside; a mean over one axis; fully connected at each position."""
    net, w = TfliteBuilder(), Weights(seed)
    x = net.input((1, 5, 4, 3), dtype="FLOAT32")
    x = net.quantize(x, scale=0.03, zero_point=7, name="quantised")
    x = net.mean(x, (1,), keep_dims=True, scale=0.02, zero_point=-9, name="mean")
    x = net.fully_connected(x, **w.layer(2, 3, per_channel=False), keep_dims=True, name="everywhere")
    return net.finish(net.dequantize(x, name="real"))


NETS: dict[str, Callable[..., bytes]] = {
    make.__name__: make for make in (classifier, residual, windows, dense, float_borders)
}
