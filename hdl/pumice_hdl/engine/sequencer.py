"""Layer sequencer: which layer the cores prepare, which one runs, when one is complete."""

from amaranth import Module, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out

from ..layouts import LAYER_LAYOUT


class Front(enum.Enum, shape=2):
    """State of the cores' front ends."""

    IDLE = 0
    PREPARED = 1  # descriptor given out, not yet allowed to issue
    RUNNING = 2  # its layer is the running one


class LayerSequencer(wiring.Component):
    """Starts layers one behind the other with the next one prepared while the running one drains.

    Members
    -------
    layers : In(stream of LAYER_LAYOUT)
        One waits here; the next is taken once that one is given out.
    busy : Out(1)
        A layer waits, is prepared or runs.
    front, back : Out(LAYER_LAYOUT)
        Descriptor of the layer that the front ends read for, and of the one that drains and stores.
    start : Out(1)
        Front ends begin with ``front``.
    go : Out(1)
        Pulse, the previous layer's last cycle at the earliest: ``back`` takes over ``front``'s layer in the next one.
    enable : Out(1)
        Steps of the front layer may be issued.
    cores_idle : In(1)
        Every front end has issued its last step; low from the cycle behind that of ``start``.
    rows_drained : In(1)
        Every row issued so far has left its core.
    bus_idle : In(1)
        Nothing is on its way to the banks, gaps included.
    counters_busy : In(1)
        The last layer's log entry is not in place yet: the next one may run but not complete.
    running : Out(1)
        The back layer owns this cycle.
    ahead : Out(1)
        The front ends already work for the layer behind the running one.
    complete : Out(1)
        Pulse: last cycle of the back layer.
    """

    layers: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "layers": In(stream.Signature(LAYER_LAYOUT)),
                "busy": Out(1),
                "front": Out(LAYER_LAYOUT),
                "back": Out(LAYER_LAYOUT),
                "start": Out(1),
                "go": Out(1),
                "enable": Out(1),
                "cores_idle": In(1),
                "rows_drained": In(1),
                "bus_idle": In(1),
                "counters_busy": In(1),
                "running": Out(1),
                "ahead": Out(1),
                "complete": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        front_state = Signal(Front)
        waits, waiting = Signal(), Signal(LAYER_LAYOUT, reset_less=True)
        m.d.sync += self.start.eq(0)

        m.d.comb += self.layers.ready.eq(~waits)
        with m.If(self.layers.valid & self.layers.ready):
            m.d.sync += [waiting.eq(self.layers.payload), waits.eq(1)]
        with m.Switch(front_state):
            with m.Case(Front.IDLE), m.If(waits):
                m.d.sync += [
                    self.front.eq(waiting),
                    self.start.eq(1),
                    waits.eq(0),
                    front_state.eq(Front.PREPARED),
                ]
            with m.Case(Front.PREPARED):
                m.d.comb += self.go.eq(~self.running | self.complete)
                with m.If(self.go):
                    m.d.sync += [self.back.eq(self.front), front_state.eq(Front.RUNNING)]
            with m.Case(Front.RUNNING), m.If(self.cores_idle):
                m.d.sync += front_state.eq(Front.IDLE)

        m.d.comb += [
            self.enable.eq(front_state == Front.RUNNING),
            self.ahead.eq(self.running & (front_state == Front.PREPARED)),
            self.complete.eq(
                self.running & (front_state != Front.RUNNING) & self.rows_drained & self.bus_idle & ~self.counters_busy
            ),
            self.busy.eq(waits | (front_state != Front.IDLE) | self.running),
        ]
        with m.If(self.go):
            m.d.sync += self.running.eq(1)
        with m.Elif(self.complete):
            m.d.sync += self.running.eq(0)
        return m
