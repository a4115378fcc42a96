"""A network as Pumice sees it: int8 tensors and a list of layers in order of execution.

Feature maps are ``(height, width, channels)`` without a batch; a vector of ``n`` is ``(1, 1, n)``. Front ends build a
`Graph`; passes lower it to the engine. What the numbers of a layer mean is stated by `pumice.golden`.
"""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """A quantised feature map: ``real = scale * (integer - zero_point)``, int8."""

    name: str
    shape: tuple[int, int, int]
    scale: float
    zero_point: int


@dataclass(frozen=True, kw_only=True)
class Layer:
    """Common to all layers: names of the tensors it reads and of the one it makes."""

    name: str
    inputs: tuple[str, ...]
    output: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """Sliding window over a feature map: kernel, stride, dilation (height, width) and padding in positions."""

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pad_top: int = 0
    pad_bottom: int = 0
    pad_left: int = 0
    pad_right: int = 0

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result."""
        span = [(k - 1) * d + 1 for k, d in zip(self.kernel, self.dilation, strict=True)]
        return (
            (height + self.pad_top + self.pad_bottom - span[0]) // self.stride[0] + 1,
            (width + self.pad_left + self.pad_right - span[1]) // self.stride[1] + 1,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Conv(Layer):
    """Convolution, depthwise (``groups`` = channels) or fully connected (kernel = the whole map, no padding).

    Attributes
    ----------
    weights : ndarray of int8, (out_channels, kernel height, kernel width, in_channels / groups)
    bias : ndarray of int32, (out_channels,)
        In units of input scale times weight scale; the input's zero point is not folded in.
    scales : ndarray of float64, (out_channels,)
        Input scale times weight scale over output scale: what the accumulator is multiplied by.
    low, high : int
        Clamp of the output (fused activation), int8.
    kind : str
        ``conv``, ``depthwise`` or ``dense``, for reports.
    single_rounding : bool
        How a scaled accumulator is rounded: `pumice.spec.numerics.quantise_multiplier`. Pools and additions round once.
    """

    window: Window
    weights: np.ndarray
    bias: np.ndarray
    scales: np.ndarray
    groups: int = 1
    low: int = -128
    high: int = 127
    kind: str = "conv"
    single_rounding: bool = False


@dataclass(frozen=True, kw_only=True)
class Pool(Layer):
    """Average or maximum over a window (``mode``: ``average`` or ``max``). Average: no padding."""

    window: Window
    mode: str
    low: int = -128
    high: int = 127


@dataclass(frozen=True, kw_only=True)
class Add(Layer):
    """Elementwise sum of two feature maps of equal shape."""

    low: int = -128
    high: int = 127


@dataclass(frozen=True, kw_only=True)
class Softmax(Layer):
    """Softmax over the channels; on dequantised values."""

    beta: float = 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Arrange(Layer):
    """Moves values: concatenation, slice, padding, depth-to-space, nearest resize, transposition.

    Attributes
    ----------
    index : ndarray of int32, (height, width, channels)
        For each value of the output its place in all inputs, flattened one after the other; -1: the zero point. Where
        input and output are quantised differently, a value is requantised.
    kind : str
        For reports.
    """

    index: np.ndarray
    kind: str


@dataclass(frozen=True, kw_only=True)
class Resize(Layer):
    """Bilinear interpolation to ``size`` (height, width); input and output are quantised alike.

    Where a position lies: `pumice.golden.interpolation`.
    """

    size: tuple[int, int]
    half_pixel: bool = False
    align_corners: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Table(Layer):
    """A function of each value.

    Attributes
    ----------
    table : ndarray of int8, (1, 256) or (channels, 256)
        Results for -128 .. 127, of all channels or of each.
    kind : str
        The function, for reports.
    """

    table: np.ndarray
    kind: str


HOST_LAYERS = (Softmax, Resize, Table)
"""What no engine runs. An `Arrange` runs there where it is an address (`pumice.passes.arrange`)."""


@dataclass(kw_only=True)
class Graph:
    """A network.

    Attributes
    ----------
    name : str
    tensors : dict of str to Tensor
    layers : list of Layer
        In order of execution; a tensor is made before it is read.
    input, output : str
        Tensor names. ``output`` is what the network returns (after a Softmax, if there is one).
    input_shape, output_shape : tuple of int
        As in the model file (for example with the batch), for users; same number of elements, row-major, as the
        tensor's.
    further_outputs : dict of str to tuple of int
        Other tensors that the network returns, and their shapes for users.
    further_inputs : tuple of str
        Other tensors that it takes; only parts of networks do (`pumice.split`).
    """

    name: str
    tensors: dict[str, Tensor]
    layers: list[Layer]
    input: str
    output: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    metadata: dict[str, str] = field(default_factory=dict)
    further_outputs: dict[str, tuple[int, ...]] = field(default_factory=dict)
    further_inputs: tuple[str, ...] = ()

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """All tensors that the network returns, and their shapes for users; the first is ``output``."""
        return {self.output: self.output_shape} | self.further_outputs
