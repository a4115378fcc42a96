"""Stripe reader: walks a striped layer's input vector and slots through the bank read port."""

from amaranth import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT
from .row_issue import Activity

SETTLE_CYCLES = 21
"""From the last read to the last row sum in its queue, with some to spare: banks, lanes, multipliers."""


class StripeReader(wiring.Component):
    """Reads the input vector, then the slots of a striped layer (`pumice.spec.descriptor`), a bank row a cycle.

    Members
    -------
    start : In(1)
        While ``idle``: begins with ``layer``, which is striped; reads wait for ``enable``.
    enable, hold : In(1)
        Reads may go: the previous layer's results are in the banks; no read in this cycle.
    throttle : In(1)
        No slot is read in this cycle: row sums wait for the requantiser.
    loaded, no_rows, n_slots : In
        From `SegmentFetch`: the preamble is read; this core has no rows (nothing is read); slots.
    layer : In(LAYER_LAYOUT)
        Front descriptor: ``n_channels, channel_pitch, n_valid`` are used while not ``idle``.
    address : Out(config.address_bits)
        Byte that lane 0 reads, while ``valid``; a multiple of ``n_lanes``.
    valid : Out(1)
        There is a read; ``is_slot`` tells a slot from a part of the vector.
    index : Out(range(config.stripe_depth))
        Which part of the vector.
    idle : Out(1)
        Everything is read and has left the multipliers.
    activity : Out(Activity)
        What happened in this cycle, for the counters: each slot is a step.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "enable": In(1),
                "hold": In(1),
                "throttle": In(1),
                "loaded": In(1),
                "no_rows": In(1),
                "n_slots": In(16),
                "layer": In(LAYER_LAYOUT),
                "address": Out(config.address_bits),
                "valid": Out(1),
                "is_slot": Out(1),
                "index": Out(range(config.stripe_depth)),
                "idle": Out(1),
                "activity": Out(Activity),
            }
        )

    def elaborate(self, platform):
        m = Module()
        lane_bits = self.config.n_lanes.bit_length() - 1
        row = Signal(self.config.address_bits - lane_bits)
        left = Signal(16)
        settle = Signal(range(SETTLE_CYCLES + 1))
        finished = Signal()  # all is read
        loading = Signal()
        m.d.comb += [self.address[lane_bits:].eq(row), self.idle.eq(finished & (settle == 0) & ~self.start)]

        with m.If(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        with m.If(self.valid):
            m.d.sync += [row.eq(row + 1), left.eq(left - 1), settle.eq(SETTLE_CYCLES)]
        readable, may = Signal(), Signal()
        m.d.sync += readable.eq(self.loaded & ~self.no_rows & ~self.start)
        m.d.comb += may.eq(self.enable & ~self.hold & readable)
        with m.FSM(init="IDLE", name="reader") as reader:
            m.d.comb += finished.eq(reader.ongoing("IDLE"))
            with m.State("IDLE"), m.If(self.start):
                m.d.sync += [
                    row.eq(self.layer.channel_pitch[lane_bits:]),
                    left.eq(self.layer.n_channels),
                    self.index.eq(0),
                ]
                m.next = "VECTOR"
            with m.State("VECTOR"):
                m.d.comb += [loading.eq(1), self.valid.eq(may)]
                with m.If(may):
                    m.d.sync += self.index.eq(self.index + 1)
                    with m.If(left == 1):
                        m.d.sync += [
                            row.eq(self.layer.n_valid[lane_bits:]),
                            left.eq(self.n_slots),
                        ]
                        m.next = "SLOTS"
                with m.If(self.loaded & self.no_rows):
                    m.next = "IDLE"
            with m.State("SLOTS"):
                m.d.comb += [self.is_slot.eq(1), self.valid.eq(may & ~self.throttle)]
                with m.If(self.valid & (left == 1)):
                    m.next = "IDLE"

        with m.If(self.valid & self.is_slot):
            m.d.comb += self.activity.eq(Activity.STEP)
        with m.Elif(finished):
            m.d.comb += self.activity.eq(Activity.FINISH)
        with m.Elif(loading):
            m.d.comb += self.activity.eq(Activity.START)
        with m.Else():
            m.d.comb += self.activity.eq(Activity.STORE)
        return m
