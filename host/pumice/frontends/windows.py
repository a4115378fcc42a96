"""Padding rules that model formats share."""

import math

from ..errors import ModelError, UnsupportedModelError
from ..graph import Window

NO_PADDING = (0, 0, 0, 0)
MAX_PADDING = 4096  # positions on one side; more is a forged window


def same_padding(size, kernel, stride, dilation, *, upper: bool = True) -> tuple[int, int, int, int]:
    """What SAME adds to a map of ``size`` (height, width): top, bottom, left, right.

    ``upper``: an odd position goes to the end.
    """
    padding = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max(0, (math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n)
        less, more = total // 2, total - total // 2
        padding += [less, more] if upper else [more, less]
    top, bottom, left, right = padding
    return top, bottom, left, right


def make_window(kernel, stride, dilation, padding: tuple[int, int, int, int]) -> Window:
    """A window, ``padding`` being (top, bottom, left, right).

    Raises
    ------
    ModelError
        A size that is not positive, or negative padding.
    UnsupportedModelError
        Padding above `MAX_PADDING`.
    """
    if min(*kernel, *stride, *dilation) < 1 or min(padding) < 0:
        raise ModelError(
            f"kernel {tuple(kernel)}, stride {tuple(stride)} and dilation {tuple(dilation)} must be positive, "
            f"padding {tuple(padding)} not negative"
        )
    if max(padding) > MAX_PADDING:
        raise UnsupportedModelError(f"pads {max(padding)} positions, where up to {MAX_PADDING} are supported")
    top, bottom, left, right = padding
    return Window(
        kernel=(int(kernel[0]), int(kernel[1])),
        stride=(int(stride[0]), int(stride[1])),
        dilation=(int(dilation[0]), int(dilation[1])),
        pad_top=top,
        pad_bottom=bottom,
        pad_left=left,
        pad_right=right,
    )
