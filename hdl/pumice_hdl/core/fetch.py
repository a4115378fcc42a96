"""Segment fetch: the only reader of a core's weight memory."""

from itertools import pairwise

from amaranth import Cat, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from pumice.spec.config import WEIGHT_WORD_BITS, EngineConfig
from pumice.spec.descriptor import PREAMBLE

from ..layouts import ROW_LAYOUT, tap_pair_layout, word_layout
from .weight_memory import WeightMemory

N_HEADERS = 2
N_WORDS = 8  # five requests are under way at one word a cycle


class Read(enum.Enum, shape=3):
    """What a word of memory is read for."""

    NONE = 0
    PREAMBLE = 1
    TAPS = 2
    HEADER = 3
    WORD = 4


class State(enum.Enum, shape=2):
    """What comes next."""

    IDLE = 0
    PREAMBLE = 1
    TAPS = 2
    ROWS = 3


class SegmentFetch(wiring.Component):
    """Reads the segment of a layer: preamble, taps, then rows and stream words round and round until the next start.

    Reads one word a cycle while there is room, headers first. The row table repeats after its ``n_rows`` headers (the
    last one is flagged ``last``), the stream after its last word. With ``n_rows = 0`` nothing follows the preamble;
    with ``n_stream_words = 0`` there are no words. The first header is valid ``10 + ceil(n_taps / 2)`` cycles after
    ``start``, the first word three cycles later.

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
    headers : Out(stream of ROW_LAYOUT)
        Rows; up to one each two cycles.
    words : Out(stream of 64 bits)
        Words of the stream; up to one a cycle.
    loaded : Out(1)
        Preamble and taps have been delivered.
    n_rows : Out(16)
        Rows of this core; valid while ``loaded``.
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
                "headers": Out(stream.Signature(ROW_LAYOUT)),
                "words": Out(stream.Signature(WEIGHT_WORD_BITS)),
                "loaded": Out(1),
                "n_rows": Out(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        depth = self.config.weight_depth
        m.submodules.headers = headers = ResetInserter(self.start)(
            SyncFIFO(width=2 * WEIGHT_WORD_BITS, depth=N_HEADERS)
        )
        m.submodules.words = words = ResetInserter(self.start)(SyncFIFO(width=WEIGHT_WORD_BITS, depth=N_WORDS))

        # What is asked for in this cycle reaches the memory in the next one.
        request = Signal(Read)
        address = Signal(range(depth))
        under_way = [Signal(Read, name=f"under_way{i}") for i in range(1 + WeightMemory.latency)]
        arrived = under_way[-1]
        m.d.sync += [self.memory_address.eq(address), under_way[0].eq(request)]
        for earlier, later in pairwise(under_way):
            m.d.sync += later.eq(Mux(self.start, Read.NONE, earlier))

        # Room that has not been asked for; a queue entry's room comes back when it is taken.
        header_room = Signal(range(N_HEADERS + 1), init=N_HEADERS)
        word_room = Signal(range(N_WORDS + 1), init=N_WORDS)
        second_half = Signal()  # of the header to ask for
        asks_header = request == Read.HEADER
        m.d.sync += [
            header_room.eq(header_room + (headers.r_rdy & headers.r_en) - (asks_header & ~second_half)),
            word_room.eq(word_room + (words.r_rdy & words.r_en) - (request == Read.WORD)),
            second_half.eq(second_half ^ asks_header),
        ]

        state = Signal(State)
        preamble = Signal(word_layout(PREAMBLE))
        arriving_preamble = data.View(word_layout(PREAMBLE), self.memory_data)
        pairs_left = Signal(range((1 << 15) + 1))
        cursor = Signal(range(depth))  # of preamble, taps and headers
        header_base = Signal(range(depth))
        header_last = Signal(range(depth))
        word_cursor = Signal(range(depth))
        word_base = Signal(range(depth))
        word_last = Signal(range(depth))
        has_words = Signal()
        # Computed all the time to keep adders short; they hold before the first of the two cycles of a header is over.
        m.d.sync += [
            header_last.eq(word_base - 1),
            word_last.eq(word_base + preamble.n_stream_words - 1),
            has_words.eq(preamble.n_stream_words != 0),
        ]

        m.d.comb += [address.eq(cursor), self.n_rows.eq(preamble.n_rows)]
        with m.Switch(state):
            with m.Case(State.PREAMBLE):
                m.d.sync += [preamble.eq(arriving_preamble), pairs_left.eq((arriving_preamble.n_taps + 1) >> 1)]
                with m.If(arrived == Read.PREAMBLE):
                    m.d.sync += state.eq(State.TAPS)
            with m.Case(State.TAPS):
                m.d.sync += [
                    header_base.eq(cursor),
                    word_base.eq(cursor + 2 * preamble.n_rows),
                    word_cursor.eq(cursor + 2 * preamble.n_rows),
                ]
                with m.If(preamble.n_rows == 0):
                    m.d.sync += [state.eq(State.IDLE), self.loaded.eq(1)]
                with m.Elif(pairs_left != 0):
                    m.d.comb += request.eq(Read.TAPS)
                    m.d.sync += [cursor.eq(cursor + 1), pairs_left.eq(pairs_left - 1)]
                with m.Else():
                    m.d.sync += state.eq(State.ROWS)
            with m.Case(State.ROWS):
                with m.If(second_half | (header_room != 0)):
                    m.d.comb += request.eq(Read.HEADER)
                    m.d.sync += cursor.eq(Mux(second_half & (cursor == header_last), header_base, cursor + 1))
                with m.Elif(has_words & (word_room != 0)):
                    m.d.comb += [request.eq(Read.WORD), address.eq(word_cursor)]
                    m.d.sync += word_cursor.eq(Mux(word_cursor == word_last, word_base, word_cursor + 1))

        pair = Signal.like(self.taps.pair)
        first_half = Signal(WEIGHT_WORD_BITS, reset_less=True)
        first_half_arrived = Signal()
        m.d.comb += [
            self.taps_valid.eq(arrived == Read.TAPS),
            self.taps.pair.eq(pair),
            self.taps.offsets[0].eq(self.memory_data[:32]),
            self.taps.offsets[1].eq(self.memory_data[32:]),
            headers.w_data.eq(Cat(first_half, self.memory_data)),
            headers.w_en.eq((arrived == Read.HEADER) & first_half_arrived),
            words.w_data.eq(self.memory_data),
            words.w_en.eq(arrived == Read.WORD),
        ]
        with m.If(self.taps_valid):
            m.d.sync += pair.eq(pair + 1)
        with m.If(arrived == Read.HEADER):
            # Reads arrive in the order they were asked for: the taps are complete.
            m.d.sync += [first_half.eq(self.memory_data), first_half_arrived.eq(~first_half_arrived), self.loaded.eq(1)]

        for queue, out in ((headers, self.headers), (words, self.words)):
            m.d.comb += [out.payload.eq(queue.r_data), out.valid.eq(queue.r_rdy), queue.r_en.eq(out.ready)]

        with m.If(self.start):
            m.d.comb += [request.eq(Read.PREAMBLE), address.eq(self.segment)]
            m.d.sync += [
                state.eq(State.PREAMBLE),
                cursor.eq(self.segment + 1),
                pair.eq(0),
                second_half.eq(0),
                first_half_arrived.eq(0),
                header_room.eq(N_HEADERS),
                word_room.eq(N_WORDS),
                self.loaded.eq(0),
            ]
        return m
