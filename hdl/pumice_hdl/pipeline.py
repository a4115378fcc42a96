"""Delays by whole cycles, masks and shifts; counters as many as there are lanes; registers for many users."""

from amaranth import Cat, ClockDomain, ClockSignal, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out


class OwnRegister(wiring.Component):
    """A register for many users in one place, which synthesis leaves apart from equal ones for those in other places.

    It is a module by itself, and its name as a submodule begins with ``own_`` for that (`pumice.open_xc7.synthesise`).

    Parameters
    ----------
    init : int
        After a reset.

    Members
    -------
    d : In(1)
    q : Out(1)
        ``d`` of the cycle before.
    """

    d: Signal
    q: Signal

    def __init__(self, *, init: int = 0):
        super().__init__({"d": In(1), "q": Out(1, init=init)})

    def elaborate(self, platform):
        m = Module()
        m.d.sync += self.q.eq(self.d)
        return m


def delayed(m: Module, value, n_cycles: int, *, reset_less: bool = True):
    """``value`` as it was ``n_cycles`` cycles ago.

    Reset-less registers (the default) suit data; a delayed strobe needs ``reset_less=False``.
    """
    if n_cycles > 1 and isinstance(value, Value) and value.shape() == unsigned(1):
        # One register for all stages: a simulator shifts it at once.
        stages = Signal(n_cycles, reset_less=reset_less)
        m.d.sync += stages.eq(Cat(value, stages[:-1]))
        return stages[-1]
    for _ in range(n_cycles):
        stage = Signal.like(value, reset_less=reset_less)
        m.d.sync += stage.eq(value)
        value = stage
    return value


def lowest_ones(n_ones, n_bits: int):
    """``n_bits`` bits of which the lowest ``n_ones`` are set: bit ``i`` is ``i < n_ones``, in one operation."""
    return ~(Const(-1, n_bits) << n_ones)[:n_bits]


def halves_swapped(value: Value) -> Value:
    """The upper half of the bits below the lower one."""
    return value.rotate_right(len(value) // 2)


def shifted(m: Module, value, amount, n_bits: int):
    """The lowest ``n_bits`` bits of ``value >> amount``, by levels of 4:1 multiplexers, far steps first."""
    for low in reversed(range(len(amount) % 2, len(amount), 2)):
        value = _shift_level(m, value, amount[low : low + 2], low, n_bits)
    return _shift_level(m, value, amount[0], 0, n_bits) if len(amount) % 2 else value


def _shift_level(m: Module, value, amount, low: int, n_bits: int):
    level = Signal(n_bits + (1 << low) - 1)  # what nearer steps still reach
    with m.Switch(amount):
        for step in range(1 << len(amount)):
            with m.Case(step):
                m.d.comb += level.eq(value[step << low :])
    return level


def counted(value: Value, step) -> Value:
    """``value + step``, modulo its range, ``step`` a bit: up to five bits are a LUT each, a sum is a carry chain."""
    return Cat(bit ^ (step & value[:i].all()) for i, bit in enumerate(value))


def half_ahead(value: Value, other: Value) -> Value:
    """The difference ``value - other``, modulo their range, is at least half of it. LUTs alone, as in `counted`."""
    borrow = Const(0, 1)
    for a, b in zip(value[:-1], other[:-1], strict=True):
        borrow = Mux(a ^ b, b, borrow)
    return value[-1] ^ other[-1] ^ borrow


def domain_with_reset(m: Module, name: str, reset=0) -> None:
    """A clock domain in ``m`` with the clock of ``sync``, whose reset is a register for many users.

    Parameters
    ----------
    reset : Value or int
        Resets the domain a cycle later, as a reset of ``sync`` does.
    """
    domain, register = ClockDomain(name, local=True), OwnRegister(init=1)
    m.domains += domain
    m.submodules[f"own_{name}_reset"] = register
    m.d.comb += [domain.clk.eq(ClockSignal()), domain.rst.eq(register.q), register.d.eq(reset)]
