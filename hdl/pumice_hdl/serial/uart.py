"""Asynchronous serial receiver and transmitter: 8 data bits, no parity, 1 stop bit, LSB first."""

from amaranth import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.cdc import FFSynchronizer
from amaranth.lib.wiring import In, Out

MIN_DIVIDER = 4
FRAME_BITS = 10  # start, data, stop


def _check(divider: int) -> None:
    if divider < MIN_DIVIDER:
        raise ValueError(f"divider must be at least {MIN_DIVIDER} clock cycles a bit, not {divider}")


class UartReceiver(wiring.Component):
    """Bytes from a pin.

    Each sample of the line is the majority of three, so a disturbance of one cycle does no harm. A byte whose stop bit
    is missing is dropped.

    Parameters
    ----------
    divider : int
        Clock cycles a bit, at least MIN_DIVIDER. ValueError otherwise.

    Members
    -------
    pin : In(1)
        Asynchronous; idles high.
    bytes : Out(stream of 8 bits, always ready)
        One cycle a byte, in the middle of its stop bit.
    """

    bytes: stream.Interface

    def __init__(self, divider: int):
        _check(divider)
        self._divider = divider
        super().__init__({"pin": In(1, init=1), "bytes": Out(stream.Signature(8, always_ready=True))})

    def elaborate(self, platform):
        m = Module()
        pin, line = Signal(init=1), Signal(init=1)
        samples = Signal(3, init=0b111)
        m.submodules += FFSynchronizer(self.pin, pin, init=1)
        m.d.sync += [
            samples.eq(Cat(pin, samples)),
            line.eq((samples[0] & samples[1]) | (samples[1] & samples[2]) | (samples[2] & samples[0])),
        ]

        timer = Signal(range(self._divider + self._divider // 2))
        n_left = Signal(range(FRAME_BITS + 1))
        shift = Signal(FRAME_BITS - 1)
        m.d.sync += self.bytes.valid.eq(0)
        with m.If(n_left == 0), m.If(~line):  # the next sample is taken in the middle of the start bit
            m.d.sync += [n_left.eq(FRAME_BITS), timer.eq(self._divider // 2 - 1)]
        with m.Elif(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Else():
            m.d.sync += [timer.eq(self._divider - 1), n_left.eq(n_left - 1), shift.eq(Cat(shift[1:], line))]
            with m.If((n_left == FRAME_BITS) & line):  # no start bit after all
                m.d.sync += n_left.eq(0)
            with m.If(n_left == 1):
                m.d.sync += [self.bytes.valid.eq(line), self.bytes.payload.eq(shift[1:])]
        return m


class UartTransmitter(wiring.Component):
    """Bytes to a pin, without pause while there are any.

    Parameters
    ----------
    divider : int
        Clock cycles a bit, at least MIN_DIVIDER. ValueError otherwise.

    Members
    -------
    bytes : In(stream of 8 bits)
    pin : Out(1)
        A register; idles high.
    """

    bytes: stream.Interface

    def __init__(self, divider: int):
        _check(divider)
        self._divider = divider
        super().__init__({"bytes": In(stream.Signature(8)), "pin": Out(1, init=1)})

    def elaborate(self, platform):
        m = Module()
        timer = Signal(range(self._divider))
        n_left = Signal(range(FRAME_BITS + 1))
        shift = Signal(FRAME_BITS, init=-1)
        m.d.sync += self.pin.eq(shift[0])
        with m.If(timer != 0):
            m.d.sync += timer.eq(timer - 1)
        with m.Elif(n_left != 0):
            m.d.sync += [timer.eq(self._divider - 1), n_left.eq(n_left - 1), shift.eq(Cat(shift[1:], 1))]
        with m.Else():
            m.d.comb += self.bytes.ready.eq(1)
            with m.If(self.bytes.valid):
                m.d.sync += [
                    timer.eq(self._divider - 1),
                    n_left.eq(FRAME_BITS - 1),
                    shift.eq(Cat(0, self.bytes.payload, 1)),
                ]
        return m
