"""The one way into the activation memories of all cores."""

from amaranth import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..core.rotator import Rotator
from ..layouts import LAYER_LAYOUT, bank_write_layout, row_result_layout, vector_write_layout
from ..pipeline import delayed, lowest_ones
from ..system.buses import activation_write_layout
from .gaps import GapFiller
from .store import StoreUnit

TURNS = 16
"""Cycles in which a waiting DMA write and a waiting gap write each go first once."""


class WriteBus(wiring.Component):
    """Merges row results, DMA writes and gaps into one bank write a cycle, broadcast to all cores.

    The cores' results share the store unit round robin. Its writes come before the DMA's, and these, but for the first
    of several, before the gap filler's; but each of the two goes first in one cycle of `TURNS`, a DMA write if it has
    waited before. Writes of one source reach the banks in order.

    Members
    -------
    results : In(stream of row_result_layout(config)).array(config.n_cores)
        Rows of each core, see `Drain`.
    activation_writes : In(stream of activation_write_layout(config))
        From the DMA.
    go : In(1)
        Pulse: fill the gaps of ``layer``; while ``idle``, or at least not before the previous layer's gaps are filled.
    layer : In(LAYER_LAYOUT)
        Back descriptor: must hold from the cycle after ``go`` until ``idle``.
    banks : Out(bank_write_layout(config))
        For `ActivationBanks.write`; ``enable`` is 0 in a cycle without a write.
    cores : Out(config.n_cores)
        The cores whose banks are written: all but for the DMA's writes to one core.
    idle : Out(1)
        No result or gap waits at an input or is under way: each of their writes is seen by a read of this cycle. Low
        from the cycle after ``go`` while gaps are being filled. The DMA's writes do not count: with ``latency`` they
        are in the banks long before a layer that waited for them can read.

    Attributes
    ----------
    latency : int
        Cycles from taking a DMA write to ``banks``; `StoreUnit.latency` more from taking a result.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        self._rotators = [Rotator(config.n_lanes, lane_bits) for lane_bits in (8, 1, 1)]
        self.latency = 1 + self._rotators[0].latency
        super().__init__(
            {
                "results": In(stream.Signature(row_result_layout(config))).array(config.n_cores),
                "activation_writes": In(stream.Signature(activation_write_layout(config))),
                "go": In(1),
                "layer": In(LAYER_LAYOUT),
                "banks": Out(bank_write_layout(config)),
                "cores": Out(config.n_cores),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        n_lanes = self.config.n_lanes
        lane_bits = n_lanes.bit_length() - 1
        m.submodules.store = store = StoreUnit(self.config)
        m.submodules.gaps = gaps = GapFiller(self.config)
        data_rotator, enable_rotator, far_rotator = self._rotators
        m.submodules += self._rotators
        m.d.comb += [store.layer.eq(self.layer), gaps.layer.eq(self.layer), gaps.go.eq(self.go)]
        self._merge_results(m, store.results)
        dma_write = Signal(vector_write_layout(self.config))
        m.d.comb += [
            dma_write.address.eq(self.activation_writes.payload.address),
            dma_write.stop.eq(8),
            *(dma_write.data[i].eq(self.activation_writes.payload.data.word_select(i, 8)) for i in range(8)),
        ]

        # The sources take turns in front of a pipeline that never stalls.
        turn = Signal(range(TURNS))
        take_store, take_dma, take_gap = Signal(), Signal(), Signal()
        store_waits, dma_waits, gap_waits = store.writes.valid, self.activation_writes.valid, gaps.writes.valid
        # The DMA is far away: what it says reaches the other sources a cycle later.
        dma_waited, dma_left = Signal(), Signal()
        m.d.sync += [turn.eq(turn + 1), dma_waited.eq(dma_waits), dma_left.eq(dma_waits & ~take_dma)]
        dma_first, gap_first = dma_left & (turn == 0), turn == TURNS // 2
        m.d.comb += [
            take_gap.eq(gap_waits & (gap_first | ~(store_waits | dma_waited))),
            take_dma.eq(dma_waits & ~take_gap & (dma_first | ~store_waits)),
            take_store.eq(store_waits & ~(gap_waits & gap_first) & ~dma_first),
            store.writes.ready.eq(take_store),
            self.activation_writes.ready.eq(take_dma),
            gaps.writes.ready.eq(take_gap),
        ]
        write = Signal(vector_write_layout(self.config), reset_less=True)
        cores = Signal(self.config.n_cores, reset_less=True)
        m.d.sync += [write.eq(dma_write), cores.eq(self.activation_writes.payload.cores)]  # if no other is taken
        with m.If(take_store | take_gap):
            m.d.sync += [write.eq(Mux(take_gap, gaps.writes.payload, store.writes.payload)), cores.eq(~0)]
        under_way = Signal(self.latency)  # a result or a gap; one bit a stage
        writes = Signal()  # whether `write` is one
        m.d.sync += [
            under_way.eq(Cat(take_store | take_gap, under_way)),
            writes.eq(take_store | take_dma | take_gap),
        ]

        # Slot k goes to bank (address + k) % n_lanes; with it travels whether it is written, and whether its plane lies
        # the phase pitch further on. That is half a vector more than whole rows of the banks, so that odd columns,
        # in the upper half of the slots, add rows only.
        columns = [2 * (k % (n_lanes // 2)) + k // (n_lanes // 2) for k in range(n_lanes)]
        runs = lowest_ones(write.stop, n_lanes) & ~lowest_ones(write.start, n_lanes)
        written = Signal(n_lanes)
        leftover = Signal()  # the last lane, alone, in the bank of the first
        m.d.comb += [
            written.eq(runs & writes.replicate(n_lanes)),
            leftover.eq(write.split & write.odd & (write.start != 0)),
            data_rotator.amount.eq(-write.address[:lane_bits]),
            enable_rotator.amount.eq(-write.address[:lane_bits]),
            far_rotator.amount.eq(-write.address[:lane_bits]),
        ]
        for rotator, lanes in ((data_rotator, list(write.data)), (enable_rotator, list(written))):
            slots = rotator.vector.as_value()
            moved = [lanes[column - 1] if column else Const(0, len(lanes[0])) for column in columns]
            moved[n_lanes // 2] = Mux(leftover, lanes[-1], lanes[0])
            with m.If(~write.split):
                m.d.comb += slots.eq(Cat(lanes))
            with m.Elif(~write.odd):
                m.d.comb += slots.eq(Cat(lanes[column] for column in columns))
            with m.Else():
                m.d.comb += slots.eq(Cat(moved))
        far = Cat(Const(0, n_lanes // 2), ~leftover, Const(-1, n_lanes // 2 - 1))
        m.d.comb += far_rotator.vector.eq(Mux(write.split, far, 0))
        first_bank, row = write.address[:lane_bits], write.address[lane_bits:]
        wrap = delayed(m, lowest_ones(first_bank, n_lanes), data_rotator.latency)
        near_row = delayed(m, row, data_rotator.latency)
        near_next = delayed(m, (row + 1)[: len(row)], data_rotator.latency)
        far_row = delayed(m, (row + self.layer.phase_vectors)[: len(row)], 1)
        far_next = delayed(m, (far_row + 1)[: len(row)], data_rotator.latency - 1)
        far_row = delayed(m, far_row, data_rotator.latency - 1)
        m.d.comb += [
            self.cores.eq(delayed(m, cores, data_rotator.latency)),
            self.banks.data.eq(data_rotator.rotated),
            self.banks.enable.eq(enable_rotator.rotated),
        ]
        for b, is_far in enumerate(far_rotator.rotated):
            row = Mux(is_far, Mux(wrap[b], far_next, far_row), Mux(wrap[b], near_next, near_row))
            m.d.comb += self.banks.rows[b].eq(row)
        waiting = Cat(store.busy, gaps.busy, (results.valid for results in self.results))
        m.d.comb += self.idle.eq(~(waiting.any() | under_way.any()))
        return m

    def _merge_results(self, m: Module, merged) -> None:
        """Round robin; the choice moves on when the chosen core's result is taken or it has none."""
        n_cores = self.config.n_cores
        chosen = Signal(range(max(2, n_cores)))
        with m.Switch(chosen):
            for core, results in enumerate(self.results):
                with m.Case(core):
                    m.d.comb += [
                        merged.valid.eq(results.valid),
                        merged.payload.eq(results.payload),
                        results.ready.eq(merged.ready),
                    ]
                    with m.If(~merged.valid | merged.ready):
                        for distance in reversed(range(1, n_cores)):  # the nearest one wins
                            other = (core + distance) % n_cores
                            with m.If(self.results[other].valid):
                                m.d.sync += chosen.eq(other)
