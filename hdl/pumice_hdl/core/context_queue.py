"""Queue of rows between issue and drain."""

from amaranth import Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..pipeline import counted


class ContextQueue(wiring.Component):
    """Keeps the contexts of up to ``depth`` rows, in order; whether one is pushed may be known late.

    A row is written, whether it is pushed or not, in each cycle with ``may_push``: that is a register's, where a write
    enable out of the decision on a step would reach hundreds of memory cells. So there is room for twice as many.

    Parameters
    ----------
    layout : StructLayout
        Of a context.
    depth : int
        A power of two; the source of ``rows`` sees to it that no more are in the queue.

    Members
    -------
    rows : In(stream of layout)
        Always ready; not valid without ``may_push``.
    may_push : In(1)
    drained : Out(stream of layout)
        From the cycle after the push on.
    """

    def __init__(self, layout: data.StructLayout, depth: int):
        self.layout, self.depth = layout, depth
        super().__init__(
            {
                "rows": In(stream.Signature(layout)),
                "may_push": In(1),
                "drained": Out(stream.Signature(layout)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.storage = storage = Memory(shape=self.layout, depth=2 * self.depth, init=[])
        write, read = storage.write_port(), storage.read_port(domain="comb")
        pushed, taken = Signal(range(2 * self.depth)), Signal(range(2 * self.depth))
        m.d.comb += [
            self.rows.ready.eq(1),
            write.addr.eq(pushed),
            write.data.eq(self.rows.payload),
            write.en.eq(self.may_push),
            read.addr.eq(taken),
            self.drained.payload.eq(read.data),
            self.drained.valid.eq(pushed != taken),
        ]
        m.d.sync += [
            pushed.eq(counted(pushed, self.rows.valid)),
            taken.eq(counted(taken, self.drained.valid & self.drained.ready)),
        ]
        return m
