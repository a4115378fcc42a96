"""Operators of TensorFlow Lite that move values, resize a map, or are a function of each value."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import tflite

from .places import Transposed, depth_to_space, nearest, nearest_places, padded, places, space_to_depth
from .tflite_file import FileOperator
from .windows import same_padding

if TYPE_CHECKING:
    from .tflite import Importer

MIRROR_MODES = {tflite.MirrorPadMode.REFLECT: "reflect", tflite.MirrorPadMode.SYMMETRIC: "symmetric"}
FUNCTIONS = {"LOGISTIC": "logistic", "TANH": "tanh", "HARD_SWISH": "hard swish", "ELU": "ELU"}


def move_rules(importer: Importer) -> dict[str, Callable[[FileOperator], Any]]:
    """The rules of this module."""
    rules = {
        "CONCATENATION": _concatenation,
        "SLICE": _slice,
        "STRIDED_SLICE": _strided_slice,
        "MIRROR_PAD": _mirror_pad,
        "DEPTH_TO_SPACE": _depth_to_space,
        "SPACE_TO_DEPTH": _space_to_depth,
        "TRANSPOSE": _transpose,
        "RESIZE_NEAREST_NEIGHBOR": _resize_nearest,
        "RESIZE_BILINEAR": _resize_bilinear,
        "TRANSPOSE_CONV": _transpose_conv,
        "LEAKY_RELU": _leaky_relu,
        "PRELU": _prelu,
    } | dict.fromkeys(FUNCTIONS, _function)
    return {operator: partial(rule, importer) for operator, rule in rules.items()}


def pad_amounts(importer: Importer, op: FileOperator) -> list[tuple[int, int]]:
    """What a PAD adds to height, width and channels."""
    rank = len(importer.file.tensors[op.inputs[0]].shape)
    _, amounts = importer.constant(op, 1, "paddings", ("INT32", "INT64"), 2)
    if amounts.shape != (rank, 2) or amounts.min() < 0 or amounts[0].any():
        raise importer.malformed(op, f"has impossible paddings {amounts.tolist()} for {rank} dimensions")
    before, behind = ([0, 0, *amounts[1:, side].tolist()][-3:] for side in (0, 1))
    return list(zip(before, behind, strict=True))


def _concatenation(importer: Importer, op: FileOperator):
    inputs = [importer.map_input(op, i) for i in range(len(op.inputs))]
    axis = _axis(importer, op, op.options["Axis"])
    if op.options["FusedActivationFunction"] != tflite.ActivationFunctionType.NONE:
        raise importer.unsupported(op, "has a fused activation: let it follow as a layer of its own")
    return importer.move(
        op, inputs, lambda: np.concatenate(places(*(x.shape for x in inputs)), axis=axis), "concat"
    )  # fmt: skip


def _axis(importer: Importer, op: FileOperator, axis: int) -> int:
    """Axis of (height, width, channels)."""
    rank = len(importer.file.tensors[op.inputs[0]].shape)
    if not -rank <= axis < rank or axis % rank == 0:
        raise importer.unsupported(op, f"works along axis {axis} of {rank} dimensions, which is that of the batch")
    return axis % rank - rank + 3


def _slices(importer: Importer, op: FileOperator, slices: list[slice]):
    x = importer.map_input(op)
    (index,) = places(x.shape)
    spread = [slice(None)] * 3 + slices[1:]
    return importer.move(op, [x], lambda: index[tuple(spread[-3:])], "slice")


def _slice(importer: Importer, op: FileOperator):
    starts, sizes = (
        importer.constant(op, i, what, ("INT32", "INT64"), 1)[1].tolist() for i, what in ((1, "begin"), (2, "size"))
    )
    rank = len(importer.file.tensors[op.inputs[0]].shape)
    if len(starts) != rank or len(sizes) != rank or min(starts) < 0:
        raise importer.malformed(op, f"takes {sizes} from {starts} on of {rank} dimensions")
    return _slices(
        importer, op, [slice(a, None if n == -1 else a + n) for a, n in zip(starts, sizes, strict=True)]
    )  # fmt: skip


def _strided_slice(importer: Importer, op: FileOperator):
    begin, end, strides = (
        importer.constant(op, i, what, ("INT32",), 1)[1].tolist()
        for i, what in ((1, "begin"), (2, "end"), (3, "strides"))
    )
    rank, options = len(importer.file.tensors[op.inputs[0]].shape), op.options
    if options["EllipsisMask"] or options["NewAxisMask"] or options["ShrinkAxisMask"]:
        raise importer.unsupported(op, "changes the number of dimensions")
    if not len(begin) == len(end) == len(strides) == rank or min(strides) < 1:
        raise importer.unsupported(op, f"takes {begin} to {end} by {strides} of {rank} dimensions")
    return _slices(
        importer,
        op,
        [
            slice(
                None if options["BeginMask"] >> i & 1 else begin[i],
                None if options["EndMask"] >> i & 1 else end[i],
                strides[i],
            )
            for i in range(rank)
        ],
    )


def _mirror_pad(importer: Importer, op: FileOperator):
    x, amounts = importer.map_input(op), pad_amounts(importer, op)
    mode = MIRROR_MODES.get(op.options["Mode"], "unknown")
    if max(map(max, amounts)) >= min(x.shape[:2]):
        raise importer.unsupported(op, f"mirrors {amounts} of a map of {x.shape[:2]}")
    return importer.move(op, [x], lambda: padded(places(x.shape)[0], amounts, mode), "pad")


def _depth_to_space(importer: Importer, op: FileOperator):
    x = importer.map_input(op)
    return importer.move(
        op, [x], lambda: depth_to_space(places(x.shape)[0], op.options["BlockSize"]), "depth to space"
    )  # fmt: skip


def _space_to_depth(importer: Importer, op: FileOperator):
    x = importer.map_input(op)
    return importer.move(
        op, [x], lambda: space_to_depth(places(x.shape)[0], op.options["BlockSize"]), "space to depth"
    )  # fmt: skip


def _transpose(importer: Importer, op: FileOperator):
    x = importer.map_input(op)
    shape = importer.file.tensors[op.inputs[0]].shape
    order = importer.constant(op, 1, "permutation", ("INT32",), 1)[1].tolist()
    if sorted(order) != list(range(len(shape))) or order[0] != 0:
        raise importer.unsupported(op, f"transposes by {order}; the batch must stay first")
    (index,) = places(x.shape)
    return importer.move(
        op, [x], lambda: index.reshape(shape).transpose(order).reshape(importer.map_shape(op.outputs[0])), "transpose"
    )  # fmt: skip


def _size(importer: Importer, op: FileOperator) -> tuple[int, int]:
    size = importer.constant(op, 1, "size", ("INT32",), 1)[1].tolist()
    if len(size) != 2 or min(size) < 1 or size != list(importer.map_shape(op.outputs[0])[:2]):
        raise importer.malformed(op, f"resizes to {size}, but makes {importer.map_shape(op.outputs[0])[:2]}")
    return size[0], size[1]


def _resize_nearest(importer: Importer, op: FileOperator):
    x, size = importer.map_input(op), _size(importer, op)
    modes = {"half_pixel": bool(op.options["HalfPixelCenters"]), "align_corners": bool(op.options["AlignCorners"])}
    rows, columns = (nearest_places(n, made, **modes) for n, made in zip(x.shape[:2], size, strict=True))
    return importer.move(op, [x], lambda: nearest(places(x.shape)[0], rows, columns), "nearest")


def _resize_bilinear(importer: Importer, op: FileOperator):
    x, size = importer.map_input(op), _size(importer, op)
    modes = {"half_pixel": bool(op.options["HalfPixelCenters"]), "align_corners": bool(op.options["AlignCorners"])}
    if all(modes.values()):
        raise importer.malformed(op, "aligns corners and half pixels at once")
    return importer.resize(op, x, size, modes)


def _transpose_conv(importer: Importer, op: FileOperator):
    x = importer.map_input(op, 2)
    weights, values = importer.constant(op, 1, "weights", (importer.weight_dtype,), 4)
    if weights.shape[3] != x.shape[2]:
        raise importer.malformed(op, f"has weights of shape {weights.shape} for {x.shape[2]} channels")
    height, width, n_out = importer.map_shape(op.outputs[0])
    stride = op.options["StrideH"], op.options["StrideW"]
    kernel = weights.shape[1:3]
    if min(stride) < 1 or max(stride) > 16 or n_out != len(values):
        raise importer.unsupported(op, f"has stride {stride} and {len(values)} filters for {n_out} channels")
    is_same = op.options["Padding"] == tflite.Padding.SAME
    top, _, left, _ = same_padding((height, width), kernel, stride, (1, 1)) if is_same else (0, 0, 0, 0)
    expected = tuple(
        -(-n // s) if is_same else (n - k) // s + 1 for n, k, s in zip((height, width), kernel, stride, strict=True)
    )
    if expected != x.shape[:2]:
        raise importer.malformed(op, f"makes {height} x {width} of {x.shape[:2]}")
    phases = Transposed(np.asarray(values), x.shape[:2], (height, width), stride, (1, 1), (top, left))
    return importer.transposed(op, x, weights, phases)


def _leaky_relu(importer: Importer, op: FileOperator):
    return importer.function(op, importer.map_input(op), "leaky ReLU", np.array([op.options["Alpha"]]))


def _prelu(importer: Importer, op: FileOperator):
    x = importer.map_input(op)
    alpha, values = importer.constant(op, 1, "slopes", (importer.weight_dtype,), 1, 2, 3, 4)
    if values.size not in (1, x.shape[2]):
        raise importer.unsupported(
            op, f"has slopes of shape {values.shape} for {x.shape[2]} channels; one each is supported"
        )
    if importer.weight_dtype == "INT8":
        if len(alpha.scales) != 1:
            raise importer.malformed(op, "needs one scale of its slopes")
        values = (values.astype(np.float64) - alpha.zero_points[0]) * alpha.scales[0]
    return importer.function(op, x, "leaky ReLU", values.ravel())


def _function(importer: Importer, op: FileOperator):
    kind = FUNCTIONS[op.operator]
    return importer.function(op, importer.map_input(op), kind, np.array([1.0]))
