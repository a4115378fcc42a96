"""The soft core: a PicoRV32, its RAM and the arbiter in front of it."""

from pathlib import Path

import pythondata_cpu_picorv32
from amaranth import Cat, ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.registers import BLOCK_BASES, BLOCK_BYTES, FIRMWARE_BYTES, TRAP_ADDRESS

from ..pipeline import delayed
from .buses import LOG_WRITE_LAYOUT, RamPort, RamReads, RegisterBus

BLOCK_WORD_BITS = BLOCK_BYTES.bit_length() - 1 - 2


class ProcessorBus(wiring.Signature):
    """PicoRV32's memory interface, seen from the core: one access at a time, 32 bits wide. ``address`` counts words.

    An access is there while ``valid``, and over in the cycle in which it is ``ready``; ``strobes`` has a bit for each
    byte to write, none for a read.
    """

    def __init__(self):
        super().__init__(
            {
                "valid": Out(1), "address": Out(30), "strobes": Out(4), "write_data": Out(32),
                "ready": In(1), "read_data": In(32),
            }
        )  # fmt: skip


class PicoRV32(wiring.Component):
    """RV32I core of `pythondata-cpu-picorv32`, which starts at address 0; no interrupt is connected.

    It has neither pipeline nor cache: an instruction takes six to seven cycles with this RAM. Chosen for its clock: a
    run of one sample does not wait for the firmware (`docs/decisions.md`, 40). An illegal instruction or an access
    that is not aligned continues at TRAP_ADDRESS, with instructions of its own for what it has instead of CSRs
    (``firmware/start.S``).

    Members
    -------
    restart : In(1)
        Synchronous reset besides the domain's.
    bus : Out(ProcessorBus())
    """

    bus: wiring.PureInterface

    def __init__(self):
        super().__init__({"restart": In(1), "bus": Out(ProcessorBus())})

    def elaborate(self, platform):
        bus = self.bus
        return Instance(
            "picorv32",
            p_ENABLE_COUNTERS=0,
            p_ENABLE_COUNTERS64=0,
            p_ENABLE_IRQ=1,
            p_ENABLE_IRQ_TIMER=0,
            p_PROGADDR_IRQ=TRAP_ADDRESS,
            i_clk=ClockSignal(),
            i_resetn=~(ResetSignal() | self.restart),
            i_irq=Const(0, 32),
            i_pcpi_wr=Const(0), i_pcpi_rd=Const(0, 32), i_pcpi_wait=Const(0), i_pcpi_ready=Const(0),
            o_mem_valid=bus.valid, o_mem_addr=Cat(Signal(2, name="byte"), bus.address), o_mem_wstrb=bus.strobes,
            o_mem_wdata=bus.write_data, i_mem_ready=bus.ready, i_mem_rdata=bus.read_data,
        )  # fmt: skip


def verilog_source() -> Path:
    """The Verilog file of `PicoRV32`, to be given to whatever builds the design."""
    return Path(pythondata_cpu_picorv32.data_file("picorv32.v"))


class SoftCore(wiring.Component):
    """PicoRV32 with firmware in its RAM, joined to the register blocks of mailbox, DMA, engine and command walker.

    RAM is at address 0, 64 bits wide, one read and one write a cycle; addresses repeat above its size. Reads are
    granted to ``ram``, ``commands``, the processor in this order, writes to ``ram``, ``log``, the processor. Registers
    are from ``MMIO_BASE``, one block each ``BLOCK_BYTES``, and are accessed in whole words; elsewhere above it reads
    give 0 and writes are lost.

    Without conflicts the processor's reads take three cycles, its writes one. After reset the RAM holds what it held
    before.

    Parameters
    ----------
    config : EngineConfig
        ``cpu_ram_bytes`` is used.
    firmware : bytes
        Initial content of the RAM, from address 0 on; the rest starts as zeros.

    Members
    -------
    restart : In(1)
        Holds the processor in reset, for two cycles at least; the other ports go on.
    ram : In(RamPort())
        The DMA's access; never refused.
    commands : In(RamReads())
        The command walker's access; granted at once unless ``ram`` reads.
    log : In(stream.Signature(LOG_WRITE_LAYOUT))
        Writes of the engine, one each two cycles; a write of ``ram`` comes first.
    mailbox, dma, engine, walker : Out(RegisterBus())
        The blocks' registers. ``address`` and ``write_data`` are driven, with ``write`` 0, in all other cycles too.

    Raises
    ------
    ValueError
        If the firmware is longer than ``FIRMWARE_BYTES``.
    """

    ram: wiring.PureInterface
    commands: wiring.PureInterface
    log: stream.Interface
    mailbox: wiring.PureInterface
    dma: wiring.PureInterface
    engine: wiring.PureInterface
    walker: wiring.PureInterface

    def __init__(self, config: EngineConfig, firmware: bytes):
        if len(firmware) > FIRMWARE_BYTES:
            raise ValueError(f"firmware must not exceed {FIRMWARE_BYTES} bytes, not {len(firmware)}")
        self.config = config
        self.firmware = firmware
        super().__init__(
            {
                "restart": In(1),
                "ram": In(RamPort()),
                "commands": In(RamReads()),
                "log": In(stream.Signature(LOG_WRITE_LAYOUT)),
                **{block: Out(RegisterBus()) for block in BLOCK_BASES},
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.cpu = cpu = PicoRV32()
        m.d.comb += cpu.restart.eq(self.restart)
        words = [int.from_bytes(self.firmware[i : i + 8], "little") for i in range(0, len(self.firmware), 8)]
        m.submodules.memory = memory = Memory(shape=64, depth=self.config.cpu_ram_bytes // 8, init=words)
        write, read = memory.write_port(granularity=8), memory.read_port()

        bus = cpu.bus
        is_register = bus.address[-1]
        writes, reads = Signal(), Signal()
        was_read = Signal()  # in the previous cycle; the data is there in this one, and in a register in the next one
        answers, word = Signal(), Signal(32, reset_less=True)  # the register has it; the register
        taken = self.ram.read | self.commands.read
        m.d.comb += [
            writes.eq(bus.valid & bus.strobes.any()),
            reads.eq(bus.valid & ~bus.strobes.any() & ~was_read & ~answers),
            self.commands.ready.eq(~self.ram.read),
        ]
        m.d.sync += [was_read.eq(reads & (is_register | ~taken)), answers.eq(was_read)]
        with m.If(self.ram.read):
            m.d.comb += read.addr.eq(self.ram.address)
        with m.Elif(self.commands.read):
            m.d.comb += read.addr.eq(self.commands.address)
        with m.Else():
            m.d.comb += read.addr.eq(bus.address[1:])
        m.d.comb += [self.ram.read_data.eq(read.data), self.commands.read_data.eq(read.data)]

        # DMA and engine are far away, and the processor waits for what they do.
        ram_writes, log_waits = delayed(m, self.ram.write, 1), Signal()
        ram_address, ram_data = delayed(m, self.ram.address, 1), delayed(m, self.ram.write_data, 1)
        m.d.comb += self.log.ready.eq(log_waits & ~ram_writes)
        m.d.sync += log_waits.eq(self.log.valid & ~self.log.ready)
        was_written = writes & (is_register | ~(ram_writes | log_waits))
        with m.If(ram_writes):
            m.d.comb += [write.addr.eq(ram_address), write.data.eq(ram_data), write.en.eq(0xFF)]
        with m.Elif(log_waits):
            m.d.comb += [write.addr.eq(self.log.p.address), write.data.eq(self.log.p.data)]
            m.d.comb += write.en.eq(self.log.valid.replicate(8))  # a reset of the engine takes it away
        with m.Else():
            m.d.comb += [write.addr.eq(bus.address[1:]), write.data.eq(bus.write_data.replicate(2))]
            with m.If(writes & ~is_register):
                m.d.comb += write.en.eq(Mux(bus.address[0], bus.strobes << 4, bus.strobes))

        # The processor decodes what it reads at once, and block RAM is late.
        m.d.comb += [bus.ready.eq(answers | was_written), bus.read_data.eq(word)]
        m.d.sync += word.eq(read.data.word_select(bus.address[0], 32))
        with m.If(is_register):
            m.d.sync += word.eq(0)
        for block, base in BLOCK_BASES.items():
            registers = getattr(self, block)
            is_block = bus.address[BLOCK_WORD_BITS:] == base // BLOCK_BYTES
            m.d.comb += [
                registers.address.eq(bus.address[:BLOCK_WORD_BITS] << 2),
                registers.write_data.eq(bus.write_data),
                registers.write.eq(writes & is_block),
            ]
            with m.If(is_block):
                m.d.sync += word.eq(registers.read_data)
        return m
