"""Activity counters of a layer and their way into the log."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import LOG_COUNTERS, LOG_ENTRY_BYTES
from pumice.spec.registers import LOG_BYTES, LOG_OFFSET

from ..core.row_issue import Activity
from ..system.buses import LOG_WRITE_LAYOUT

WORDS_PER_ENTRY = LOG_ENTRY_BYTES // 8
ENTRIES = LOG_BYTES // LOG_ENTRY_BYTES


class LayerCounters(wiring.Component):
    """Counts what the cores do and writes one log entry a layer.

    Members
    -------
    active : In(1)
        This cycle belongs to a layer and is counted.
    activities, nonzeros : In
        Of each core.
    place : In(range(ENTRIES))
        Of the layer's entry in the log.
    complete : In(1)
        Last cycle of a layer: the counters, this cycle included, become its entry and start again at 0. Must not come
        while ``busy``.
    log : Out(stream of LOG_WRITE_LAYOUT)
        The entry, four words.
    busy : Out(1)
        The entry is not yet in place.
    written : Out(1)
        Pulse: the entry is in place from the next cycle on.
    """

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "active": In(1),
                "activities": In(Activity).array(config.n_cores),
                "nonzeros": In(1).array(config.n_cores),
                "place": In(range(ENTRIES)),
                "complete": In(1),
                "log": Out(stream.Signature(LOG_WRITE_LAYOUT)),
                "busy": Out(1),
                "written": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        stalls = (Activity.FETCH, Activity.DRAIN, Activity.STORE, Activity.START, Activity.FINISH)
        events = [
            1,
            sum(activity == Activity.STEP for activity in self.activities),
            sum(self.nonzeros),
            *(sum(activity == cause for activity in self.activities) for cause in stalls),
        ]
        assert len(events) == len(LOG_COUNTERS)  # an error here is ours, not the user's

        # Registered once, so that the adders do not lengthen the cores' issue logic; `complete` follows suit.
        active, complete = Signal(), Signal()
        m.d.sync += [active.eq(self.active), complete.eq(self.complete)]
        totals = []
        for (name, _), event in zip(LOG_COUNTERS, events, strict=True):
            increment = Signal(range(self.config.n_cores + 1), name=f"{name}_increment")
            count, total = Signal(32, name=name), Signal(32, name=f"{name}_total")
            m.d.sync += increment.eq(event)
            m.d.comb += total.eq(count + Mux(active, increment, 0))
            m.d.sync += count.eq(Mux(complete, 0, total))
            totals.append(total)

        words = Signal(LOG_ENTRY_BYTES * 8)  # what is left of the entry, next word lowest
        words_left = Signal(range(WORDS_PER_ENTRY + 1))
        address = Signal(17)
        m.d.comb += [
            self.log.valid.eq(words_left != 0),
            self.log.p.address.eq(address),
            self.log.p.data.eq(words[:64]),
            self.busy.eq(complete | (words_left != 0)),
            self.written.eq(self.log.ready & (words_left == 1)),
        ]
        with m.If(self.log.valid & self.log.ready):
            m.d.sync += [words.eq(words[64:]), words_left.eq(words_left - 1), address.eq(address + 1)]
        with m.If(self.complete):
            m.d.sync += address.eq(LOG_OFFSET // 8 + self.place * WORDS_PER_ENTRY)
        with m.If(complete):
            m.d.sync += [words.eq(Cat(*totals)), words_left.eq(WORDS_PER_ENTRY)]
        return m
