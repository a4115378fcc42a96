"""Step queue: takes decoded steps before they are issued."""

from amaranth import Module, Mux, ResetInserter, Signal, signed
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out

from ..layouts import ROW_LENGTH_LAYOUT, STEP_LAYOUT
from ..pipeline import counted, delayed, half_ahead
from .step_decoder import StepDecoder

N_STEPS = 16
"""Places; no more than half of them and one are in use. A power of two."""


class StepQueue(wiring.Component):
    """Drives the decoders row by row, as far ahead of the issue as there is room.

    So the decoders and what decides on a term are apart: neither waits for the other in the same cycle. Decodes round
    after round of the row table, past the layer's last tile, until ``start``. A step may be issued from the cycle after
    it was taken on; one a cycle, in and out.

    Members
    -------
    start : In(1)
        From the next cycle on, all steps are gone, those in the decoders included.
    lengths : In(stream of ROW_LENGTH_LAYOUT)
        Rows; the table repeats for each tile.
    available : In(1)
        The bit readers hold enough bits for the decoders' step.
    take, first : Out(1)
        The decoders' step is used; it is the first of its row.
    align : Out(1)
        The tile's last step is used: drop the rest of the stream word behind it.
    decoded_step, decoded_weight : In(STEP_LAYOUT), In(signed(8))
        From the decoders, a cycle and `StepDecoder.latency` cycles after ``take``.
    valid : Out(1)
        There is a step.
    pop : In(1)
        It is issued; only while ``valid``.
    step : Out(STEP_LAYOUT)
        The step that was issued in the previous cycle.
    weight : Out(signed(8))
        Weight of the step that was issued `StepDecoder.latency` cycles ago; 0 if none was.
    """

    start: In(1)
    lengths: In(stream.Signature(ROW_LENGTH_LAYOUT))
    available: In(1)
    take: Out(1)
    first: Out(1)
    align: Out(1)
    decoded_step: In(STEP_LAYOUT)
    decoded_weight: In(signed(8))
    valid: Out(1)
    pop: In(1)
    step: Out(STEP_LAYOUT)
    weight: Out(signed(8))

    def elaborate(self, platform):
        m = Module()

        # The row under way. A row without steps takes a cycle.
        left = Signal(ROW_LENGTH_LAYOUT["n_steps"].shape)
        row_valid, on_last, empty, is_last = Signal(), Signal(), Signal(), Signal()  # on_last: left <= 1
        room = Signal()
        go, ends_row = Signal(), Signal()
        length = self.lengths.payload
        m.d.comb += [
            go.eq(row_valid & room & (self.available | empty)),
            ends_row.eq(go & on_last),
            self.take.eq(go & ~empty),
            self.align.eq(ends_row & is_last),
            self.lengths.ready.eq(~row_valid | ends_row),
        ]
        with m.If(ends_row):
            m.d.sync += row_valid.eq(0)
        with m.Elif(go):
            m.d.sync += [left.eq(left - 1), on_last.eq(left == 2), self.first.eq(0)]
        with m.If(self.lengths.valid & self.lengths.ready):
            m.d.sync += [
                row_valid.eq(1),
                left.eq(length.n_steps),
                on_last.eq(length.n_steps <= 1),
                empty.eq(length.n_steps == 0),
                is_last.eq(length.last),
                self.first.eq(1),
            ]
        with m.If(self.start):
            m.d.sync += row_valid.eq(0)

        # Steps under way, modulo the places. What they are comes later, and is asked for as much later.
        restarted = ResetInserter(self.start)
        pushed, popped, after = Signal(range(N_STEPS)), Signal(range(N_STEPS)), Signal(range(N_STEPS), init=1)
        counts = Module()
        counts.d.sync += [
            pushed.eq(counted(pushed, self.take)),
            popped.eq(counted(popped, self.pop)),
            after.eq(counted(after, self.pop)),  # popped + 1
            self.valid.eq(self.take | (self.valid & ~(self.pop & (pushed == after)))),
            room.eq(~half_ahead(pushed, popped)),
        ]
        m.submodules.counts = restarted(counts)
        queues = {"steps": (self.decoded_step, 1), "weights": (self.decoded_weight, StepDecoder.latency)}
        issued = {}
        for name, (decoded, latency) in queues.items():
            queue = Module()
            queue.submodules.memory = memory = Memory(
                shape=decoded.shape(), depth=N_STEPS, init=[], attrs={"ram_style": "distributed"}
            )
            write, read = memory.write_port(), memory.read_port(domain="comb")
            brought = delayed(queue, self.take, latency, reset_less=False)
            asked = delayed(queue, self.pop, latency, reset_less=False)
            queue.d.comb += [write.en.eq(brought), write.data.eq(decoded)]
            queue.d.sync += [
                write.addr.eq(counted(write.addr, brought)),
                read.addr.eq(counted(read.addr, asked)),
            ]
            m.submodules[name] = restarted(queue)
            issued[name] = asked, read.data
        m.d.comb += [self.step.eq(issued["steps"][1]), self.weight.eq(Mux(*issued["weights"], 0))]
        return m
