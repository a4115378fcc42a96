"""The soft core: a VexRiscv, its RAM and the arbiter in front of it."""

from pathlib import Path

import pythondata_cpu_vexriscv
from amaranth import ClockSignal, Const, Instance, Module, Mux, ResetSignal, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.registers import BLOCK_BASES, BLOCK_BYTES, FIRMWARE_BYTES

from .buses import LOG_WRITE_LAYOUT, RamPort, RamReads, RegisterBus

RESET_VECTOR = 0
BLOCK_WORD_BITS = BLOCK_BYTES.bit_length() - 1 - 2


class WishboneBus(wiring.Signature):
    """A Wishbone bus of VexRiscv, 32 bits wide, seen from the core. ``adr`` counts words."""

    def __init__(self):
        super().__init__(
            {
                "cyc": Out(1), "stb": Out(1), "we": Out(1), "adr": Out(30), "sel": Out(4), "dat_w": Out(32),
                "ack": In(1), "dat_r": In(32),
            }
        )  # fmt: skip


class VexRiscv(wiring.Component):
    """RV32IM core "Lite" of `pythondata-cpu-vexriscv`, which starts at address 0; no interrupt is connected.

    It has a 2 KiB instruction cache, no data cache, static branch prediction, full bypass, and shifts, multiplies and
    divides bit by bit. Chosen because the firmware fits the cache, so that it is fetched at full speed, and because
    data reads always go to the bus: the DMA and the engine change the RAM behind the core's back. "Min" has neither
    cache nor bypass; the others have a data cache.

    Members
    -------
    restart : In(1)
        Synchronous reset besides the domain's.
    instructions, data : Out(WishboneBus())
        A cycle with ``stb`` and ``ack`` is a transfer; ``stb`` is held until then.
    """

    instructions: wiring.PureInterface
    data: wiring.PureInterface

    def __init__(self):
        super().__init__({"restart": In(1), "instructions": Out(WishboneBus()), "data": Out(WishboneBus())})

    def elaborate(self, platform):
        ports = {}
        for prefix, bus in (("iBusWishbone", self.instructions), ("dBusWishbone", self.data)):
            ports |= {
                f"o_{prefix}_CYC": bus.cyc, f"o_{prefix}_STB": bus.stb, f"o_{prefix}_WE": bus.we,
                f"o_{prefix}_ADR": bus.adr, f"o_{prefix}_SEL": bus.sel, f"o_{prefix}_DAT_MOSI": bus.dat_w,
                f"i_{prefix}_ACK": bus.ack, f"i_{prefix}_DAT_MISO": bus.dat_r, f"i_{prefix}_ERR": Const(0),
            }  # fmt: skip
        return Instance(
            "VexRiscv",
            i_clk=ClockSignal(),
            i_reset=ResetSignal() | self.restart,
            i_externalResetVector=Const(RESET_VECTOR, 32),
            i_timerInterrupt=Const(0),
            i_softwareInterrupt=Const(0),
            i_externalInterruptArray=Const(0, 32),
            **ports,
        )


def verilog_source() -> Path:
    """The Verilog file of `VexRiscv`, to be given to whatever builds the design."""
    return Path(pythondata_cpu_vexriscv.data_file("VexRiscv_Lite.v"))


class SoftCore(wiring.Component):
    """VexRiscv with firmware in its RAM, joined to the register blocks of mailbox, DMA, engine and command walker.

    RAM is at address 0, 64 bits wide, one read and one write a cycle; addresses repeat above its size. Reads are
    granted to ``ram``, ``commands``, data, instructions in this order, writes to ``ram``, ``log``, data. Registers are
    from ``MMIO_BASE``, one block each ``BLOCK_BYTES``, and are accessed in whole words; elsewhere above it reads
    give 0 and writes are lost.

    Without conflicts a load takes 3 cycles on the data bus, a store 2, a refill of the instruction cache (32 bytes) 16.
    After reset the RAM holds what it held before.

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
        Writes of the engine; taken at once unless ``ram`` writes.
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
        m.submodules.cpu = cpu = VexRiscv()
        m.d.comb += cpu.restart.eq(self.restart)
        words = [int.from_bytes(self.firmware[i : i + 8], "little") for i in range(0, len(self.firmware), 8)]
        m.submodules.memory = memory = Memory(shape=64, depth=self.config.cpu_ram_bytes // 8, init=words)
        write, read = memory.write_port(granularity=8), memory.read_port()

        data, instructions = cpu.data, cpu.instructions
        is_register = data.adr[-1]
        data_read, instruction_read = Signal(), Signal()  # granted in the previous cycle, acknowledged in this one
        wants_data = data.stb & ~data.we & ~is_register & ~data_read
        wants_instruction = instructions.stb & ~instruction_read
        grants_register = data.stb & ~data.we & is_register & ~data_read
        taken = self.ram.read | self.commands.read
        grants_data = wants_data & ~taken
        m.d.comb += self.commands.ready.eq(~self.ram.read)
        m.d.sync += [
            data_read.eq(grants_data | grants_register),
            instruction_read.eq(wants_instruction & ~wants_data & ~taken),
        ]
        with m.If(self.ram.read):
            m.d.comb += read.addr.eq(self.ram.address)
        with m.Elif(self.commands.read):
            m.d.comb += read.addr.eq(self.commands.address)
        with m.Elif(wants_data):
            m.d.comb += read.addr.eq(data.adr[1:])
        with m.Else():
            m.d.comb += read.addr.eq(instructions.adr[1:])
        m.d.comb += [self.ram.read_data.eq(read.data), self.commands.read_data.eq(read.data)]

        m.d.comb += self.log.ready.eq(~self.ram.write)
        grants_write = data.stb & data.we & (is_register | ~(self.ram.write | self.log.valid))
        with m.If(self.ram.write):
            m.d.comb += [write.addr.eq(self.ram.address), write.data.eq(self.ram.write_data), write.en.eq(0xFF)]
        with m.Elif(self.log.valid):
            m.d.comb += [write.addr.eq(self.log.p.address), write.data.eq(self.log.p.data), write.en.eq(0xFF)]
        with m.Else():
            m.d.comb += [write.addr.eq(data.adr[1:]), write.data.eq(data.dat_w.replicate(2))]
            with m.If(data.stb & data.we & ~is_register):
                m.d.comb += write.en.eq(Mux(data.adr[0], data.sel << 4, data.sel))

        m.d.comb += [
            data.ack.eq(data_read | grants_write),
            data.dat_r.eq(read.data.word_select(data.adr[0], 32)),
            instructions.ack.eq(instruction_read),
            instructions.dat_r.eq(read.data.word_select(instructions.adr[0], 32)),
        ]
        with m.If(is_register):
            m.d.comb += data.dat_r.eq(0)
        for block, base in BLOCK_BASES.items():
            bus = getattr(self, block)
            is_block = data.adr[BLOCK_WORD_BITS:] == base // BLOCK_BYTES
            m.d.comb += [
                bus.address.eq(data.adr[:BLOCK_WORD_BITS] << 2),
                bus.write_data.eq(data.dat_w),
                bus.write.eq(data.stb & data.we & is_block),
            ]
            with m.If(is_block):
                m.d.comb += data.dat_r.eq(bus.read_data)
        return m
