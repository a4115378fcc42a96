"""Row issue: joins row headers and tiles, and decides when a decoder step may go as a term."""

from amaranth import Module, Mux, Signal
from amaranth.lib import enum, stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig

from ..layouts import ROW_LAYOUT, row_context_layout, tile_layout
from ..pipeline import OwnRegister
from .drain import DRAIN_CYCLES, RESULT_CREDITS

ADDRESS_SETTLE = 8  # cycles after which a term has left everything that reads the front descriptor


class Activity(enum.Enum, shape=3):
    """What a core did in a cycle; the order of the stall counters in `pumice.spec.descriptor.LOG_COUNTERS`."""

    STEP = 0
    FETCH = 1
    DRAIN = 2
    STORE = 3
    START = 4
    FINISH = 5


class RowIssue(wiring.Component):
    """Lets one decoded step a cycle go as a term; the only place of a core that stalls.

    Tile by tile, each row of the table: its steps, the first and last flagged. The last step of a row waits until 8
    cycles have passed since the previous row's last step (the drain is free then) and a result credit is there. A row
    without steps issues one term without value. Back-to-back rows lose no cycle; a new tile loses one to three.

    Members
    -------
    start : In(1)
        Drops all state and begins a layer; terms wait for ``enable``, which is low in this cycle.
    enable : In(1)
        Steps may go: the previous layer's results are in the banks.
    hold : In(1)
        No step goes in this cycle (the DMA reads activations).
    loaded, no_rows : In(1)
        From `SegmentFetch`: the preamble is read; this core has no rows.
    headers, tiles : In(stream)
        Row table and tiles; the table repeats for each tile.
    available : In(1)
        The next step is there (`StepQueue`).
    take : Out(1)
        It goes.
    term_first, term_last, term_valid, row_base, position : Out
        What goes with the step, which the queue gives: first or last of its row, the row's base address, the tile's
        position; one cycle after ``take``.
    contexts, may_push : Out(stream), Out(1)
        Pushed with each row's last step; a push is never refused (at most RESULT_CREDITS are outstanding). Early in
        the cycle ``may_push`` says that there can be one.
    result_taken : In(1)
        A row result has left the core: returns a credit.
    idle : Out(1)
        Nothing is left to issue and no term is where the front descriptor is read.
    drained : Out(1)
        The result of every row issued so far has left the core.
    activity : Out
        What happened in this cycle, for the counters.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "start": In(1),
                "enable": In(1),
                "hold": In(1),
                "loaded": In(1),
                "no_rows": In(1),
                "headers": In(stream.Signature(ROW_LAYOUT)),
                "tiles": In(stream.Signature(tile_layout(config))),
                "available": In(1),
                "take": Out(1),
                "term_first": Out(1),
                "term_last": Out(1),
                "term_valid": Out(1),
                "row_base": Out(config.address_bits),
                "position": Out(config.address_bits),
                "contexts": Out(stream.Signature(row_context_layout(config))),
                "may_push": Out(1),
                "result_taken": In(1),
                "idle": Out(1),
                "drained": Out(1, init=1),
                "activity": Out(Activity),
            }
        )

    def elaborate(self, platform):
        m = Module()

        # Nothing to do: before the first start, after the last tile, or when the table is empty.
        finished = Signal(init=1)
        settle = Signal(range(ADDRESS_SETTLE + 1))
        begun = Signal()

        row = Signal(ROW_LAYOUT)
        row_valid = Signal()
        steps_left = Signal(17)
        on_last, next_last = Signal(), Signal()  # steps_left <= 1, registered
        empty = Signal()  # the row has no steps
        first = Signal()
        tile = Signal(tile_layout(self.config))
        tile_valid = Signal()

        # Counts, and as registers whether they are 0: much depends on whether a step goes.
        drain_wait, drains = Signal(range(DRAIN_CYCLES)), Signal()
        credits, no_credit = Signal(range(RESULT_CREDITS + 1), init=RESULT_CREDITS), Signal()
        next_wait, next_credits = Signal.like(drain_wait), Signal.like(credits)

        ready = Signal()  # the step is there
        blocked_drain = Signal()
        blocked_store = Signal()
        go = Signal()
        m.d.comb += [
            ready.eq(row_valid & tile_valid & (self.available | empty)),
            blocked_drain.eq(on_last & drains),
            blocked_store.eq(on_last & no_credit),
            go.eq(ready & self.enable & ~self.hold & ~blocked_drain & ~blocked_store),
            self.take.eq(go & ~empty),
        ]
        end_of_row = Signal()
        end_of_tile = Signal()
        m.d.comb += [
            end_of_row.eq(go & on_last),
            end_of_tile.eq(end_of_row & row.last),
        ]

        # A register for the decision on a step, and one for all the memory that a row's context is written to.
        m.submodules.own_last = own_last = OwnRegister()
        m.d.comb += next_last.eq(on_last)
        m.d.sync += on_last.eq(next_last)

        # The next header replaces the row in the cycle of its last step.
        next_row = self.headers.payload
        m.d.comb += self.headers.ready.eq(~row_valid | end_of_row)
        with m.If(end_of_row):
            m.d.sync += row_valid.eq(0)
        with m.Elif(go):
            m.d.sync += [steps_left.eq(steps_left - 1), first.eq(0)]
            m.d.comb += next_last.eq(steps_left == 2)
        with m.If(self.headers.valid & self.headers.ready):
            m.d.sync += [
                row.eq(next_row),
                row_valid.eq(1),
                steps_left.eq(next_row.n_steps),
                empty.eq(next_row.n_steps == 0),
                first.eq(1),
            ]
            m.d.comb += next_last.eq(next_row.n_steps <= 1)

        m.d.comb += self.tiles.ready.eq(~tile_valid)
        with m.If(end_of_tile):
            m.d.sync += tile_valid.eq(0)
        with m.If(self.tiles.valid & self.tiles.ready):
            m.d.sync += [tile.eq(self.tiles.payload), tile_valid.eq(1)]

        m.d.comb += [
            next_wait.eq(Mux(end_of_row, DRAIN_CYCLES - 1, Mux(drains, drain_wait - 1, 0))),
            next_credits.eq(credits + self.result_taken - end_of_row),
        ]
        m.d.sync += [
            drain_wait.eq(next_wait),
            drains.eq(next_wait != 0),
            credits.eq(next_credits),
            no_credit.eq(next_credits == 0),
            self.drained.eq(next_credits == RESULT_CREDITS),
        ]
        m.d.comb += [
            self.contexts.valid.eq(end_of_row),
            own_last.d.eq(next_last),
            self.may_push.eq(own_last.q),
            self.contexts.p.bias.eq(row.bias),
            self.contexts.p.multiplier.eq(row.multiplier),
            self.contexts.p.shift.eq(row.shift),
            self.contexts.p.out_address.eq(row.out_address),
            self.contexts.p.tile.eq(tile),
        ]

        m.d.sync += [
            self.term_valid.eq(go),
            self.term_first.eq(first),
            self.term_last.eq(on_last),
            self.row_base.eq(row.row_base),
            self.position.eq(tile.position),
        ]

        with m.If(settle != 0):
            m.d.sync += settle.eq(settle - 1)
        with m.If((end_of_tile & tile.last) | (self.loaded & self.no_rows)):
            m.d.sync += finished.eq(1)
        with m.If(go):
            m.d.sync += [begun.eq(1), settle.eq(ADDRESS_SETTLE)]
        with m.If(self.start):
            m.d.sync += [finished.eq(0), begun.eq(0), row_valid.eq(0), tile_valid.eq(0), settle.eq(ADDRESS_SETTLE)]
        m.d.comb += self.idle.eq(finished & (settle == 0) & ~self.start)

        with m.If(go):
            m.d.comb += self.activity.eq(Activity.STEP)
        with m.Elif(finished):
            m.d.comb += self.activity.eq(Activity.FINISH)
        with m.Elif(~self.enable | ~begun):
            m.d.comb += self.activity.eq(Activity.START)
        with m.Elif(ready & blocked_drain):
            m.d.comb += self.activity.eq(Activity.DRAIN)
        with m.Elif(ready & (blocked_store | self.hold)):
            m.d.comb += self.activity.eq(Activity.STORE)
        with m.Else():
            m.d.comb += self.activity.eq(Activity.FETCH)
        return m
