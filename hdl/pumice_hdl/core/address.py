"""Address generator: from decoder steps to activation addresses."""

from amaranth import Cat, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import LAYER_LAYOUT, TERM_LAYOUT, tap_pair_layout
from ..pipeline import delayed


class AddressGenerator(wiring.Component):
    """Keeps the position within a row, and adds up what it addresses; one term a cycle, ``latency`` cycles.

    A step moves from the position before it, or is ``absolute``: its ``index`` is ``tap << parameter | channel``.
    Position ``p = tap * n_channels + c`` of a row reads ``row_base + taps[tap] + c * channel_pitch + position``; with
    ``flat``, position ``p`` reads ``row_base + taps[p] + position``. Sums wrap at the size of activation memory.

    Members
    -------
    layer : In(LAYER_LAYOUT)
        Front descriptor: ``flat, n_channels, channel_pitch, parameter`` are used, up to ``latency`` cycles
        after a term.
    taps, taps_valid : In(tap_pair_layout(config)), In(1)
        Written to the tap table; terms may use a pair from the next cycle on.
    term, term_valid : In(TERM_LAYOUT), In(1)
        A step of the row under way; ``first`` starts a row at position -1. No relative step advances by more than
        ``n_channels`` positions.
    row_base, position : In(config.address_bits)
        Base address of the row and position of the tile, with the term.
    address : Out(config.address_bits)
        Byte that lane 0 reads.
    first, last : Out
        Of the term.
    valid : Out(1)
        There is a term.
    """

    latency = 6

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "layer": In(LAYER_LAYOUT),
                "taps": In(tap_pair_layout(config)),
                "taps_valid": In(1),
                "term": In(TERM_LAYOUT),
                "term_valid": In(1),
                "row_base": In(config.address_bits),
                "position": In(config.address_bits),
                "address": Out(config.address_bits),
                "first": Out(1),
                "last": Out(1),
                "valid": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        layer, address_bits = self.layer, self.config.address_bits

        # Cycle 1: what the step adds to the channel if it stays within the tap, and if it moves to the next one.
        term = delayed(m, self.term, 1)
        term_valid = delayed(m, self.term_valid, 1, reset_less=False)
        stay = Signal(range(128), reset_less=True)
        move = Signal(signed(18), reset_less=True)
        next_step = self.term.step.advance + ~self.term.first  # advance is stored minus one; a row starts at -1
        index, channel_bits = self.term.step.index, layer.parameter[:5]
        index_tap, index_channel = Signal.like(index, reset_less=True), Signal.like(index, reset_less=True)
        m.d.sync += [
            stay.eq(next_step),
            move.eq(next_step - layer.n_channels),
            index_tap.eq(index >> channel_bits),
            index_channel.eq(index & Cat(channel_bits > i for i in range(len(index)))),
        ]

        # Cycle 2: the position. What the next term moves from is kept apart: a first term finds channel 0 there.
        tap = Signal(range(self.config.max_taps), reset_less=True)
        channel, old_channel = Signal(16, reset_less=True), Signal(16, reset_less=True)
        new_channel = Signal(16)
        moved = Signal(signed(18))
        moves = ~moved[-1]  # not compared with 0: Yosys makes a carry chain of that
        m.d.comb += moved.eq(old_channel + move)
        with m.If(term.step.absolute):
            m.d.comb += new_channel.eq(index_channel)
        with m.Else():
            m.d.comb += new_channel.eq(Mux(moves, moved, old_channel + stay))
        with m.If(term_valid):
            m.d.sync += [channel.eq(new_channel), old_channel.eq(new_channel)]
            with m.If(term.step.absolute):
                m.d.sync += tap.eq(index_tap)
            with m.Elif(term.first):
                m.d.sync += tap.eq(0)  # a step is no longer than the first tap
            with m.Elif(moves):
                m.d.sync += tap.eq(tap + 1)
        with m.If(self.term_valid & self.term.first):
            m.d.sync += old_channel.eq(0)

        # Cycles 3 and 4: the tap's offset.
        m.submodules.taps = memory = Memory(
            shape=self.taps.shape().members["offsets"], depth=(self.config.max_taps + 1) // 2, init=[]
        )
        write, read = memory.write_port(), memory.read_port()
        entry = Signal(range(self.config.max_taps))
        m.d.comb += [
            write.en.eq(self.taps_valid),
            write.addr.eq(self.taps.pair),
            write.data.eq(self.taps.offsets),
            entry.eq(Mux(layer.flat, channel, tap)),
            read.addr.eq(entry[1:]),
        ]
        offsets, odd = delayed(m, read.data, 1), delayed(m, entry[0], 2)

        # Cycles 3 to 6 make up one DSP block: two input registers, product, sum.
        factor = delayed(m, Mux(layer.flat, 0, channel), 2)
        pitch = delayed(m, layer.channel_pitch[:address_bits], 1)
        product = Signal(address_bits, reset_less=True)
        offset = Signal(address_bits, reset_less=True)
        address = Signal(address_bits, reset_less=True)
        base = Signal(address_bits, reset_less=True)
        m.d.sync += [
            base.eq(self.row_base + self.position),
            offset.eq(offsets[odd] + delayed(m, base, 3)),
            product.eq(factor * pitch),
            address.eq(product + offset),
        ]

        delayed_term = delayed(m, term, self.latency - 1)
        m.d.comb += [
            self.address.eq(address),
            self.first.eq(delayed_term.first),
            self.last.eq(delayed_term.last),
            self.valid.eq(delayed(m, term_valid, self.latency - 1, reset_less=False)),
        ]
        return m
