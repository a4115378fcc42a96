"""A core: its own weights and activation banks, one non-zero a cycle to all lanes."""

from amaranth import Cat, EnableInserter, Module, Mux, Signal, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.formats import MAX_INDEX_BITS
from pumice.spec.stripes import PACKED_ROWS
from pumice.spec.values import MAX_VALUE_BITS

from ..layouts import LAYER_LAYOUT, bank_write_layout, row_context_layout, row_result_layout
from ..pipeline import OwnRegister, delayed, halves_swapped
from .address import AddressGenerator
from .banks import ActivationBanks
from .bit_reader import BitReader
from .context_queue import ContextQueue
from .drain import RESULT_CREDITS, Drain
from .fetch import SegmentFetch
from .mac import MacArray
from .row_issue import Activity, RowIssue
from .row_sums import RowSums
from .step_decoder import StepDecoder
from .step_queue import StepQueue
from .stripe_lanes import StripeLanes
from .stripe_reader import StripeReader
from .tile_walker import TileWalker
from .weight_memory import WeightMemory, WeightWritePort


class Core(wiring.Component):
    """Runs its rows of a layer on ``n_lanes`` lanes.

    From ``start`` the front end reads the segment of ``front``; from ``enable`` on it issues steps. Results come out in
    table order, tile by tile. Latency from a row's last step to its result: ``result_latency`` cycles.

    Members
    -------
    front, back : In(LAYER_LAYOUT)
        Layer that is read for and issued, layer whose rows drain. ``front`` may change once ``idle``, ``back`` once
        ``idle`` and ``drained``.
    start, enable : In(1)
        See `RowIssue`.
    weights : In(WeightWritePort(config))
        Writes to the weight memory.
    banks : In(bank_write_layout(config))
        Writes to the activation banks.
    peek : In(stream of byte addresses)
        Reads of activations; they take a cycle in which no term passes, and hold the issue, a cycle late, until they
        have it.
    peeked, peeked_valid : Out
        Eight bytes from the address, in order.
    results : Out(stream of row_result_layout(config))
        One each two cycles.
    idle, activity : Out
        As of `RowIssue`, a cycle later.
    drained : Out
        See `RowIssue`.
    nonzero : Out(1)
        A weight that is not 0 was issued, some cycles ago.
    """

    front: LAYER_LAYOUT
    back: LAYER_LAYOUT

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "front": In(LAYER_LAYOUT),
                "back": In(LAYER_LAYOUT),
                "start": In(1),
                "enable": In(1),
                "weights": In(WeightWritePort(config)),
                "banks": In(bank_write_layout(config)),
                "peek": In(stream.Signature(unsigned(config.address_bits))),
                "peeked": Out(64),
                "peeked_valid": Out(1),
                "results": Out(stream.Signature(row_result_layout(config))),
                "idle": Out(1, init=1),
                "drained": Out(1),
                "activity": Out(Activity),
                "nonzero": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        config = self.config
        m.submodules.memory = memory = WeightMemory(config)
        m.submodules.fetch = fetch = SegmentFetch(config)
        m.submodules.index_bits = index_bits = BitReader(MAX_INDEX_BITS)
        m.submodules.value_bits = value_bits = BitReader(MAX_VALUE_BITS)
        m.submodules.decoders = decoders = StepDecoder()
        m.submodules.steps = steps = StepQueue()
        m.submodules.walker = walker = TileWalker(config)
        m.submodules.issue = issue = RowIssue(config)
        m.submodules.addresses = addresses = AddressGenerator(config)
        m.submodules.banks = banks = ActivationBanks(config)
        m.submodules.macs = macs = MacArray(config)
        m.submodules.contexts = contexts = ContextQueue(row_context_layout(config), RESULT_CREDITS)
        m.submodules.drain = drain = Drain(config)
        m.submodules.reader = reader = StripeReader(config)
        striped, no_rows = self.front.striped, Signal()
        no_indices = delayed(m, ~fetch.has_indices, 1)  # holds long before the first bits come
        # What only striped layers need holds still in the others.
        m.submodules.own_any_striped = any_striped = OwnRegister()
        m.d.comb += any_striped.d.eq(striped | self.back.striped)
        # Where headers go holds a cycle after the start, long before they come.
        m.submodules.own_to_sums = to_sums = OwnRegister()
        m.d.comb += to_sums.d.eq(striped)
        lanes, sums = StripeLanes(config), RowSums(config)
        m.submodules.lanes = EnableInserter(any_striped.q)(lanes)
        m.submodules.sums = EnableInserter(any_striped.q)(sums)

        # Weight memory to issue.
        wiring.connect(m, wiring.flipped(self.weights), memory.write)
        wiring.connect(m, fetch.indices, index_bits.words)
        wiring.connect(m, fetch.values, value_bits.words)
        wiring.connect(m, fetch.lengths, steps.lengths)
        wiring.connect(m, walker.tiles, issue.tiles)
        m.d.comb += [
            memory.address.eq(fetch.memory_address),
            fetch.memory_data.eq(memory.data),
            fetch.start.eq(self.start),
            fetch.segment.eq(self.front.segment),
            fetch.striped.eq(striped),
            index_bits.restart.eq(self.start),
            index_bits.take.eq(steps.take),
            index_bits.align.eq(steps.align),
            value_bits.restart.eq(self.start),
            value_bits.take.eq(steps.take & decoders.has_value),
            value_bits.align.eq(steps.align),
            steps.start.eq(self.start),
            steps.available.eq((index_bits.available | no_indices) & value_bits.available),
            steps.pop.eq(issue.take),
            walker.start.eq(self.start & ~striped),
            walker.layer.eq(self.front),
            issue.start.eq(self.start & ~striped),
            issue.enable.eq(self.enable),
            issue.loaded.eq(fetch.loaded),
            issue.no_rows.eq(fetch.no_rows),
            issue.available.eq(steps.valid),
            issue.headers.valid.eq(fetch.headers.valid & ~to_sums.q),
            issue.headers.payload.eq(fetch.headers.payload),
            sums.headers.valid.eq(fetch.headers.valid & to_sums.q),
            sums.headers.payload.eq(fetch.headers.payload),
            fetch.headers.ready.eq(Mux(to_sums.q, sums.headers.ready, issue.headers.ready)),
            no_rows.eq(fetch.loaded & fetch.no_rows),
            self.drained.eq(issue.drained & sums.drained),
        ]
        m.d.sync += [  # registers, for sequencer and counters are far away
            self.idle.eq(Mux(striped, reader.idle & (sums.finished | no_rows), issue.idle)),
            self.activity.eq(Mux(striped, reader.activity, issue.activity)),
        ]
        m.d.comb += [
            decoders.layer.eq(self.front),
            decoders.window.eq(index_bits.window),
            decoders.value_window.eq(value_bits.window),
            decoders.first.eq(steps.first),
            decoders.take.eq(steps.take),
            steps.decoded_step.eq(decoders.step),
            steps.decoded_weight.eq(decoders.weight),
            decoders.table.eq(fetch.table),
            decoders.table_valid.eq(fetch.table_valid),
            index_bits.n_bits.eq(decoders.index_bits),
            value_bits.n_bits.eq(decoders.value_bits),
            self.nonzero.eq(delayed(m, (steps.weight != 0) | lanes.nonzero, 1, reset_less=False)),
        ]

        # Issue to accumulators: fixed delays, nothing waits.
        vector = banks.vector.as_value()
        held = Signal()  # a register: the DMA is far away, and a term more or less in front of a peek is no matter
        m.d.sync += held.eq(self.peek.valid)
        m.d.comb += [
            addresses.layer.eq(self.front),
            addresses.taps.eq(delayed(m, fetch.taps, 1)),  # on the way from the weight memory
            addresses.taps_valid.eq(delayed(m, fetch.taps_valid, 1, reset_less=False)),
            addresses.term.step.eq(steps.step),
            addresses.term.first.eq(issue.term_first),
            addresses.term.last.eq(issue.term_last),
            addresses.term_valid.eq(issue.term_valid),
            addresses.row_base.eq(issue.row_base),
            addresses.position.eq(issue.position),
            issue.hold.eq(held),
            reader.hold.eq(held),
            self.peek.ready.eq(~addresses.valid & ~reader.valid),
            banks.address.eq(
                Mux(addresses.valid, addresses.address, Mux(reader.valid, reader.address, self.peek.payload))
            ),
            banks.write.eq(self.banks),
            macs.vector.eq(banks.vector),
            macs.swapped.eq(banks.swapped),
            macs.max.eq(self.back.max),
            self.peeked.eq(delayed(m, Mux(banks.swapped, halves_swapped(vector), vector)[:64], 1)),
        ]

        m.d.comb += [
            # A term is a cycle behind its step.
            macs.weight.eq(delayed(m, steps.weight, 1 + addresses.latency + banks.latency - decoders.latency)),
            macs.first.eq(delayed(m, addresses.first, banks.latency)),
            macs.last.eq(delayed(m, addresses.last, banks.latency)),
            macs.valid.eq(delayed(m, addresses.valid, banks.latency, reset_less=False)),
            self.peeked_valid.eq(delayed(m, self.peek.valid & self.peek.ready, banks.latency + 1, reset_less=False)),
        ]

        # A striped layer: from the banks to the lanes, each with its own terms, and to sums of all lanes.
        m.submodules.own_striped = own_striped = OwnRegister()

        def from_banks(value):
            return delayed(m, value, banks.aligned_latency, reset_less=False)

        m.d.comb += [
            reader.start.eq(self.start & striped),
            lanes.restart.eq(from_banks(reader.start)),
            reader.enable.eq(self.enable),
            reader.throttle.eq(delayed(m, sums.throttle, 1, reset_less=False)),  # the lanes are far away
            reader.loaded.eq(fetch.loaded),
            reader.no_rows.eq(fetch.no_rows),
            reader.n_slots.eq(fetch.n_slots),
            reader.layer.eq(self.front),
            lanes.vector.eq(banks.aligned),
            lanes.load.eq(from_banks(reader.valid & ~reader.is_slot)),
            lanes.slot.eq(from_banks(reader.valid & reader.is_slot)),
            lanes.index.eq(from_banks(reader.index)),
            lanes.pairs.eq(self.front.pairs),
            lanes.row_length.eq(self.front.n_channels),
            own_striped.d.eq(self.back.striped),
            macs.striped.eq(own_striped.q),  # holds long before the first term
            macs.lane_terms.eq(lanes.terms),
            macs.lane_valid.eq(lanes.valid),
            sums.start.eq(delayed(m, self.start & striped, 1, reset_less=False)),
            sums.shares.eq(macs.accumulators),
            sums.done.eq(macs.lanes_done),
            sums.layer.eq(self.back),
        ]

        # Accumulators to results.
        wiring.connect(m, issue.contexts, contexts.rows)
        wiring.connect(m, contexts.drained, drain.contexts)
        m.d.comb += [
            contexts.may_push.eq(issue.may_push),
            drain.layer.eq(self.back),
            drain.accumulators.eq(macs.accumulators),
            drain.done.eq(macs.done),
            issue.result_taken.eq(drain.taken),
        ]
        # The write bus is far away: a result leaves its queue in the cycle after it was taken, in which there is none.
        # A striped layer uses part of a result, and only that is chosen.
        striped, row, sums_row = self.back.striped, self.results.payload, sums.results.payload
        taken = delayed(m, self.results.valid & self.results.ready, 1, reset_less=False)
        m.d.comb += [
            row.eq(drain.results.payload),
            self.results.valid.eq(~taken & (drain.results.valid | (striped & sums.results.valid))),
            drain.results.ready.eq(taken),
            sums.results.ready.eq(striped & taken),
        ]
        with m.If(striped):
            m.d.comb += [
                Cat(row.data[:PACKED_ROWS]).eq(Cat(sums_row.data[:PACKED_ROWS])),
                row.out_address.eq(sums_row.out_address),
                row.tile.n_store.eq(sums_row.tile.n_store),
                row.tile.position.eq(0),
            ]
        return m
