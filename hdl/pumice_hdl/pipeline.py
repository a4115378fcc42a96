"""Delays by whole cycles."""

from amaranth import Module, Signal


def delayed(m: Module, value, n_cycles: int, *, reset_less: bool = True):
    """``value`` as it was ``n_cycles`` cycles ago.

    Reset-less registers (the default) suit data; a delayed strobe needs ``reset_less=False``.
    """
    for _ in range(n_cycles):
        stage = Signal.like(value, reset_less=reset_less)
        m.d.sync += stage.eq(value)
        value = stage
    return value
