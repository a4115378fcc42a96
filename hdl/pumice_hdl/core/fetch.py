"""Segment fetch: the only reader of a core's weight memory."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from pumice.spec.config import WEIGHT_WORD_BITS, EngineConfig
from pumice.spec.descriptor import PREAMBLE

from ..layouts import ROW_LAYOUT, ROW_LENGTH_LAYOUT, TABLE_WORD_LAYOUT, tap_pair_layout, word_layout
from .weight_memory import WeightMemory

N_HEADERS = 3  # two requests a header, and about five cycles from asking for one to room for the next
N_STRIPED_HEADERS = 16  # ahead in striped layers, which have no streams to wait for it and may have short rows
N_WORDS = 8  # of a stream; five requests are under way at one word a cycle


class Read(enum.Enum, shape=3):
    """What a word of memory is read for."""

    NONE = 0
    PREAMBLE = 1
    TAPS = 2
    TABLE = 3
    HEADER = 4
    INDEX = 5
    VALUE = 6


class State(enum.Enum, shape=2):
    """What comes next."""

    IDLE = 0
    PREAMBLE = 1
    TAPS = 2
    ROWS = 3


class _StreamCursor:
    """Where the next word of a stream is, round and round, and how much room its queue has for words not asked for.

    ``base`` is driven from outside, and a start resets ``room`` and ``begun``. Until the first word is asked for,
    ``cursor`` follows ``base``.
    """

    def __init__(self, m: Module, name: str, queue: SyncFIFO, start, asked, n_words, depth: int):
        self.base = Signal(range(depth), name=f"{name}_base")
        self.cursor = Signal(range(depth), name=f"{name}_cursor")
        self.room = Signal(range(N_WORDS + 1), init=N_WORDS, name=f"{name}_room")
        self.wanted = Signal(name=f"{name}_wanted")
        self.begun = Signal(name=f"{name}_begun")
        last = Signal(range(depth), name=f"{name}_last")
        exists = Signal(name=f"{name}_exists")
        taken = Signal(name=f"{name}_taken")  # its room comes back a cycle later
        m.d.comb += self.wanted.eq(exists & (self.room != 0))
        m.d.sync += [
            last.eq(self.base + n_words - 1),
            exists.eq(n_words != 0),
            taken.eq(queue.r_rdy & queue.r_en & ~start),
            self.room.eq(self.room + taken - asked),
        ]
        with m.If(asked):
            m.d.sync += [self.cursor.eq(Mux(self.cursor == last, self.base, self.cursor + 1)), self.begun.eq(1)]
        with m.Elif(~self.begun):
            m.d.sync += self.cursor.eq(self.base)


class SegmentFetch(wiring.Component):
    """Reads the segment of a layer: preamble, taps, value table, then rows and both streams round and round.

    Reads one word a cycle while there is room, headers first, the streams in turns. The row table repeats after its
    ``n_rows`` headers (the last one is flagged ``last``), a stream after its last word, until the next start. With
    ``n_rows = 0`` nothing follows the preamble; of a stream without words comes none. The first header is valid
    ``10 + ceil(n_taps / 2) + n_table_words`` cycles after ``start``, the first words three and four cycles later.

    Members
    -------
    start : In(1)
        From the next cycle on, everything of the previous segment is gone and ``loaded`` is 0.
    segment : In(range(config.weight_depth))
        Word address of the preamble, with ``start``.
    memory_address : Out(range(config.weight_depth))
        To `WeightMemory`, whose latency this relies on.
    memory_data : In(64)
        From `WeightMemory`.
    taps, taps_valid : Out(tap_pair_layout(config)), Out(1)
        The tap table in order, a pair a cycle, to be taken at once. Behind an odd number of taps the last pair's second
        offset is undefined.
    table, table_valid : Out(TABLE_WORD_LAYOUT), Out(1)
        The value table in order, a word a cycle, to be taken at once.
    headers : Out(stream of ROW_LAYOUT)
        Rows; up to one each two cycles.
    lengths : Out(stream of ROW_LENGTH_LAYOUT)
        Of the same rows, for who needs no more of them and takes them no later than ``headers``. A striped layer has
        none.
    indices, values : Out(stream of 64 bits)
        Words of the index stream and the value stream; together up to one a cycle.
    striped : In(1)
        The segment is a striped layer's, from ``start`` on: it has no streams, and ``n_slots`` slots.
    n_slots : Out(16)
        Once ``loaded``.
    has_indices : Out(1)
        There is an index stream; valid while ``loaded``.
    loaded : Out(1)
        Preamble, taps and value table have been delivered.
    no_rows : Out(1)
        This core has no rows; valid while ``loaded``.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "segment": In(range(config.weight_depth)),
                "memory_address": Out(range(config.weight_depth)),
                "memory_data": In(WEIGHT_WORD_BITS),
                "taps": Out(tap_pair_layout(config)),
                "taps_valid": Out(1),
                "table": Out(TABLE_WORD_LAYOUT),
                "table_valid": Out(1),
                "headers": Out(stream.Signature(ROW_LAYOUT)),
                "lengths": Out(stream.Signature(ROW_LENGTH_LAYOUT)),
                "indices": Out(stream.Signature(WEIGHT_WORD_BITS)),
                "values": Out(stream.Signature(WEIGHT_WORD_BITS)),
                "striped": In(1),
                "has_indices": Out(1),
                "n_slots": Out(16),
                "loaded": Out(1),
                "no_rows": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self.config.weight_depth
        m.submodules.headers = headers = ResetInserter(self.start)(
            SyncFIFO(width=2 * WEIGHT_WORD_BITS, depth=N_STRIPED_HEADERS)
        )
        m.submodules.lengths = lengths = ResetInserter(self.start)(
            SyncFIFO(width=ROW_LENGTH_LAYOUT.size, depth=N_HEADERS)
        )
        m.submodules.indices = indices = ResetInserter(self.start)(SyncFIFO(width=WEIGHT_WORD_BITS, depth=N_WORDS))
        m.submodules.values = values = ResetInserter(self.start)(SyncFIFO(width=WEIGHT_WORD_BITS, depth=N_WORDS))

        # What is asked for in this cycle reaches the memory in the next one.
        request = Signal(Read)
        address = Signal(range(depth))
        under_way = [Signal(Read, name=f"under_way{i}") for i in range(1 + WeightMemory.latency)]
        arrived = under_way[-1]
        m.d.sync += [self.memory_address.eq(address), under_way[0].eq(request)]
        for earlier, later in pairwise(under_way):
            m.d.sync += later.eq(Mux(self.start, Read.NONE, earlier))

        # Room that has not been asked for; a queue entry's room comes back a cycle after it is taken.
        header_room = Signal(range(N_STRIPED_HEADERS + 1), init=N_HEADERS)
        second_half = Signal()  # of the header to ask for
        # `request` less late: a start does not clear these, but resets all that they step.
        asks_header, asks_index, asks_value = Signal(), Signal(), Signal()
        header_taken = Signal()
        m.d.sync += [
            header_taken.eq(headers.r_rdy & headers.r_en & ~self.start),
            header_room.eq(header_room + header_taken - (asks_header & ~second_half)),
            second_half.eq(second_half ^ asks_header),
        ]

        state = Signal(State)
        preamble = Signal(word_layout(PREAMBLE))
        arriving_preamble = data.View(word_layout(PREAMBLE), self.memory_data)
        pairs_left = Signal(range((1 << 15) + 1))
        table_left = Signal(8)
        cursor = Signal(range(depth))  # of preamble, taps, table and headers
        header_base = Signal(range(depth))
        header_last = Signal(range(depth))
        n_index_words = Mux(self.striped, 0, preamble.n_index_words)
        index_words = _StreamCursor(m, "index", indices, self.start, asks_index, n_index_words, depth)
        # A striped layer has no streams: the field counts its slots.
        value_words = _StreamCursor(m, "value", values, self.start, asks_value, preamble.n_value_words, depth)
        # Computed all the time to keep adders short; they hold before the first two headers are read.
        m.d.sync += [
            self.has_indices.eq(n_index_words != 0),
            self.no_rows.eq(preamble.n_rows == 0),
            header_last.eq(index_words.base - 1),
            value_words.base.eq(index_words.base + n_index_words),
        ]
        values_turn = Signal()

        m.d.comb += [
            address.eq(cursor),
            self.n_slots.eq(preamble.n_index_words),
        ]
        with m.Switch(state):
            with m.Case(State.PREAMBLE):
                m.d.sync += [
                    preamble.eq(arriving_preamble),
                    pairs_left.eq((arriving_preamble.n_taps + 1) >> 1),
                    table_left.eq(arriving_preamble.n_table_words),
                ]
                with m.If(arrived == Read.PREAMBLE):
                    m.d.sync += state.eq(State.TAPS)
            with m.Case(State.TAPS):
                m.d.sync += [
                    header_base.eq(cursor),
                    index_words.base.eq(cursor + 2 * preamble.n_rows),
                ]
                with m.If(preamble.n_rows == 0):
                    m.d.sync += [state.eq(State.IDLE), self.loaded.eq(1)]
                with m.Elif(pairs_left != 0):
                    m.d.comb += request.eq(Read.TAPS)
                    m.d.sync += [cursor.eq(cursor + 1), pairs_left.eq(pairs_left - 1)]
                with m.Elif(table_left != 0):
                    m.d.comb += request.eq(Read.TABLE)
                    m.d.sync += [cursor.eq(cursor + 1), table_left.eq(table_left - 1)]
                with m.Else():
                    m.d.sync += state.eq(State.ROWS)
            with m.Case(State.ROWS):
                with m.If(second_half | (header_room != 0)):
                    m.d.comb += [request.eq(Read.HEADER), asks_header.eq(1)]
                    m.d.sync += cursor.eq(Mux(second_half & (cursor == header_last), header_base, cursor + 1))
                with m.Elif(value_words.wanted & (values_turn | ~index_words.wanted)):
                    m.d.comb += [request.eq(Read.VALUE), asks_value.eq(1), address.eq(value_words.cursor)]
                    m.d.sync += values_turn.eq(0)
                with m.Elif(index_words.wanted):
                    m.d.comb += [request.eq(Read.INDEX), asks_index.eq(1), address.eq(index_words.cursor)]
                    m.d.sync += values_turn.eq(1)

        pair, table_index = Signal.like(self.taps.pair), Signal.like(self.table.index)
        first_half = Signal(WEIGHT_WORD_BITS, reset_less=True)
        first_half_arrived = Signal()
        row, length = data.View(ROW_LAYOUT, headers.w_data), data.View(ROW_LENGTH_LAYOUT, lengths.w_data)
        m.d.comb += [
            self.taps_valid.eq(arrived == Read.TAPS),
            self.taps.pair.eq(pair),
            self.taps.offsets[0].eq(self.memory_data[:32]),
            self.taps.offsets[1].eq(self.memory_data[32:]),
            self.table_valid.eq(arrived == Read.TABLE),
            self.table.index.eq(table_index),
            self.table.word.eq(self.memory_data),
            headers.w_data.eq(Cat(first_half, self.memory_data)),
            headers.w_en.eq((arrived == Read.HEADER) & first_half_arrived),
            length.n_steps.eq(row.n_steps),
            length.last.eq(row.last),
            lengths.w_en.eq(headers.w_en & ~self.striped),
            indices.w_data.eq(self.memory_data),
            indices.w_en.eq(arrived == Read.INDEX),
            values.w_data.eq(self.memory_data),
            values.w_en.eq(arrived == Read.VALUE),
        ]
        with m.If(self.taps_valid):
            m.d.sync += pair.eq(pair + 1)
        with m.If(self.table_valid):
            m.d.sync += table_index.eq(table_index + 1)
        with m.If(arrived == Read.HEADER):
            # Reads arrive in the order they were asked for: taps and table are complete.
            m.d.sync += [first_half.eq(self.memory_data), first_half_arrived.eq(~first_half_arrived), self.loaded.eq(1)]

        for queue, out in (
            (headers, self.headers),
            (lengths, self.lengths),
            (indices, self.indices),
            (values, self.values),
        ):
            m.d.comb += [out.payload.eq(queue.r_data), out.valid.eq(queue.r_rdy), queue.r_en.eq(out.ready)]

        with m.If(self.start):
            m.d.comb += [request.eq(Read.PREAMBLE), address.eq(self.segment)]
            m.d.sync += [
                state.eq(State.PREAMBLE),
                cursor.eq(self.segment + 1),
                pair.eq(0),
                table_index.eq(0),
                second_half.eq(0),
                first_half_arrived.eq(0),
                header_room.eq(Mux(self.striped, N_STRIPED_HEADERS, N_HEADERS)),
                values_turn.eq(0),
                *(
                    signal.eq(signal.init)
                    for words in (index_words, value_words)
                    for signal in (words.room, words.begun)
                ),
                self.loaded.eq(0),
            ]
        return m
