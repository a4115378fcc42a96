"""Integer arithmetic of the engine, bit for bit: the only statement of how a number is rounded, clamped or wrapped.

Activations are int8 with a scale and a zero point, weights int8 with a scale per output channel, accumulators int32
(two's complement, wrapping). The rounding is that of TensorFlow Lite's reference kernels (gemmlowp's
``SaturatingRoundingDoublingHighMul`` followed by ``RoundingDivideByPOT``).
"""

import math

import numpy as np

MULTIPLIER_BITS = 31
MAX_SHIFT = 31
MAX_FOLDED_SHIFT = 12  # leaves 19 bits of multiplier: at most 2**-20 of a result is lost


def quantise_multiplier(real: float, *, single_rounding: bool = False) -> tuple[int, int, int]:
    """Fixed-point form of a positive real multiplier, as in TFLite's ``QuantizeMultiplier``.

    Parameters
    ----------
    real : float
        0 or more.
    single_rounding : bool
        Fold a shift of up to `MAX_FOLDED_SHIFT` into the multiplier, so that `requantise` rounds once, half up, instead
        of twice (first to an integer, then that shifted). LiteRT's convolutions round twice; its fully connected
        layers, additions and averages once.

    Returns
    -------
    multiplier : int
        0 .. 2**31 - 1; unless a shift is folded, 0 or at least 2**30.
    right_shift : int
        0..31.
    left_shift : int
        0 unless ``real >= 1``. The engine shifts right only, so the compiler multiplies weights and bias by
        ``2**left_shift`` instead, which is exact.
    """
    if not (math.isfinite(real) and real >= 0):
        raise ValueError(f"a requantise multiplier must be finite and not negative, not {real}")
    if real == 0:
        return 0, 0, 0
    fraction, exponent = math.frexp(real)
    multiplier = math.floor(fraction * (1 << MULTIPLIER_BITS) + 0.5)
    if multiplier == 1 << MULTIPLIER_BITS:
        multiplier, exponent = multiplier // 2, exponent + 1
    if exponent < -MAX_SHIFT:
        return 0, 0, 0
    if single_rounding and -MAX_FOLDED_SHIFT <= exponent < 0:
        return math.floor(real * (1 << MULTIPLIER_BITS) + 0.5), 0, 0
    return multiplier, max(0, -exponent), max(0, exponent)


def wrap_int32(x: np.ndarray) -> np.ndarray:
    """Two's complement wrap of int64 values to 32 bits: what the accumulators do."""
    return ((np.asarray(x, np.int64) + (1 << 31)) & 0xFFFFFFFF) - (1 << 31)


def rounding_high_mul(x: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
    """``x * multiplier / 2**31``, rounded half up; ``multiplier`` is not negative."""
    return (np.asarray(x, np.int64) * np.asarray(multiplier, np.int64) + (1 << 30)) >> 31


def rounding_shift(x: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """``x / 2**shift``, rounded half away from zero."""
    x, shift = np.asarray(x, np.int64), np.asarray(shift, np.int64)
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return (x + half - ((x < 0) & (shift > 0))) >> shift


def requantise(acc, bias, multiplier, shift, zero_point: int, low: int, high: int) -> np.ndarray:
    """Accumulators (int32) to int8 activations.

    ``clamp(rounding_shift(rounding_high_mul(wrap_int32(acc + bias), multiplier), shift) + zero_point, low, high)``;
    ``bias`` (int32), ``multiplier`` and ``shift`` broadcast against ``acc``: one each per output channel.
    """
    total = wrap_int32(np.asarray(acc, np.int64) + np.asarray(bias, np.int64))
    scaled = rounding_shift(rounding_high_mul(total, multiplier), shift)
    return np.clip(scaled + zero_point, low, high).astype(np.int8)


def average_multiplier(scale_in: float, scale_out: float, count: int) -> float:
    """What the sum of ``count`` activations, less their zero point, is multiplied by to give their average."""
    return scale_in / (scale_out * count)


ADD_LIMIT = 254  # two int8 terms of 127


def add_coefficients(scale_a: float, scale_b: float, scale_out: float) -> tuple[int, int, float]:
    """Integers that stand for the ratio of an addition's input scales.

    The input with the larger scale gets the largest coefficient up to `ADD_LIMIT` with which the ratio of the two is
    closest to that of the scales.

    Returns
    -------
    coefficient_a, coefficient_b : int
        0..`ADD_LIMIT`; the accumulator is ``coefficient_a * (a - zero_a) + coefficient_b * (b - zero_b)``.
    multiplier : float
        What the accumulator is multiplied by.

    Notes
    -----
    The ratio is off by at most ``1 / (2 * ADD_LIMIT)``, hence the result, before it is rounded, by at most
    ``0.51 * max(scale_a, scale_b) / scale_out``.
    """
    large, small = max(scale_a, scale_b), min(scale_a, scale_b)
    if not (math.isfinite(large) and small > 0):
        raise ValueError(f"scales of an addition must be finite and positive, not {scale_a} and {scale_b}")
    ratio = small / large
    denominator = min(range(ADD_LIMIT, 0, -1), key=lambda d: abs(round(d * ratio) / d - ratio))
    coefficients = denominator, round(denominator * ratio)
    coefficient_a, coefficient_b = coefficients if scale_a >= scale_b else coefficients[::-1]
    return coefficient_a, coefficient_b, large / (denominator * scale_out)
