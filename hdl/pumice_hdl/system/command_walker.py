"""Reads command lists from soft-core RAM and hands their layers and transfers to engine and DMA."""

from amaranth import Module, Mux, ResetInserter, Signal, Value
from amaranth.lib import enum, stream, wiring
from amaranth.lib.fifo import SyncFIFOBuffered
from amaranth.lib.wiring import In, Out
from pumice.spec.descriptor import (
    BUFFER_INPUT,
    BUFFER_OUTPUT,
    COMMAND,
    LAYER,
    OP_END,
    OP_LAYER,
    OP_NEXT_PAGE,
    OP_TRANSFER,
    PAGE_BYTES,
    QUEUED_TRANSFERS,
    SKIP_FIRST,
    SKIP_LAST,
    TRANSFER,
)

from ..layouts import word_layout
from .buses import RamReads, RegisterBus
from .log_copier import LOG_ENTRIES
from .register_block import RegisterBlock

COMMAND_LAYOUT, LAYER_WORDS, TRANSFER_WORDS = word_layout(COMMAND), word_layout(LAYER), word_layout(TRANSFER)
RAM_BYTES = 8  # of a word
RAM_BITS = 8 * RAM_BYTES
# 64-bit words of the payloads; COMMAND takes one.
N_PAYLOAD = {OP_END: 0, OP_NEXT_PAGE: 0, OP_LAYER: LAYER.n_words // 2, OP_TRANSFER: TRANSFER.n_words // 2}
MAX_PAYLOAD = max(N_PAYLOAD.values())


class State(enum.Enum, shape=4):
    """What the walker does in a cycle."""

    IDLE = 0
    ASK = 1  # for a command's head
    HEAD = 2  # has it
    DECODE = 3
    CHECK = 4  # goes on, or the list is malformed
    LOAD = 5  # asks for the payload
    LOADED = 6  # has its last word
    WAIT = 7  # until the counts are reached
    OFFER = 8  # until engine or DMA takes it


def reached(counter: Value, n: Value) -> Value:
    """Whether a 16-bit counter that wraps has reached ``n``, from which it is less than 2**15 away."""
    return ~(counter - n)[15]


class CommandWalker(wiring.Component):
    """Walks the commands of a list from an address to END, to ``end`` or to the first malformed one.

    NEXT_PAGE leads to the next multiple of PAGE_BYTES. END waits in the last walk only, for the log as well.

    A command takes 7 cycles and one for each 64-bit word of its payload, unless it waits: for RAM, for its counts, for
    the engine's queue or that of QUEUED_TRANSFERS transfers here, thanks to which layers go on while transfers wait for
    the DMA. Counts are those of `pumice.spec.descriptor.COMMAND`, modulo 2**16; a command may
    be up to 32,767 layers or transfers ahead of what has completed.

    A walk can be armed: it begins at every doorbell of a run and ends the command, and the soft core need not be there.

    Transfers of the input and output buffers are moved by the registers ``input_offset`` and ``output_offset``, and by
    ``input_bytes`` and ``output_bytes`` where they belong to a neighbouring sample (SKIP_FIRST, SKIP_LAST).

    Members
    -------
    registers : In(RegisterBus())
        Block ``walker``. ``clear`` may withdraw an offer.
    ram : Out(RamReads())
        Soft-core RAM.
    layers : Out(stream of LAYER's words), transfers : Out(stream of TRANSFER's words)
        In the order of the list.
    layers_completed, transfers_completed : In(16)
        Of those handed over since ``clear`` or ``begun``, modulo 2**16.
    doorbell : In(1)
        A run of one sample begins; pulse.
    serving : In(1)
        The command of the last doorbell goes on.
    begun : Out(1)
        Pulse behind that of ``doorbell``: the armed walk begins. Everything else that counts does so from zero, and is
        idle.
    clears : Out(1)
        Pulse: all counts are void, by ``clear`` or ``begun``.
    finish : Out(1)
        Pulse: the armed walk has ended as it should.
    n_copied : In(16)
        Log entries that need not be kept any more, since ``clear`` or ``begun``, modulo 2**16.
    log_idle : In(1)
        All entries of layers completed have been copied.
    log_urgent : Out(1)
        No layer is left to be handed over.
    """

    registers: wiring.PureInterface
    ram: wiring.PureInterface
    layers: stream.Interface
    transfers: stream.Interface
    layers_completed: Signal
    transfers_completed: Signal
    doorbell: Signal
    serving: Signal
    begun: Signal
    clears: Signal
    finish: Signal
    n_copied: Signal
    log_idle: Signal
    log_urgent: Signal

    def __init__(self):
        super().__init__(
            {
                "registers": In(RegisterBus()),
                "ram": Out(RamReads()),
                "layers": Out(stream.Signature(LAYER_WORDS)),
                "transfers": Out(stream.Signature(TRANSFER_WORDS)),
                "layers_completed": In(16),
                "transfers_completed": In(16),
                "doorbell": In(1),
                "serving": In(1),
                "begun": Out(1),
                "clears": Out(1),
                "finish": Out(1),
                "n_copied": In(16),
                "log_idle": In(1),
                "log_urgent": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.block = block = RegisterBlock("walker")
        queue = SyncFIFOBuffered(width=RAM_BITS * N_PAYLOAD[OP_TRANSFER], depth=QUEUED_TRANSFERS)
        m.submodules.queue = ResetInserter(self.clears)(queue)
        wiring.connect(m, wiring.flipped(self.registers), block.bus)

        state = Signal(State)
        at = Signal.like(self.ram.address)  # of the command
        behind = Signal(len(at) + 1)  # of what lies behind it
        place = Signal.like(at)  # of the next payload word
        words_left = Signal(range(MAX_PAYLOAD + 1))  # of the payload
        end = block.end_address[3:]
        command = Signal(COMMAND_LAYOUT, reset_less=True)
        payload = Signal(RAM_BITS * MAX_PAYLOAD, reset_less=True)  # the newest word on top
        arrives = Signal()  # a payload word, in this cycle
        ended, malformed = Signal(), Signal()
        n_layers, n_transfers = Signal(16), Signal(16)  # handed over since clear
        layers_base, transfers_base = Signal(16), Signal(16)  # from which this walk's commands count
        armed, armed_at = Signal(), Signal.like(at)
        begun = Signal()  # this walk, by a doorbell
        finishes = Signal()  # its end is the command's
        m.d.comb += [
            block.status_busy.eq(state != State.IDLE),
            block.status_ended.eq(ended),
            block.status_malformed.eq(malformed),
            block.status_begun.eq(begun),
            block.at_address.eq(at << 3),
        ]

        known, length = Signal(), Signal(range(MAX_PAYLOAD + 2))
        well_formed, skips = Signal(), Signal()  # as decoded
        with m.Switch(command.op):
            for op, n_words in N_PAYLOAD.items():
                with m.Case(op):
                    m.d.comb += [length.eq(1 + n_words), known.eq(command.n_words == 2 * (1 + n_words))]

        is_layer = command.op == OP_LAYER
        is_last = (block.skip_walks & SKIP_LAST) != 0  # no walk behind this one
        layers_due, transfers_due = Signal(16, reset_less=True), Signal(16, reset_less=True)
        # A register: sums are in front of it, and behind it the host's registers. What it depends on has been there
        # for a cycle when a command waits, and what may go may do so for ever.
        may_go = Signal()
        m.d.sync += may_go.eq(
            reached(self.transfers_completed, transfers_due)
            & Mux(
                is_layer, reached(self.n_copied + LOG_ENTRIES, n_layers + 1), reached(self.layers_completed, layers_due)
            )
        )

        # What a transfer is moved by.
        transfer, moved = Signal(TRANSFER_WORDS), Signal(TRANSFER_WORDS)
        sample_offset, sample_bytes = Signal(32), Signal(32)
        offset = Signal(32, reset_less=True)
        with m.Switch(transfer.buffer):
            for buffer, name in ((BUFFER_INPUT, "input"), (BUFFER_OUTPUT, "output")):
                with m.Case(buffer):
                    m.d.comb += [
                        sample_offset.eq(getattr(block, f"{name}_offset_n")),
                        sample_bytes.eq(getattr(block, f"{name}_bytes_n")),
                    ]
        m.d.comb += [
            transfer.eq(payload[-RAM_BITS * N_PAYLOAD[OP_TRANSFER] :]),
            moved.eq(transfer),
            moved.offset.eq(transfer.offset + offset),
            queue.w_data.eq(moved),
            self.transfers.valid.eq(queue.r_rdy),
            self.transfers.p.eq(queue.r_data),
            queue.r_en.eq(self.transfers.ready),
            self.layers.p.eq(payload[-RAM_BITS * N_PAYLOAD[OP_LAYER] :]),
        ]

        m.d.sync += arrives.eq(0)
        with m.If(arrives):
            m.d.sync += payload.eq(self.ram.read_data << (RAM_BITS * (MAX_PAYLOAD - 1)) | payload >> RAM_BITS)
        with m.Switch(state):
            with m.Case(State.IDLE):
                begins = block.begin_address_strobe
                with m.If(begins):
                    m.d.sync += [layers_base.eq(n_layers), transfers_base.eq(n_transfers)]
                with m.If(begins | block.resume_address_strobe):
                    address = Mux(begins, block.begin_address, block.resume_address)
                    m.d.sync += [at.eq(address[3:]), ended.eq(0), malformed.eq(0), state.eq(State.ASK)]
            with m.Case(State.ASK):
                m.d.comb += [self.ram.address.eq(at), self.ram.read.eq(at < end)]
                with m.If(at >= end):
                    m.d.sync += state.eq(State.IDLE)
                with m.Elif(self.ram.ready):
                    m.d.sync += state.eq(State.HEAD)
            with m.Case(State.HEAD):  # RAM takes its time: nothing else is done with its data in this cycle
                m.d.sync += [command.eq(self.ram.read_data), state.eq(State.DECODE)]
            with m.Case(State.DECODE):
                m.d.sync += [
                    well_formed.eq(known),
                    skips.eq((command.op == OP_TRANSFER) & ((command.skip & block.skip_walks) != 0)),
                    behind.eq(at + length),
                    place.eq(at + 1),
                    words_left.eq(length - 1),
                    layers_due.eq(layers_base + command.after_layers),
                    transfers_due.eq(transfers_base + command.after_transfers),
                    state.eq(State.CHECK),
                ]
            with m.Case(State.CHECK):
                with m.If(~well_formed | (behind > end)):
                    m.d.sync += [malformed.eq(1), state.eq(State.IDLE)]
                with m.Elif(command.op == OP_NEXT_PAGE):
                    m.d.sync += [at.eq((at | (PAGE_BYTES // RAM_BYTES - 1)) + 1), state.eq(State.ASK)]
                with m.Elif(command.op == OP_END):
                    m.d.sync += state.eq(State.WAIT)
                with m.Elif(skips):
                    m.d.sync += [transfers_base.eq(transfers_base - 1), at.eq(behind), state.eq(State.ASK)]
                with m.Else():
                    m.d.sync += state.eq(State.LOAD)
            with m.Case(State.LOAD):
                m.d.comb += [self.ram.address.eq(place), self.ram.read.eq(1)]
                with m.If(self.ram.ready):
                    m.d.sync += [place.eq(place + 1), words_left.eq(words_left - 1), arrives.eq(1)]
                    with m.If(words_left == 1):
                        m.d.sync += state.eq(State.LOADED)
            with m.Case(State.LOADED):
                m.d.sync += state.eq(State.WAIT)
            with m.Case(State.WAIT):
                with m.If((command.skip & SKIP_FIRST) != 0):
                    m.d.sync += offset.eq(sample_offset - sample_bytes)
                with m.Elif((command.skip & SKIP_LAST) != 0):
                    m.d.sync += offset.eq(sample_offset + sample_bytes)
                with m.Else():
                    m.d.sync += offset.eq(sample_offset)
                with m.If(command.op == OP_END), m.If((may_go & self.log_idle) | ~is_last):
                    m.d.comb += self.finish.eq(finishes)
                    m.d.sync += [ended.eq(1), state.eq(State.IDLE)]
                with m.Elif(may_go):
                    m.d.sync += state.eq(State.OFFER)
            with m.Case(State.OFFER):
                m.d.comb += [self.layers.valid.eq(is_layer), queue.w_en.eq(~is_layer)]
                with m.If(Mux(is_layer, self.layers.ready, queue.w_rdy)):
                    m.d.sync += [at.eq(behind), state.eq(State.ASK)]
                    with m.If(is_layer):
                        m.d.sync += n_layers.eq(n_layers + 1)
                    with m.Else():
                        m.d.sync += n_transfers.eq(n_transfers + 1)
        m.d.comb += [
            self.log_urgent.eq((n_layers == block.log_layers_n) | ((state == State.WAIT) & (command.op == OP_END))),
            self.clears.eq(block.clear_clear | self.begun),
        ]
        # A register: the doorbell comes out of an address decoder, and all that counts is reset.
        m.d.sync += self.begun.eq(self.doorbell & armed & ~finishes)
        with m.If(~self.serving | self.finish | block.begin_address_strobe):
            m.d.sync += finishes.eq(0)
        given_up = finishes & ~self.serving  # by the watchdog: what is under way must not be cleared
        with m.If(self.clears):
            m.d.sync += [state.eq(State.IDLE), n_layers.eq(0), n_transfers.eq(0)]
        with m.If(block.arm_address_strobe):
            m.d.sync += [armed.eq(1), begun.eq(0), armed_at.eq(block.arm_address[3:])]
        with m.If(block.clear_clear | block.begin_address_strobe | given_up):
            m.d.sync += [armed.eq(0), begun.eq(0)]
        with m.If(self.begun):
            m.d.sync += [
                begun.eq(1),
                finishes.eq(1),
                layers_base.eq(0),
                transfers_base.eq(0),
                at.eq(armed_at),
                ended.eq(0),
                malformed.eq(0),
                state.eq(State.ASK),
            ]
        return m
