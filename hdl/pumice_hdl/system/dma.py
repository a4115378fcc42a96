"""Moves data between the host's memory buffers and the chip: AXI4 master, bounds check, one transfer queued ahead."""

from amaranth import Array, C, Cat, Module, Mux, Signal
from amaranth.lib import data, enum, stream, wiring
from amaranth.lib.fifo import SyncFIFO
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import BUFFERS, SPACE_ACTIVATIONS, SPACE_BANKS, SPACE_CPU_RAM, SPACE_WEIGHTS, TRANSFER
from pumice.spec.registers import FAULT_CODES

from ..layouts import word_layout
from .buses import BUFFERS_LAYOUT, BURST_BEATS, Axi4, EnginePort, RamPort, RegisterBus
from .register_block import RegisterBlock

WORD_BYTES = 8
MEMORY_WORD_BITS = 37  # of 40-bit byte addresses
READ_BUFFER_BEATS = 4  # cuts the path from the engine's ready to rready; bridges the change of transfers
SOURCE_WORDS = 16  # words asked of the chip ahead: the most that `EnginePort` allows
MAX_UNANSWERED = 32  # bursts written
SIZE_8_BYTES, BURST_INCR, CACHE_NORMAL = 3, 1, 0b0011


class Source(enum.Enum, shape=2):
    """Where a transfer comes from."""

    LIST = 0
    FIRMWARE = 1
    LOG = 2


class BurstIssuer(wiring.Component):
    """Splits a run of words into bursts, one every second cycle.

    Bursts end at multiples of BURST_BEATS words, so that none crosses a 4 KB boundary.

    Parameters
    ----------
    word_bits : int
        Width of ``n_words``.

    Members
    -------
    start : In(1)
        Takes ``address``, ``n_words`` and ``write``; ignored unless ``idle``.
    address : In(MEMORY_WORD_BITS)
        First word of the run.
    n_words : In(word_bits)
        Length of the run, at least 1.
    write : In(1)
        Handed on with each burst.
    idle : Out(1)
        All bursts have been taken.
    bursts : Out(stream of address, n_beats (1..BURST_BEATS), write)
        In order.
    """

    bursts: stream.Interface

    def __init__(self, word_bits: int):
        burst = data.StructLayout({"address": MEMORY_WORD_BITS, "n_beats": range(BURST_BEATS + 1), "write": 1})
        super().__init__(
            {
                "start": In(1),
                "address": In(MEMORY_WORD_BITS),
                "n_words": In(word_bits),
                "write": In(1),
                "idle": Out(1),
                "bursts": Out(stream.Signature(burst)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        burst = self.bursts.p
        n_words = Signal.like(self.n_words, reset_less=True)
        room = Signal(range(BURST_BEATS + 1))
        last = Signal(reset_less=True)
        m.d.comb += room.eq(BURST_BEATS - burst.address % BURST_BEATS)
        with m.FSM():
            with m.State("IDLE"):
                m.d.comb += self.idle.eq(1)
                m.d.sync += [burst.address.eq(self.address), n_words.eq(self.n_words), burst.write.eq(self.write)]
                with m.If(self.start):
                    m.next = "SIZE"
            with m.State("SIZE"):
                m.d.sync += [last.eq(n_words <= room), burst.n_beats.eq(Mux(n_words <= room, n_words, room))]
                m.next = "OFFER"
            with m.State("OFFER"):
                m.d.comb += self.bursts.valid.eq(1)
                with m.If(self.bursts.ready):
                    m.d.sync += [
                        burst.address.eq(burst.address + burst.n_beats),
                        n_words.eq(n_words - burst.n_beats),
                    ]
                    m.next = "SIZE"
                    with m.If(last):
                        m.next = "IDLE"
        return m


class Dma(wiring.Component):
    """Runs TRANSFER descriptors, in order, between memory and activations, weights or soft-core RAM.

    A transfer of ``transfers``, or one of the log where there is none, or the firmware's own by ``submit``, which goes
    first, enters a queue of one, from where its runs go one by one, each checked (3 cycles) while the one before it
    moves. Between two runs that are read the addresses of the second are issued while the first one's data still
    arrives, and the destination pauses for one cycle. A read that follows a write and a write that follows a read start
    after everything before them has completed; writes follow each other without waiting for answers.

    Reads take a word a cycle, as the memory delivers and the destination accepts; any number of bursts may be
    outstanding. Writes send a word a cycle when the source answers within SOURCE_WORDS cycles, as long as fewer than
    MAX_UNANSWERED bursts have no response; data may precede its address. A read counts when its last word is accepted
    by its destination, a write when all responses are in.

    Faults, after which ``submit`` is ignored and nothing taken from the stream until ``clear``:

    bounds
        A run leaves its buffer or the chip's memory, has a length of 0, addresses that differ modulo 8, a core or
        buffer that does not exist, or writes from weights or from one core's banks. It does not touch the bus;
        ``fault_address`` is where it would have begun.
    bus
        The memory answered SLVERR or DECERR; ``fault_address`` is the word read, or the start of the burst written.
        The running run goes on to its end, as AXI demands, but a read delivers neither the failed word nor any later
        one. Neither this transfer nor a later one counts; of writes that follow at once, data may be in memory.

    Reset it only while it is not busy: bursts cannot be taken back.

    Members
    -------
    registers : In(RegisterBus())
        Block ``dma``.
    transfers : In(stream of TRANSFER's words)
        In order; those that are counted by ``completed``.
    log : In(stream of TRANSFER's words)
        In order, those that are counted by ``log_completed``; they give precedence to the others.
    clear : In(1)
        As the register ``clear``.
    buffers : In(BUFFERS_LAYOUT)
        Stable while busy.
    memory : Out(Axi4())
        INCR bursts of at most BURST_BEATS words of 8 bytes.
    engine : Out(EnginePort(config))
        Activations and weights.
    ram : Out(RamPort())
        Soft-core RAM.
    busy : Out(1)
        A transfer runs or waits.
    completed : Out(32)
        Transfers of the stream completed since clear.
    own_completed, log_completed : Out(32)
        The firmware's own completed since clear, and those of the log.
    read_bytes, write_bytes : Out(32)
        Bytes of the data beats moved since clear, up to a fault, a cycle ago.
    """

    memory: wiring.PureInterface
    engine: wiring.PureInterface
    ram: wiring.PureInterface
    transfers: stream.Interface
    log: stream.Interface

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "registers": In(RegisterBus()),
                "transfers": In(stream.Signature(word_layout(TRANSFER))),
                "log": In(stream.Signature(word_layout(TRANSFER))),
                "clear": In(1),
                "buffers": In(BUFFERS_LAYOUT),
                "memory": Out(Axi4()),
                "engine": Out(EnginePort(config)),
                "ram": Out(RamPort()),
                "busy": Out(1),
                "completed": Out(32),
                "own_completed": Out(32),
                "log_completed": Out(32),
                "read_bytes": Out(32),
                "write_bytes": Out(32),
            }
        )

    def elaborate(self, platform):
        m = Module()
        space_bytes = {
            SPACE_ACTIVATIONS: self.config.activation_bytes,
            SPACE_WEIGHTS: self.config.weight_depth * WORD_BYTES,
            SPACE_CPU_RAM: self.config.cpu_ram_bytes,
            SPACE_BANKS: self.config.activation_bytes,
        }
        word_bits = (max(space_bytes.values()) // WORD_BYTES).bit_length()
        m.submodules.block = block = RegisterBlock("dma")
        m.submodules.issuer = issuer = BurstIssuer(word_bits)
        wiring.connect(m, wiring.flipped(self.registers), block.bus)

        front = Signal(word_layout(TRANSFER), reset_less=True)  # the queued transfer
        front_address = Signal(MEMORY_WORD_BITS, reset_less=True)
        front_words = Signal(word_bits, reset_less=True)  # of its run
        own_waits = Signal()  # the firmware's, in its registers
        front_source, source = Signal(Source), Signal(Source)  # of the queued one, of the running one
        front_dropped = Signal()
        continues = Signal()  # a run of the queued transfer has been taken
        issued = Signal()
        queue_full, take = Signal(), Signal()

        busy = Signal()  # the running transfer
        running = Signal(
            data.StructLayout(
                {
                    "write": 1,
                    "space": 2,
                    "core": 8,
                    "local": word_bits,  # next word on the chip
                    "left": word_bits,  # words not yet through the data channel
                    "address": MEMORY_WORD_BITS,  # next word to arrive, or start of the burst that is sent
                    "skipped": 3,  # bytes of the first word in front of the run
                    "last_bytes": 3,  # of the last word; 0: all
                    "ends_transfer": 1,
                }
            ),
            reset_less=True,
        )
        moving = Signal()  # running.left is not 0
        in_first_word = Signal()
        dropped = Signal()
        to_ask = Signal(word_bits, reset_less=True)  # words of a write not yet asked of their source
        asks = Signal(reset_less=True)  # to_ask is not 0: reads of the banks hold their core, which is late enough
        place = Signal(range(BURST_BEATS), reset_less=True)  # of the next write beat, counted from a burst boundary
        burst_sent = data.StructLayout({"address": MEMORY_WORD_BITS, "source": Source, "ends_transfer": 1})
        m.submodules.unanswered = unanswered = SyncFIFO(width=burst_sent.size, depth=MAX_UNANSWERED)
        done, quiet, free = Signal(), Signal(), Signal()
        m.d.comb += [
            done.eq(busy & ~moving & (unanswered.level == 0)),
            quiet.eq(~busy | done),
            # Data of a write may follow that of another before the memory has answered.
            free.eq(quiet | (front.write & running.write & ~moving)),
        ]

        fault, fault_address = Signal(8), Signal(32, reset_less=True)
        bounds_fault, bus_fault = Signal(), Signal()

        buffer_end, local_end = Signal(33, reset_less=True), Signal(33, reset_less=True)
        buffer_bytes, local_bytes = Signal(32, reset_less=True), Signal(32, reset_less=True)
        start_byte = front.offset[:3]
        well_formed, inside = Signal(reset_less=True), Signal(reset_less=True)
        buffer = self.buffers[front.buffer]
        with m.If(block.submit_go & (fault == 0)):
            m.d.sync += own_waits.eq(1)
        with m.FSM(name="queue") as queue:
            m.d.comb += queue_full.eq(~queue.ongoing("EMPTY"))
            with m.State("EMPTY"), m.If(fault == 0):
                m.d.comb += [
                    self.transfers.ready.eq(~own_waits),
                    self.log.ready.eq(~own_waits & ~self.transfers.valid),
                ]
                with m.If(own_waits):
                    m.d.sync += [front.eq(block.descriptor), front_source.eq(Source.FIRMWARE)]
                with m.Elif(self.transfers.valid):
                    m.d.sync += [front.eq(self.transfers.payload), front_source.eq(Source.LIST)]
                with m.Else():
                    m.d.sync += [front.eq(self.log.payload), front_source.eq(Source.LOG)]
                with m.If(own_waits | self.transfers.valid | self.log.valid):
                    m.d.sync += [
                        own_waits.eq(0),
                        front_dropped.eq(0),
                        issued.eq(0),
                        continues.eq(0),
                    ]
                    m.next = "ADD"
            with m.State("ADD"):
                m.d.sync += [
                    front_address.eq(buffer.base[3:] + front.offset[3:]),
                    front_words.eq((front.n_bytes + (start_byte + 7)) >> 3),
                    buffer_bytes.eq(Cat(C(0, 3), buffer.bytes[3:])),  # whole words are read
                    buffer_end.eq(front.offset + front.n_bytes),
                    local_bytes.eq(Array(space_bytes.get(space, 0) for space in range(4))[front.space]),
                    local_end.eq(front.local + front.n_bytes),
                    well_formed.eq(
                        (front.local[:3] == start_byte)
                        & (front.n_bytes != 0)
                        & (front.n_runs != 0)
                        & (front.buffer < len(BUFFERS))
                        & (front.core < self.config.n_cores)
                        & ~(front.write & ((front.space == SPACE_WEIGHTS) | (front.space == SPACE_BANKS)))
                    ),
                ]
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += inside.eq(well_formed & (buffer_end <= buffer_bytes) & (local_end <= local_bytes))
                m.next = "READY"
            with m.State("READY"):
                with m.If(front_dropped & ~issued):
                    m.next = "EMPTY"
                with m.Elif(~inside), m.If(quiet):
                    m.d.comb += bounds_fault.eq(1)
                    m.next = "EMPTY"
                with m.Else():
                    m.d.comb += issuer.start.eq(~issued & (free | continues | ~(front.write | running.write)))
                    with m.If(issuer.start & issuer.idle):
                        m.d.sync += issued.eq(1)
                    with m.If(free & (issued | issuer.idle)):
                        m.d.comb += take.eq(1)
                        m.d.sync += [
                            front.n_runs.eq(front.n_runs - 1),
                            front.local.eq(front.local + front.local_pitch),
                            front.offset.eq(front.offset + front.pitch),
                            issued.eq(0),
                            continues.eq(1),
                        ]
                        m.next = "ADD"
                        with m.If(front.n_runs == 1):
                            m.next = "EMPTY"

        m.d.comb += [
            issuer.address.eq(front_address),
            issuer.n_words.eq(front_words),
            issuer.write.eq(front.write),
        ]
        with m.If(done):
            m.d.sync += busy.eq(0)
        with m.If(take):
            m.d.sync += [
                busy.eq(1),
                moving.eq(1),
                dropped.eq(front_dropped),
                source.eq(front_source),
                running.write.eq(front.write),
                running.space.eq(front.space),
                running.core.eq(front.core),
                running.local.eq(front.local[3:]),
                running.left.eq(front_words),
                running.skipped.eq(start_byte),
                running.last_bytes.eq(start_byte + front.n_bytes),
                running.ends_transfer.eq(front.n_runs == 1),
                running.address.eq(front_address),
                in_first_word.eq(1),
                to_ask.eq(front_words),
                asks.eq(1),
            ]

        # Reads: memory -> short queue -> register -> destination.
        axi, engine = self.memory, self.engine
        m.submodules.arrived = arrived = SyncFIFO(width=65, depth=READ_BUFFER_BEATS)
        here, word, failed = Signal(), Signal(64, reset_less=True), Signal()
        deliver, accepted, received = Signal(), Signal(), Signal()
        to_banks = Signal()  # of one core or of all
        m.d.comb += [
            arrived.w_data.eq(Cat(axi.rdata, axi.rresp[1])),
            arrived.w_en.eq(axi.rvalid),
            axi.rready.eq(arrived.w_rdy),
            deliver.eq(moving & ~running.write & here & ~failed & ~dropped),
            to_banks.eq((running.space == SPACE_ACTIVATIONS) | (running.space == SPACE_BANKS)),
            engine.activation_writes.valid.eq(deliver & to_banks),
            engine.activation_writes.p.cores.eq(Mux(running.space == SPACE_BANKS, 1 << running.core[:4], ~0)),
            engine.activation_writes.p.address.eq(Cat(C(0, 3), running.local)),
            engine.activation_writes.p.data.eq(word),
            engine.weight_writes.valid.eq(deliver & (running.space == SPACE_WEIGHTS)),
            engine.weight_writes.p.core.eq(running.core),
            engine.weight_writes.p.address.eq(running.local),
            engine.weight_writes.p.data.eq(word),
            self.ram.write.eq(deliver & (running.space == SPACE_CPU_RAM)),
            self.ram.write_data.eq(word),
            self.ram.address.eq(running.local),
        ]
        with m.Switch(running.space):
            with m.Case(SPACE_ACTIVATIONS, SPACE_BANKS):
                m.d.comb += accepted.eq(engine.activation_writes.ready)
            with m.Case(SPACE_WEIGHTS):
                m.d.comb += accepted.eq(engine.weight_writes.ready)
            with m.Default():
                m.d.comb += accepted.eq(1)
        m.d.comb += [
            received.eq(here & moving & ~running.write & (accepted | ~deliver)),
            arrived.r_en.eq(~here | received),
        ]
        with m.If(arrived.r_en):
            m.d.sync += [here.eq(arrived.r_rdy), Cat(word, failed).eq(arrived.r_data)]

        # Writes: source -> queue -> memory. A word is asked for when the queue has room for all that are under way.
        m.submodules.leaving = leaving = SyncFIFO(width=64, depth=SOURCE_WORDS)
        n_ahead = Signal(range(SOURCE_WORDS + 1))  # words asked for and not yet sent
        no_room = n_ahead[-1]  # SOURCE_WORDS, a power of two
        ask, asked, sent, answered, ram_answers = Signal(), Signal(), Signal(), Signal(), Signal()
        leaves, answers = data.View(burst_sent, unanswered.w_data), data.View(burst_sent, unanswered.r_data)
        m.d.comb += [
            ask.eq(busy & running.write & asks & ~no_room),
            engine.activation_reads.valid.eq(ask & (running.space == SPACE_ACTIVATIONS)),
            engine.activation_reads.payload.eq(Cat(C(0, 3), running.local)),
            self.ram.read.eq(ask & (running.space == SPACE_CPU_RAM)),
            asked.eq(self.ram.read | (engine.activation_reads.valid & engine.activation_reads.ready)),
            leaving.w_en.eq(engine.activation_data.valid | ram_answers),
            leaving.w_data.eq(Mux(ram_answers, self.ram.read_data, engine.activation_data.payload)),
            axi.wvalid.eq(leaving.r_rdy & unanswered.w_rdy),
            axi.wdata.eq(leaving.r_data),
            axi.wstrb.eq(
                Cat(
                    (~in_first_word | (running.skipped <= i))
                    & ((running.left != 1) | (running.last_bytes == 0) | (running.last_bytes > i))
                    for i in range(WORD_BYTES)
                )
            ),
            axi.wlast.eq((place == BURST_BEATS - 1) | (running.left == 1)),
            leaving.r_en.eq(axi.wready & unanswered.w_rdy),
            sent.eq(axi.wvalid & axi.wready),
            leaves.address.eq(running.address),
            leaves.source.eq(source),
            leaves.ends_transfer.eq(running.ends_transfer & (running.left == 1)),
            unanswered.w_en.eq(sent & axi.wlast),
            axi.bready.eq(1),
            answered.eq(axi.bvalid),
            unanswered.r_en.eq(answered),
        ]
        m.d.sync += [
            ram_answers.eq(self.ram.read),
            n_ahead.eq(n_ahead + asked - sent),
        ]
        with m.If(asked):
            m.d.sync += [to_ask.eq(to_ask - 1), asks.eq(to_ask != 1)]
        with m.If(take):
            m.d.sync += place.eq(front_address)
        with m.Elif(sent):
            m.d.sync += [place.eq(place + 1), in_first_word.eq(0)]

        with m.If(received | asked):
            m.d.sync += running.local.eq(running.local + 1)
        with m.If(received | sent):
            m.d.sync += [running.left.eq(running.left - 1), moving.eq(running.left != 1)]
        with m.If(received):
            m.d.sync += running.address.eq(running.address + 1)
        with m.Elif(unanswered.w_en):
            m.d.sync += running.address.eq(Cat(C(0, 4), running.address[4:] + 1))

        burst = issuer.bursts.p
        for prefix, write in (("ar", 0), ("aw", 1)):
            m.d.comb += [
                getattr(axi, f"{prefix}valid").eq(issuer.bursts.valid & (burst.write == write)),
                getattr(axi, f"{prefix}addr").eq(Cat(C(0, 3), burst.address)),
                getattr(axi, f"{prefix}len").eq(burst.n_beats - 1),
                getattr(axi, f"{prefix}size").eq(SIZE_8_BYTES),
                getattr(axi, f"{prefix}burst").eq(BURST_INCR),
                getattr(axi, f"{prefix}cache").eq(CACHE_NORMAL),
                getattr(axi, f"{prefix}prot").eq(0),
            ]
        m.d.comb += issuer.bursts.ready.eq(Mux(burst.write, axi.awready, axi.arready))

        clear = block.clear_clear | self.clear
        m.d.comb += [
            bus_fault.eq(~dropped & ((received & failed) | (answered & axi.bresp[1]))),
            block.status_waits.eq(own_waits),
            self.busy.eq(own_waits | queue_full | busy),
            block.status_busy.eq(self.busy),
            block.status_fault.eq(fault),
            block.completed_n.eq(self.completed),
            block.own_completed_n.eq(self.own_completed),
            block.fault_address_value.eq(fault_address),
        ]
        with m.If(clear):
            m.d.sync += [fault.eq(0), own_waits.eq(0)]
        with m.If(bounds_fault):
            m.d.sync += [fault.eq(FAULT_CODES["bounds"]), fault_address.eq(Cat(C(0, 3), front_address))]
        with m.If(bus_fault):
            m.d.sync += [
                fault.eq(FAULT_CODES["bus"]),
                fault_address.eq(Cat(C(0, 3), Mux(answered, answers.address, running.address))),
                front_dropped.eq(1),
                dropped.eq(1),
            ]
        counts = ~dropped & ~bus_fault
        completed = {
            Source.LIST: self.completed, Source.FIRMWARE: self.own_completed, Source.LOG: self.log_completed
        }  # fmt: skip
        read_ends = done & ~running.write & running.ends_transfer
        write_ends = answered & answers.ends_transfer
        # What steps them comes late: not in front of their sums.
        for n, counter in completed.items():
            ends = Signal(name=f"ends_{n.name.lower()}")
            m.d.comb += ends.eq(counts & ((read_ends & (source == n)) | (write_ends & (answers.source == n))))
            with m.If(clear):
                m.d.sync += counter.eq(ends)
            with m.Elif(ends):
                m.d.sync += counter.eq(counter + 1)
        for counter, moves in ((self.read_bytes, received), (self.write_bytes, sent)):
            moved = Signal()
            m.d.sync += moved.eq(moves & counts)
            with m.If(clear):
                m.d.sync += counter.eq(0)
            with m.Elif(moved):
                m.d.sync += counter.eq(counter + WORD_BYTES)
        return m
