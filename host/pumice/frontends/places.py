"""Where the values of a rearranged map come from; indices are those of `pumice.graph.Arrange`."""

import math

import numpy as np

from ..errors import ModelError, UnsupportedModelError
from ..graph import Window
from .windows import MAX_PADDING

NOWHERE = -1
MAX_PLACES = 1 << 24


def places(*shapes: tuple[int, int, int]) -> list[np.ndarray]:
    """Index of each value of maps that lie one after the other."""
    starts = np.cumsum([0, *(math.prod(shape) for shape in shapes)])
    return [start + np.arange(math.prod(shape)).reshape(shape) for start, shape in zip(starts, shapes, strict=False)]


def padded(index: np.ndarray, amounts: list[tuple[int, int]], mode: str = "constant") -> np.ndarray:
    """With ``amounts`` before and behind each axis; ``mode`` as `numpy.pad`'s; negative amounts crop."""
    sizes = [size + sum(pair) for size, pair in zip(index.shape, amounts, strict=True)]
    if min(sizes) < 1 or math.prod(sizes) > MAX_PLACES or max(map(max, amounts)) > MAX_PADDING:
        raise ModelError(f"pads shape {index.shape} by {amounts}")
    crop = tuple(slice(max(0, -a), size - max(0, -b)) for (a, b), size in zip(amounts, index.shape, strict=True))
    grow = [(max(0, a), max(0, b)) for a, b in amounts]
    if mode == "constant":
        return np.pad(index[crop], grow, constant_values=NOWHERE)
    if mode not in ("reflect", "symmetric", "edge"):
        raise UnsupportedModelError(f"pads with mode {mode}; constant, reflect, symmetric and edge are supported")
    return np.pad(index[crop], grow, mode=mode)  # pyright: ignore[reportArgumentType, reportCallIssue]


def depth_to_space(index: np.ndarray, block: int, *, channels_outermost: bool = False) -> np.ndarray:
    """Blocks of channels to blocks of positions; ``channels_outermost``: ONNX's mode CRD."""
    height, width, channels = index.shape
    if block < 1 or channels % (block * block):
        raise ModelError(f"has blocks of {block} for {channels} channels")
    made = channels // (block * block)
    if channels_outermost:
        moved = index.reshape(height, width, made, block, block).transpose(0, 3, 1, 4, 2)
    else:
        moved = index.reshape(height, width, block, block, made).transpose(0, 2, 1, 3, 4)
    return moved.reshape(height * block, width * block, made)


def space_to_depth(index: np.ndarray, block: int) -> np.ndarray:
    """Blocks of positions to channels, the position being the slower."""
    height, width, channels = index.shape
    if block < 1 or height % block or width % block:
        raise ModelError(f"has blocks of {block} for a map of {height} x {width}")
    moved = index.reshape(height // block, block, width // block, block, channels).transpose(0, 2, 1, 3, 4)
    return moved.reshape(height // block, width // block, -1)


def nearest(index: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Map positions by row and column."""
    return index[rows][:, columns]


def nearest_places(size: int, made: int, *, half_pixel: bool, align_corners: bool) -> np.ndarray:
    """Which of ``size`` values each of ``made`` is, as TensorFlow Lite's ResizeNearestNeighbor."""
    if not 0 < made <= MAX_PLACES:
        raise ModelError(f"resizes to {made}")
    scale = np.float32(size - 1) / np.float32(made - 1) if align_corners and made > 1 else np.float32(size / made)
    place = (np.arange(made, dtype=np.float32) + np.float32(0.5 if half_pixel else 0)) * scale
    if align_corners:
        place = np.trunc(place + np.copysign(np.float32(0.5), place))
    return np.clip(np.floor(place).astype(np.int64), 0, size - 1)


class Transposed:
    """A transposed convolution as a convolution that makes all phases of the output, and their places.

    Output position ``y * stride + p`` takes the taps of one residue of the kernel, so phase ``p`` is a convolution of
    stride 1 of its own; each weight occurs once. Channels of the convolution: group, phase, channel of the group.

    Parameters
    ----------
    weights : ndarray, (out_channels, kernel height, kernel width, in_channels / groups)
    size : tuple of int
        Height and width of the input.
    made : tuple of int
        Height and width of the output.
    padding : tuple of int
        What is cut off of the full result on the top and on the left.
    """

    def __init__(self, weights, size, made, stride, dilation, padding, groups=1):
        axes = [
            _phases(k, *rest)
            for k, *rest in zip(weights.shape[1:3], size, made, stride, dilation, padding, strict=True)
        ]
        (rows, top, bottom, _), (columns, left, right, width) = axes
        self.window = Window(
            kernel=(rows.shape[1], columns.shape[1]),
            pad_top=top,
            pad_bottom=bottom,
            pad_left=left,
            pad_right=right,
        )
        n_out, by_group = len(weights), len(weights) // groups
        zero = np.zeros((n_out, 1, 1, weights.shape[3]), weights.dtype)
        grown = np.concatenate([weights, np.broadcast_to(zero, (n_out, 1, *weights.shape[2:]))], axis=1)
        grown = np.concatenate([grown, np.broadcast_to(zero, (n_out, grown.shape[1], *zero.shape[2:]))], axis=2)
        # (out, phase y, tap y, phase x, tap x, in); -1 takes the zeros
        taps = grown[:, rows][:, :, :, columns].transpose(0, 1, 3, 2, 4, 5)
        n_phases = stride[0] * stride[1]
        taps = taps.reshape(groups, by_group, n_phases, *self.window.kernel, -1).swapaxes(1, 2)
        self.weights = np.ascontiguousarray(taps.reshape(n_out * n_phases, *self.window.kernel, -1))
        self.outputs = np.arange(n_out).reshape(groups, 1, by_group).repeat(n_phases, axis=1).ravel()
        """Which output channel each channel of the convolution is a phase of."""
        y, x = np.arange(made[0])[:, None, None], np.arange(made[1])[:, None]
        group, channel = np.divmod(np.arange(n_out), by_group)
        phase = y % stride[0] * stride[1] + x % stride[1]
        made_channel = (group * n_phases + phase) * by_group + channel
        grid = y // stride[0] * width + x // stride[1]
        self.index = grid * (n_out * n_phases) + made_channel


def _phases(kernel, size, made, stride, dilation, padding) -> tuple[np.ndarray, int, int, int]:
    """Along an axis: kernel index (phase, tap) or -1, padding before and behind, and positions of the result."""
    offsets = [
        (phase, (phase + padding - k * dilation) // stride, k)
        for phase in range(stride)
        for k in range(kernel)
        if (phase + padding - k * dilation) % stride == 0
    ]
    first = min(0, *(offset for _, offset, _ in offsets))
    last = max(0, *(offset for _, offset, _ in offsets))
    taps = np.full((stride, last - first + 1), NOWHERE)
    for phase, offset, k in offsets:
        taps[phase, offset - first] = k
    positions = max(-(-made // stride), size - last)  # where the padding behind is not negative
    return taps, -first, positions - 1 + last - (size - 1), positions
