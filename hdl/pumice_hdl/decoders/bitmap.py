"""Decoder of `pumice.spec.formats.bitmap`."""

from amaranth import Cat, Module, Mux, Signal
from pumice.spec.formats.bitmap import WINDOW

from .base import Decoder


def lowest_bit(m: Module, bits: Signal) -> tuple[Signal, Signal]:
    """Place of the lowest set bit, and the bits above it; both 0 when none is set."""
    lowest, place, above = Signal.like(bits), Signal(range(len(bits))), Signal.like(bits)
    # Each bit, or a lower one: by doubling steps, which are fewer levels of LUTs than a subtraction's carry chain.
    reached = bits
    for step in (1 << i for i in range(len(place))):
        wider = Signal.like(bits)
        m.d.comb += wider.eq(reached | reached << step)
        reached = wider
    m.d.comb += [
        lowest.eq(bits & ~(reached << 1)),
        place.eq(Cat(Cat(lowest[i] for i in range(len(bits)) if i >> b & 1).any() for b in range(len(place)))),
        above.eq(bits & (reached << 1)),
    ]
    return place, above


class BitmapDecoder(Decoder):
    """The bitmap of a window in the first step of its non-zeros; no index in the others.

    A new window and the one under way are searched side by side; whether the latter is exhausted only selects. Places
    are registers, and subtracted behind them.
    """

    def elaborate(self, platform):
        m = Module()
        bitmap = Signal(WINDOW)  # what is left of the window under way
        exhausted = Signal()  # bitmap == 0
        place, place_before = Signal(range(WINDOW)), Signal(range(WINDOW))  # of the last two steps in their windows
        crossed = Signal()  # the last step began a window
        last_place = Signal.like(place)
        distance = Signal(range(2 * WINDOW))
        new_window = self.window[:WINDOW]
        fresh, empty = Signal(), Signal()
        m.d.comb += [
            fresh.eq(self.first | exhausted),
            empty.eq(new_window == 0),
            last_place.eq(Mux(self.first, WINDOW - 1, place)),
        ]
        new_place, new_rest = lowest_bit(m, new_window)
        next_place, next_rest = lowest_bit(m, bitmap)
        rest = Signal.like(bitmap)
        m.d.comb += [
            self.index_bits.eq(Mux(fresh, WINDOW, 0)),
            self.has_value.eq(~(fresh & empty)),
            distance.eq(place + ~place_before),  # in a new window, stored minus one
            self.step.advance.eq(Cat(distance[:-1], distance[-1] & crossed)),
            rest.eq(Mux(fresh, new_rest, next_rest)),
        ]
        with m.If(self.take):
            m.d.sync += [
                bitmap.eq(rest),
                exhausted.eq(rest == 0),
                # A window without non-zeros is passed by a step as long as itself.
                place.eq(Mux(fresh, Mux(empty, last_place, new_place), next_place)),
                place_before.eq(last_place),
                crossed.eq(fresh),
            ]
        return m
