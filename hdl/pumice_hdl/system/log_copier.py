"""Sends layers' log entries from soft-core RAM to the host's log buffer."""

from amaranth import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.descriptor import BUFFER_LOG, LOG_ENTRY_BYTES, SPACE_CPU_RAM, TRANSFER
from pumice.spec.registers import LOG_BYTES, LOG_OFFSET

from ..layouts import word_layout

LOG_ENTRIES = LOG_BYTES // LOG_ENTRY_BYTES
PATIENCE = 8
"""Cycles after a layer's completion in which its entry gives precedence to transfers that waited for the same layer."""


class LogCopier(wiring.Component):
    """Has the DMA copy log entries, in order: a half of the log at a time, at the end as they come.

    The engine writes entry after entry round the log: no more than LOG_ENTRIES layers may be handed over beyond
    ``n_copied``. Without ``enable`` entries count as copied at once.

    Members
    -------
    clear : In(1)
        Gives up what is offered, zeroes counts; nothing more is copied until ``completed`` has been 0.
    enable : In(1)
        There is a log buffer; constant from one ``clear`` to the next.
    completed : In(32)
        Layers completed since ``clear``, their entries in soft-core RAM.
    urgent : In(1)
        No more layers come: entries leave as they come.
    n_copied : Out(16)
        Entries that have arrived since ``clear``, modulo 2**16.
    idle : Out(1)
        All of the layers that had completed a cycle ago have.
    transfers : Out(stream of TRANSFER's words)
        Copies, one at a time.
    copies_completed : In(16)
        Copies completed since ``completed`` was 0.
    """

    transfers: stream.Interface

    def __init__(self):
        super().__init__(
            {
                "clear": In(1),
                "enable": In(1),
                "completed": In(32),
                "urgent": In(1),
                "n_copied": Out(16),
                "idle": Out(1),
                "transfers": Out(stream.Signature(word_layout(TRANSFER))),
                "copies_completed": In(16),
            }
        )

    def elaborate(self, platform):
        m = Module()
        entry_bits = (LOG_ENTRY_BYTES - 1).bit_length()
        asked = Signal(32 - entry_bits)  # entries whose copies have been taken or are offered
        place = asked[: (LOG_ENTRIES - 1).bit_length()]
        n_new, n_to_end = Signal.like(asked), Signal(range(LOG_ENTRIES + 1))
        n = Signal(range(LOG_ENTRIES + 1), reset_less=True)
        n_copies = Signal(16)  # taken
        stopped = Signal()
        last_completed, patience = Signal(16), Signal(range(PATIENCE + 1))
        goes_on, leaves = Signal(), Signal()
        m.d.sync += n_new.eq(self.completed - asked)
        m.d.comb += [
            n_to_end.eq(LOG_ENTRIES - place),
            goes_on.eq(last_completed != self.completed[:16]),
            leaves.eq((n_new != 0) & ~goes_on & (patience == 0)),
        ]
        m.d.sync += last_completed.eq(self.completed)
        with m.If(goes_on):
            m.d.sync += patience.eq(PATIENCE)
        with m.Elif(patience != 0):
            m.d.sync += patience.eq(patience - 1)

        fields = {"write": 1, "space": SPACE_CPU_RAM, "buffer": BUFFER_LOG, "n_runs": 1}
        m.d.comb += [getattr(self.transfers.p, name).eq(value) for name, value in fields.items()]
        m.d.comb += [
            self.transfers.p.local.eq(LOG_OFFSET + (place << entry_bits)),
            self.transfers.p.offset.eq(asked << entry_bits),
            self.transfers.p.n_bytes.eq(n << entry_bits),
        ]
        with m.FSM(name="copier"):
            with m.State("WAIT"):
                m.d.comb += self.idle.eq(stopped | (n_new == 0))
                m.d.sync += n.eq(Mux(n_new < n_to_end, n_new, n_to_end))
                with m.If(stopped):
                    m.d.sync += stopped.eq(self.completed != 0)
                with m.Elif(~self.enable):
                    m.d.sync += [asked.eq(self.completed), self.n_copied.eq(self.completed)]
                with m.Elif(((n_new >= LOG_ENTRIES // 2) | (self.urgent & leaves)) & ~self.clear):
                    m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.transfers.valid.eq(1)
                with m.If(self.transfers.ready):
                    m.d.sync += [asked.eq(asked + n), n_copies.eq(n_copies + 1)]
                    m.next = "COPY"
                with m.If(self.clear):
                    m.next = "WAIT"
            with m.State("COPY"), m.If((self.copies_completed == n_copies) | self.clear):
                m.d.sync += self.n_copied.eq(asked)
                m.next = "WAIT"
        with m.If(self.clear):
            m.d.sync += [asked.eq(0), n_copies.eq(0), self.n_copied.eq(0), patience.eq(0), stopped.eq(1)]
        return m
