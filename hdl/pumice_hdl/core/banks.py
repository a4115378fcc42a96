"""Activation memory of one core: a bank for each lane, read at any byte address."""

from amaranth import Module, Mux, Signal, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import bank_write_layout
from ..pipeline import delayed, lowest_ones
from .rotator import Rotator


class ActivationBanks(wiring.Component):
    """Banks of bytes: byte ``a`` lies in row ``a // n_lanes`` of bank ``a % n_lanes``. One unaligned read a cycle.

    A write given in cycle ``t`` is seen by the reads whose address is given in cycle ``t`` or later, not by those of
    cycle ``t - 2`` or earlier; a read of the written bytes in cycle ``t - 1`` is undefined.

    Members
    -------
    address : In(config.address_bits)
        Byte address, every cycle.
    vector : Out(ArrayLayout(unsigned(8), config.n_lanes))
        Byte ``address + i`` (mod the memory's size) in element ``i``, ``latency`` cycles after the address, but for
        ``swapped``.
    swapped : Out(1)
        The halves of ``vector`` are in each other's place: the last step of the rotation, which costs a reader that
        chooses among bytes anyway nothing.
    aligned : Out(ArrayLayout(unsigned(8), config.n_lanes))
        The same, ``aligned_latency`` cycles after an address that is a multiple of ``n_lanes``.
    write : In(bank_write_layout(config))
        From the write bus, the same for every core.

    Attributes
    ----------
    aligned_latency : int
        Cycles: row, bank address, memory, its output register.
    latency : int
        The rotator's more.
    """

    aligned_latency = 4

    def __init__(self, config: EngineConfig):
        self.config = config
        self._rotator = Rotator(config.n_lanes, n_amounts=config.n_lanes // 2)
        self.latency = self.aligned_latency + self._rotator.latency
        super().__init__(
            {
                "address": In(config.address_bits),
                "vector": Out(data.ArrayLayout(unsigned(8), config.n_lanes)),
                "swapped": Out(1),
                "aligned": Out(data.ArrayLayout(unsigned(8), config.n_lanes)),
                "write": In(bank_write_layout(config)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        n_lanes = self.config.n_lanes
        lane_bits = n_lanes.bit_length() - 1
        m.submodules.rotator = rotator = self._rotator
        row = Signal(self.config.address_bits - lane_bits, reset_less=True)
        next_row = Signal.like(row, reset_less=True)
        wrap = Signal(n_lanes, reset_less=True)  # bank holds a byte of the next row
        first_bank = self.address[:lane_bits]
        m.d.sync += [row.eq(self.address[lane_bits:]), next_row.eq(self.address[lane_bits:] + 1)]
        m.d.sync += wrap.eq(lowest_ones(first_bank, n_lanes))
        # Whole vectors are delayed, not their elements: a simulator copies words.
        bytes_read = Signal(8 * n_lanes)
        m.d.comb += [self.aligned.eq(delayed(m, bytes_read, 1)), rotator.vector.eq(self.aligned)]
        write_rows = data.View(self.write.shape()["rows"].shape, delayed(m, self.write.rows.as_value(), 1))
        write_data = delayed(m, self.write.data.as_value(), 1)
        write_enable = delayed(m, self.write.enable, 1, reset_less=False)
        for b in range(n_lanes):
            m.submodules[f"bank{b}"] = bank = Memory(
                shape=unsigned(8), depth=self.config.bank_depth, init=[], attrs={"ram_style": "block"}
            )
            read, write = bank.read_port(), bank.write_port()
            m.d.comb += [
                read.addr.eq(delayed(m, Mux(wrap[b], next_row, row), 1)),
                bytes_read.word_select(b, 8).eq(read.data),
                write.addr.eq(write_rows[b]),
                write.data.eq(write_data.word_select(b, 8)),
                write.en.eq(write_enable[b]),
            ]
        m.d.comb += [
            rotator.amount.eq(delayed(m, first_bank[:-1], self.aligned_latency)),
            self.vector.eq(rotator.rotated),
            self.swapped.eq(delayed(m, first_bank[-1], self.latency)),
        ]
        return m
