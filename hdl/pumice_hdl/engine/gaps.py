"""Fills the gaps around the planes of a layer's output."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT, vector_write_layout


class GapFiller(wiring.Component):
    """Writes the zero point to ``n_gaps`` runs of ``gap_bytes`` bytes at ``gap_start + j * gap_pitch``.

    Up to ``n_lanes`` bytes a write, one write a cycle, the first one two cycles after ``go``.

    Members
    -------
    go : In(1)
        Pulse, while not ``busy``.
    layer : In(LAYER_LAYOUT)
        Back descriptor: ``gap_start``, ``gap_pitch``, ``gap_bytes``, ``n_gaps`` and ``zero_point`` are used; must hold
        from the cycle after ``go`` while ``busy``.
    writes : Out(stream of vector_write_layout(config))
    busy : Out(1)
        From the cycle after ``go`` until the last write was taken; one cycle when there are no gaps.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "go": In(1),
                "layer": In(LAYER_LAYOUT),
                "writes": Out(stream.Signature(vector_write_layout(config))),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        n_lanes, bits = self.config.n_lanes, self.config.address_bits
        write = self.writes.payload
        gap, address = Signal(bits, reset_less=True), Signal(bits, reset_less=True)
        n_bytes, n_gaps = Signal(16, reset_less=True), Signal(16, reset_less=True)  # left of this gap; gaps left
        last_write = Signal()
        next_gap = Signal(bits)
        m.d.comb += [
            last_write.eq(n_bytes <= n_lanes),
            next_gap.eq(gap + self.layer.gap_pitch),
            write.address.eq(address),
            write.start.eq(0),
            write.stop.eq(Mux(last_write, n_bytes, n_lanes)),
            *(lane.eq(self.layer.zero_point) for lane in write.data),
        ]
        with m.FSM() as fsm:
            m.d.comb += self.busy.eq(~fsm.ongoing("idle"))
            with m.State("idle"), m.If(self.go):
                m.next = "start"
            with m.State("start"):
                m.d.sync += [
                    gap.eq(self.layer.gap_start),
                    address.eq(self.layer.gap_start),
                    n_bytes.eq(self.layer.gap_bytes),
                    n_gaps.eq(self.layer.n_gaps),
                ]
                m.next = "idle"
                with m.If(self.layer.n_gaps != 0):
                    m.next = "fill"
            with m.State("fill"):
                m.d.comb += self.writes.valid.eq(1)
                with m.If(self.writes.ready):
                    m.d.sync += [address.eq(address + n_lanes), n_bytes.eq(n_bytes - n_lanes)]
                    with m.If(last_write):
                        m.d.sync += [
                            gap.eq(next_gap),
                            address.eq(next_gap),
                            n_bytes.eq(self.layer.gap_bytes),
                            n_gaps.eq(n_gaps - 1),
                        ]
                        with m.If(n_gaps == 1):
                            m.next = "idle"
        return m
