"""Random small networks for compiler tests."""

import numpy as np
from pumice.graph import Add, Conv, Graph, Layer, Pool, Tensor, Window


class GraphBuilder:
    """Adds layers one by one; each method returns the name of the new tensor. Quantisation is random but sane."""

    def __init__(self, rng: np.random.Generator, shape: tuple[int, int, int]):
        self.rng = rng
        self.tensors: dict[str, Tensor] = {}
        self.layers: list[Layer] = []
        self._add_tensor("input", shape, scale=0.02)

    def conv(
        self,
        source: str,
        n_out: int,
        kernel=(3, 3),
        *,
        stride=(1, 1),
        dilation=(1, 1),
        pad="same",
        groups=1,
        density=1.0,
        gain=1.0,
        relu=True,
        silent=(),
    ) -> str:
        """A convolution; rows in ``silent`` have no weights and make the zero point. ``gain`` scales the multipliers."""
        height, width, n_in = self.tensors[source].shape
        window = self._window((height, width), kernel, stride, dilation, pad)
        shape = (n_out, *kernel, n_in // groups)
        weights = self.rng.integers(-127, 128, shape) * (self.rng.random(shape) < density)
        weights[list(silent)] = 0
        terms = max(1, np.count_nonzero(weights) / n_out)
        # Accumulators have a spread of about 75 * 75 * sqrt(terms): bring them to some tens.
        scales = gain * self.rng.uniform(0.5, 2, n_out) * 40 / (75 * 75 * terms**0.5)
        bias = self.rng.integers(-2000, 2000, n_out)
        bias[list(silent)] = 0
        output = self._add_tensor("conv", (*window.output_size(height, width), n_out))
        self.layers.append(
            Conv(
                name=output,
                inputs=(source,),
                output=output,
                window=window,
                weights=weights.astype(np.int8),
                bias=bias.astype(np.int32),
                scales=scales,
                groups=groups,
                low=self.tensors[output].zero_point if relu else -128,
                kind="depthwise" if groups == n_in and n_in > 1 else "conv",
            )
        )
        return output

    def depthwise(self, source: str, kernel=(3, 3), **options) -> str:
        n_channels = self.tensors[source].shape[2]
        return self.conv(source, n_channels, kernel, groups=n_channels, **options)

    def dense(self, source: str, n_out: int, **options) -> str:
        return self.conv(source, n_out, self.tensors[source].shape[:2], pad="valid", **options)

    def pool(self, source: str, mode: str, kernel=(2, 2), *, stride=(2, 2), pad="valid") -> str:
        tensor = self.tensors[source]
        window = self._window(tensor.shape[:2], kernel, stride, (1, 1), pad)
        shape = (*window.output_size(*tensor.shape[:2]), tensor.shape[2])
        quantisation = {"scale": tensor.scale, "zero_point": tensor.zero_point} if mode == "max" else {}
        output = self._add_tensor(mode, shape, **quantisation)
        self.layers.append(Pool(name=output, inputs=(source,), output=output, window=window, mode=mode))
        return output

    def add(self, a: str, b: str) -> str:
        output = self._add_tensor("add", self.tensors[a].shape)
        self.layers.append(Add(name=output, inputs=(a, b), output=output))
        return output

    def build(self, output: str) -> Graph:
        return Graph(
            name="random",
            tensors=self.tensors,
            layers=self.layers,
            input="input",
            output=output,
            input_shape=(1, *self.tensors["input"].shape),
            output_shape=(1, *self.tensors[output].shape),
        )

    def _add_tensor(self, kind: str, shape, *, scale: float | None = None, zero_point: int | None = None) -> str:
        name = kind if kind == "input" else f"{kind}{len(self.layers)}"
        scale = self.rng.uniform(0.01, 0.05) if scale is None else scale
        zero_point = int(self.rng.integers(-128, 40)) if zero_point is None else zero_point
        self.tensors[name] = Tensor(name=name, shape=tuple(map(int, shape)), scale=scale, zero_point=zero_point)
        return name

    def _window(self, size, kernel, stride, dilation, pad) -> Window:
        pads = []
        for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
            total = max(0, (-(-n // s) - 1) * s + (k - 1) * d + 1 - n) if pad == "same" else 0
            pads.append((total // 2, total - total // 2))
        (top, bottom), (left, right) = pads
        return Window(
            kernel=tuple(kernel),
            stride=tuple(stride),
            dilation=tuple(dilation),
            pad_top=top,
            pad_bottom=bottom,
            pad_left=left,
            pad_right=right,
        )
