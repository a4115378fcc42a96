"""What the host and the soft core say to each other: AXI4-Lite registers, mailbox, command states, watchdog."""

from amaranth import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec import registers
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import BUFFER_IMAGE, BUFFERS

from .buses import BUFFERS_LAYOUT, Axi4Lite, RegisterBus
from .register_block import RegisterBlock

OKAY, SLVERR = 0, 2


class Axi4LiteFront(wiring.Component):
    """AXI4-Lite slave in front of one register block; one access at a time, writes before reads.

    No output depends on an input of the same cycle. A write answers 3 cycles after the later of its AW and W, when it
    has taken effect, a read 3 cycles after its AR. Only writes of whole words take effect; others answer SLVERR.
    Offsets outside the block read 0 and ignore writes, with OKAY.

    Members
    -------
    axi : In(Axi4Lite())
        AW and W come in any order.
    bus : Out(RegisterBus())
        The block.
    """

    axi: wiring.PureInterface
    bus: wiring.PureInterface

    def __init__(self):
        super().__init__({"axi": In(Axi4Lite()), "bus": Out(RegisterBus())})

    def elaborate(self, platform):
        m = Module()
        axi, bus = self.axi, self.bus

        address_held, data_held = Signal(), Signal()
        write_address = Signal.like(axi.awaddr, reset_less=True)
        write_data = Signal.like(axi.wdata, reset_less=True)
        whole_word = Signal(reset_less=True)
        write = Signal()  # in the next cycle
        writes = Signal()
        m.d.comb += [
            axi.awready.eq(~address_held),
            axi.wready.eq(~data_held),
            write.eq(address_held & data_held & ~axi.bvalid),
        ]
        m.d.sync += [writes.eq(write), bus.write.eq(write & whole_word & self._inside(write_address))]
        with m.If(axi.awvalid & axi.awready):
            m.d.sync += [address_held.eq(1), write_address.eq(axi.awaddr)]
        with m.If(axi.wvalid & axi.wready):
            m.d.sync += [data_held.eq(1), write_data.eq(axi.wdata), whole_word.eq(axi.wstrb.all())]
        with m.If(axi.bready):
            m.d.sync += axi.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [address_held.eq(0), data_held.eq(0), axi.bresp.eq(Mux(whole_word, OKAY, SLVERR))]
        with m.If(writes):
            m.d.sync += axi.bvalid.eq(1)

        # A register: the address comes from far away, and many registers are behind it.
        address = Signal.like(axi.awaddr, reset_less=True)
        asked, reading, inside = Signal(), Signal(), Signal()
        m.d.comb += axi.arready.eq(~write & ~writes & ~asked & ~reading & ~axi.rvalid)
        m.d.sync += [
            address.eq(Mux(write, write_address, axi.araddr)),
            asked.eq(axi.arvalid & axi.arready),
            reading.eq(asked),
            inside.eq(self._inside(address)),
        ]
        with m.If(axi.rready):
            m.d.sync += axi.rvalid.eq(0)
        with m.If(reading):
            m.d.sync += [axi.rvalid.eq(1), axi.rdata.eq(Mux(inside, bus.read_data, 0))]

        m.d.comb += [
            bus.address[2:].eq(address[2:8]),
            bus.write_data.eq(write_data),  # it stays for a cycle after it is let go
            axi.rresp.eq(OKAY),
        ]
        return m

    @staticmethod
    def _inside(address):
        return address < registers.BLOCK_BYTES


class HostRegisters(wiring.Component):
    """Register blocks ``host`` and ``mailbox``, and the life of a command between them.

    States: ``boot`` until ``mailbox.ready``; ``idle``; ``busy`` from an accepted doorbell to ``finish`` or
    ``mailbox.finish`` (whose code decides between ``idle`` and ``fault``) or to the watchdog's fault; ``fault``. A
    doorbell in another state than idle or fault, one of COMMAND_NONE, and a finish or ready out of turn are ignored.
    ``cycles`` counts from the cycle that took the doorbell to the one that ended the command.

    The watchdog ends a command when neither ``layers`` nor ``transfers`` has changed for ``watchdog.cycles`` cycles
    since the doorbell or their last change.

    Members
    -------
    host : In(Axi4Lite())
        Block ``host``, for the host.
    mailbox : In(RegisterBus())
        Block ``mailbox``, for the soft core.
    layers, transfers : In(16)
        Layers and transfers completed.
    read_bytes, write_bytes : In(32)
        Bytes moved by the DMA.
        Each of these four reads as 0 from a doorbell until it has been 0, that is until the firmware has cleared it.
    buffers : Out(BUFFERS_LAYOUT)
        The host's buffers.
    interrupt : Out(1)
        Level: pending and enabled.
    state : Out(2)
        ``status.state``.
    run : Out(1)
        Pulse: doorbell of a run of one sample.
    serving : Out(1)
        A command goes on.
    finish : In(1)
        Pulse: it has succeeded.
    hold : Out(1)
        ``reset.hold``: everything that serves a command stays in reset; the state is ``boot``.
    """

    host: wiring.PureInterface
    mailbox: wiring.PureInterface

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "host": In(Axi4Lite()),
                "mailbox": In(RegisterBus()),
                "layers": In(16),
                "transfers": In(16),
                "read_bytes": In(32),
                "write_bytes": In(32),
                "buffers": Out(BUFFERS_LAYOUT),
                "interrupt": Out(1),
                "state": Out(2),
                "run": Out(1),
                "serving": Out(1),
                "finish": In(1),
                "hold": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.front = front = Axi4LiteFront()
        m.submodules.host = host = RegisterBlock("host")
        m.submodules.mailbox = mailbox = RegisterBlock("mailbox")
        wiring.connect(m, wiring.flipped(self.host), front.axi)
        wiring.connect(m, front.bus, host.bus)
        wiring.connect(m, wiring.flipped(self.mailbox), mailbox.bus)

        for i, name in enumerate(BUFFERS):
            low, high, n_bytes = (
                getattr(host, f"{name}_{field}") for field in ("base_low_address", "base_high_address", "bytes_n")
            )
            m.d.comb += [
                self.buffers[i].base[:32].eq(low),
                self.buffers[i].base[32:].eq(high),
                self.buffers[i].bytes.eq(n_bytes),
            ]
        m.d.comb += [
            host.magic_value.eq(registers.MAGIC),
            host.version_major.eq(registers.VERSION_MAJOR),
            host.version_minor.eq(registers.VERSION_MINOR),
            host.shape_n_cores.eq(self.config.n_cores),
            host.shape_n_lanes.eq(self.config.n_lanes),
            host.config_id.eq(self.config.config_id),
            mailbox.config_id.eq(self.config.config_id),
            mailbox.image_bytes_n.eq(self.buffers[BUFFER_IMAGE].bytes),
            self.state.eq(host.status_state),
            self.hold.eq(host.reset_hold),
            self.interrupt.eq(host.interrupt_pending & host.interrupt_enable_enable),
        ]

        state = host.status_state
        busy, doorbell = Signal(), Signal()
        m.d.comb += [
            busy.eq(state == registers.STATE_BUSY),
            doorbell.eq(
                ((state == registers.STATE_IDLE) | (state == registers.STATE_FAULT))
                & host.doorbell_command_strobe
                & (host.doorbell_command != registers.COMMAND_NONE)
            ),
        ]
        m.d.comb += [
            self.run.eq(doorbell & (host.doorbell_command == registers.COMMAND_RUN) & (host.doorbell_more == 0)),
            self.serving.eq(busy),
        ]
        counters = (
            (self.layers, host.progress_layers),
            (self.transfers, host.progress_transfers),
            (self.read_bytes, host.read_bytes_n),
            (self.write_bytes, host.write_bytes_n),
        )
        for counter, register in counters:
            stale = Signal()
            m.d.comb += register.eq(Mux(stale, 0, counter))
            m.d.sync += stale.eq(doorbell | (stale & counter.any()))

        quiet = Signal(32)  # cycles without progress
        progress, last_progress = Signal(32), Signal(32)
        expired = Signal()
        m.d.comb += [
            progress.eq(Cat(self.layers, self.transfers)),
            expired.eq(host.watchdog_cycles.any() & (quiet >= host.watchdog_cycles)),
        ]
        m.d.sync += last_progress.eq(progress)

        with m.If(host.interrupt_clear_clear):
            m.d.sync += host.interrupt_pending.eq(0)
        with m.If(mailbox.ready_ready & (state == registers.STATE_BOOT)):
            m.d.sync += state.eq(registers.STATE_IDLE)

        def clear():
            return [
                mailbox.command_value.eq(0),
                mailbox.command_more.eq(0),
                host.interrupt_pending.eq(0),
                host.fault_code.eq(0),
                host.fault_layer.eq(0),
                host.fault_detail_value.eq(0),
                host.cycles_n.eq(0),
                quiet.eq(1),
            ]

        def end(code, detail):
            return [
                mailbox.command_value.eq(0),
                host.interrupt_pending.eq(1),
                state.eq(Mux(code == 0, registers.STATE_IDLE, registers.STATE_FAULT)),
                host.fault_code.eq(code),
                host.fault_layer.eq(Mux(code == 0, 0, host.progress_layers)),
                host.fault_detail_value.eq(Mux(code == 0, 0, detail)),
            ]

        with m.If(doorbell):
            m.d.sync += [
                *clear(),
                state.eq(registers.STATE_BUSY),
                mailbox.command_value.eq(host.doorbell_command),
                mailbox.command_more.eq(host.doorbell_more),
            ]
        with m.If(busy):
            m.d.sync += [host.cycles_n.eq(host.cycles_n + 1), quiet.eq(Mux(progress == last_progress, quiet + 1, 1))]
            with m.If(self.finish):
                m.d.sync += end(registers.FAULT_CODES["none"], 0)
            with m.Elif(mailbox.finish_fault_strobe):
                m.d.sync += end(mailbox.finish_fault, mailbox.detail_value)
            with m.Elif(expired):
                m.d.sync += end(registers.FAULT_CODES["watchdog"], 0)
        with m.If(self.hold):
            m.d.sync += [*clear(), state.eq(registers.STATE_BOOT)]
        return m
