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
        """A convolution; rows in ``silent`` make the zero point without weights; ``gain`` scales the multipliers."""
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
        """A depthwise convolution."""
        n_channels = self.tensors[source].shape[2]
        return self.conv(source, n_channels, kernel, groups=n_channels, **options)

    def dense(self, source: str, n_out: int, **options) -> str:
        """A fully connected layer: its kernel is the whole map."""
        return self.conv(source, n_out, self.tensors[source].shape[:2], pad="valid", **options)

    def pool(self, source: str, mode: str, kernel=(2, 2), *, stride=(2, 2), pad="valid") -> str:
        """A pool; ``mode`` is ``average`` or ``max``."""
        tensor = self.tensors[source]
        window = self._window(tensor.shape[:2], kernel, stride, (1, 1), pad)
        shape = (*window.output_size(*tensor.shape[:2]), tensor.shape[2])
        quantisation = {"scale": tensor.scale, "zero_point": tensor.zero_point} if mode == "max" else {}
        output = self._add_tensor(mode, shape, **quantisation)
        self.layers.append(Pool(name=output, inputs=(source,), output=output, window=window, mode=mode))
        return output

    def add(self, a: str, b: str) -> str:
        """The sum of two tensors."""
        output = self._add_tensor("add", self.tensors[a].shape)
        self.layers.append(Add(name=output, inputs=(a, b), output=output))
        return output

    def build(self, output: str) -> Graph:
        """The network so far; it returns ``output``."""
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


def random_graph(rng: np.random.Generator) -> Graph:
    """A random chain of up to eight layers with shortcuts, on a map of up to 14 x 14 x 6."""
    b = GraphBuilder(rng, (*rng.integers(1, 15, 2), rng.integers(1, 7)))
    name, made = "input", ["input"]
    for _ in range(rng.integers(1, 9)):
        name = made[-1] if rng.random() < 0.85 else made[rng.integers(len(made))]
        height, width, n_in = b.tensors[name].shape
        twins = [other for other in made if b.tensors[other].shape == b.tensors[name].shape]
        kernel = tuple(map(int, rng.integers(1, 4, 2)))
        pad = "same" if height < kernel[0] or width < kernel[1] or rng.random() < 0.7 else "valid"
        stride = (2, 2) if rng.random() < 0.3 else (1, 1)
        density = rng.choice([1.0, 0.5, 0.15])
        silent = np.flatnonzero(rng.random(6) < 0.1)
        kind = rng.choice(["conv", "conv", "depthwise", "grouped", "pool", "add", "dilated"])
        if kind == "conv":
            n_out = int(rng.integers(1, 9))
            options = {"stride": stride, "pad": pad, "relu": bool(rng.integers(2)), "gain": rng.choice([1.0, 100.0])}
            name = b.conv(name, n_out, kernel, density=density, silent=silent[silent < n_out], **options)
        elif kind == "depthwise":
            name = b.depthwise(name, kernel, stride=stride, pad=pad, density=density, silent=silent[silent < n_in])
        elif kind == "grouped":
            groups = int(rng.choice([g for g in range(1, n_in + 1) if n_in % g == 0]))
            name = b.conv(name, groups * int(rng.integers(1, 3)), kernel, pad="same", groups=groups, density=density)
        elif kind == "dilated":
            name = b.conv(name, n_in, kernel, dilation=tuple(rng.integers(1, 4, 2)), density=density)
        elif kind == "pool":
            mode = "average" if pad == "valid" and rng.random() < 0.5 else "max"
            name = b.pool(name, mode, kernel, stride=stride) if pad == "valid" else name
        elif kind == "add":
            name = b.add(name, twins[rng.integers(len(twins))])
        if name not in made:
            made.append(name)
    if len(made) == 1:
        name = b.conv(name, 2)
    return b.build(made[-1] if len(made) > 1 else name)
