"""Trains, prunes and quantises the demonstration's network on the UCI digits: ``models/digits/digits.tflite``.

Written with numpy, no training framework: two 3x3 convolutions at 8x8, one with stride 2, average pool, ten logits.
Gradual magnitude pruning (Zhu and Gupta, 2017: cubic schedule) while training; post-training quantisation to
int8, weights per output channel, activations from the training set's extremes.

Run it from the project's folder: ``python -m bench.digits.train``.
"""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pumice import golden
from pumice.cli.digits import INPUT_SCALE, INPUT_ZERO_POINT, load_split
from pumice.frontends import load_graph

from .export import QuantisedLayer, write_tflite

ROOT = Path(__file__).parents[2]
EPOCHS, PRUNE_FROM, PRUNE_TO = 70, 15, 50
BATCH = 64
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-4


def same_padding(size: int, stride: int) -> tuple[int, int]:
    """Padding before and after, so that a 3-wide window gives ``ceil(size / stride)`` results (TFLite's SAME)."""
    total = max((-(-size // stride) - 1) * stride + 3 - size, 0)
    return total // 2, total - total // 2


@dataclass
class Weighted:
    """A layer's parameters, their mask, and Adam's moments. ``w``: (out, in features); ``density``: share to keep."""

    w: np.ndarray
    density: float
    b: np.ndarray = field(init=False)
    mask: np.ndarray = field(init=False)
    moments: list = field(init=False)

    def __post_init__(self):
        self.b = np.zeros(len(self.w), np.float32)
        self.mask = np.ones_like(self.w)
        self.moments = [np.zeros_like(p) for p in (self.w, self.w, self.b, self.b)]

    def update(self, dw: np.ndarray, db: np.ndarray, step: int, rate: float) -> None:
        """One step of Adam; pruned weights stay zero."""
        m_w, v_w, m_b, v_b = self.moments
        for p, g, m, v in (
            (self.w, (dw + WEIGHT_DECAY * self.w) * self.mask, m_w, v_w),
            (self.b, db, m_b, v_b),
        ):
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            p -= rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        self.w *= self.mask

    def prune(self, density: float) -> None:
        """Keep the ``density`` largest weights of the layer."""
        n_zero = self.w.size - round(density * self.w.size)
        if n_zero:
            self.mask = (np.abs(self.w) > np.partition(np.abs(self.w), n_zero - 1, axis=None)[n_zero - 1]).astype("f4")
            self.w *= self.mask


class Conv:
    """3x3 convolution with SAME padding and ReLU, on (batch, height, width, channels)."""

    def __init__(self, rng, n_in: int, n_out: int, stride: int, density: float):
        features = 9 * n_in
        w = rng.normal(0, np.sqrt(2 / features), (n_out, features)).astype(np.float32)
        self.stride, self.n_in, self.p = stride, n_in, Weighted(w, density)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Activations; keeps what `backward` needs."""
        pad = [same_padding(size, self.stride) for size in x.shape[1:3]]
        padded = np.pad(x, ((0, 0), *pad, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (1, 2))[:, :: self.stride, :: self.stride]
        self.columns = windows.transpose(0, 1, 2, 4, 5, 3).reshape(*windows.shape[:3], -1)
        self.pad, self.padded_shape = pad, padded.shape
        self.y = np.maximum(self.columns @ self.p.w.T + self.p.b, 0)
        return self.y

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Gradient of the input; keeps those of the parameters."""
        dy = dy * (self.y > 0)
        flat = dy.reshape(-1, dy.shape[-1])
        self.gradients = flat.T @ self.columns.reshape(len(flat), -1), flat.sum(0)
        dcolumns = (dy @ self.p.w).reshape(*dy.shape[:3], 3, 3, self.n_in)
        dx = np.zeros(self.padded_shape, np.float32)
        height, width = (size * self.stride for size in dy.shape[1:3])
        for ky in range(3):
            for kx in range(3):
                dx[:, ky : ky + height : self.stride, kx : kx + width : self.stride] += dcolumns[:, :, :, ky, kx]
        (top, bottom), (left, right) = self.pad
        return dx[:, top : dx.shape[1] - bottom, left : dx.shape[2] - right]


class Classifier:
    """Average pool over the whole map, then ten logits."""

    def __init__(self, rng, n_in: int, n_out: int, density: float):
        self.p = Weighted(rng.normal(0, np.sqrt(1 / n_in), (n_out, n_in)).astype(np.float32), density)

    def forward(self, x: np.ndarray) -> np.ndarray:
        """Logits."""
        self.shape, self.pooled = x.shape, x.mean((1, 2))
        return self.pooled @ self.p.w.T + self.p.b

    def backward(self, dy: np.ndarray) -> np.ndarray:
        """Gradient of the input; keeps those of the parameters."""
        self.gradients = dy.T @ self.pooled, dy.sum(0)
        _, height, width, _ = self.shape
        return np.broadcast_to((dy @ self.p.w / (height * width))[:, None, None], self.shape)


def train(x: np.ndarray, y: np.ndarray, seed: int) -> list:
    """Layers trained and pruned on images ``x`` (n, 8, 8, 1) in 0..1 and labels ``y``."""
    rng = np.random.default_rng(seed)
    layers = [
        Conv(rng, 1, 32, 1, density=1.0),  # nine weights a row: fewer would not be faster
        Conv(rng, 32, 32, 1, density=0.15),
        Conv(rng, 32, 64, 2, density=0.12),
        Classifier(rng, 64, 10, density=0.4),
    ]
    n_batches = len(x) // BATCH
    for epoch in range(EPOCHS):
        progress = np.clip((epoch - PRUNE_FROM + 1) / (PRUNE_TO - PRUNE_FROM), 0, 1)
        for layer in layers:
            layer.p.prune(layer.p.density + (1 - layer.p.density) * (1 - progress) ** 3)
        order, loss = rng.permutation(len(x)), 0.0
        for i in range(n_batches):
            batch = order[i * BATCH : (i + 1) * BATCH]
            h = x[batch]
            for layer in layers:
                h = layer.forward(h)
            p = np.exp(h - h.max(1, keepdims=True))
            p /= p.sum(1, keepdims=True)
            loss -= np.log(p[np.arange(BATCH), y[batch]] + 1e-12).mean() / n_batches
            p[np.arange(BATCH), y[batch]] -= 1
            d = p / BATCH
            for layer in reversed(layers):
                d = layer.backward(d)
            step = epoch * n_batches + i + 1
            rate = LEARNING_RATE * 0.5 * (1 + np.cos(np.pi * step / (EPOCHS * n_batches)))
            for layer in layers:
                layer.p.update(*layer.gradients, step, rate)
        if epoch % 10 == 9:
            print(f"epoch {epoch + 1}: loss {loss:.4f}")
    return layers


def quantise(layers: list, x: np.ndarray) -> list[QuantisedLayer]:
    """Int8 layers; activation ranges are the extremes on ``x``."""
    quantised, scale = [], INPUT_SCALE
    for layer in layers:
        x = layer.forward(x)
        low, high = min(0.0, float(x.min())), float(x.max())
        out_scale = (high - low) / 255
        zero_point = round(-128 - low / out_scale)
        convolution = isinstance(layer, Conv)
        limit = np.abs(layer.p.w).max(1) if convolution else np.full(len(layer.p.w), np.abs(layer.p.w).max())
        w_scale = np.maximum(limit, 1e-9) / 127
        quantised.append(
            QuantisedLayer(
                weights=np.rint(layer.p.w / w_scale[:, None]).astype(np.int8),
                weight_scales=w_scale if convolution else w_scale[:1],
                bias=np.rint(layer.p.b / (scale * w_scale)).astype(np.int32),
                scale=out_scale,
                zero_point=zero_point,
                stride=layer.stride if convolution else None,
            )
        )
        scale = out_scale
    return quantised


def main() -> None:
    """Train, report and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--output", type=Path, default=ROOT / "models" / "digits" / "digits.tflite")
    arguments = parser.parse_args()
    split = load_split()
    layers = train(split.train_images, split.train_labels, arguments.seed)
    logits = split.test_images
    for layer in layers:
        logits = layer.forward(logits)
    n_weights, n_nonzero = sum(layer.p.w.size for layer in layers), sum(int(layer.p.mask.sum()) for layer in layers)
    print(f"float accuracy on {len(logits)} held-out digits: {(logits.argmax(1) == split.test_labels).mean():.4f}")
    print(f"{n_nonzero} of {n_weights} weights are kept: {1 - n_nonzero / n_weights:.1%} zeros")
    quantised = quantise(layers, split.train_images)
    arguments.output.write_bytes(write_tflite("digits", INPUT_SCALE, INPUT_ZERO_POINT, quantised))
    graph = load_graph(arguments.output)
    outputs = golden.run_batch(graph, golden.quantise(graph.tensors[graph.input], split.test_images))
    print(f"int8 accuracy on the same: {(outputs[:, 0, 0].argmax(1) == split.test_labels).mean():.4f}")


if __name__ == "__main__":
    main()
