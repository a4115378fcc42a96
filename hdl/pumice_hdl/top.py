"""The whole system: host registers, soft core, command walker, DMA and engine between two AXI ports."""

from amaranth import DomainRenamer, Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import BUFFER_LOG

from .engine.engine import Engine
from .pipeline import delayed, domain_with_reset
from .system.buses import Axi4, Axi4Lite
from .system.command_walker import CommandWalker
from .system.dma import Dma
from .system.host_registers import HostRegisters
from .system.log_copier import LogCopier
from .system.soft_core import SoftCore


class System(wiring.Component):
    """What a board instantiates.

    Parameters
    ----------
    firmware : bytes
        Initial contents of the soft core's RAM.

    Members
    -------
    host : In(Axi4Lite())
        Block ``host`` of `pumice.spec.registers`.
    memory : Out(Axi4())
        The DMA's way to memory.
    interrupt : Out(1)
        Level; cleared by ``interrupt_clear``.
    state : Out(2)
        ``status.state``, for lamps.
    """

    host: wiring.PureInterface
    memory: wiring.PureInterface
    interrupt: Signal
    state: Signal

    def __init__(self, config: EngineConfig, firmware: bytes):
        self.config = config
        self.firmware = firmware
        super().__init__({"host": In(Axi4Lite()), "memory": Out(Axi4()), "interrupt": Out(1), "state": Out(2)})

    def elaborate(self, platform):
        m = Module()
        m.submodules.host_registers = host = HostRegisters(self.config)
        soft_core, walker, log = SoftCore(self.config, self.firmware), CommandWalker(), LogCopier()
        dma, engine = Dma(self.config), Engine(self.config)

        # reset.hold restarts everything but the host's own registers. AXI bursts cannot be taken back, so DMA and
        # engine go on until the DMA is idle, however short the host's pulse was; soft core and walker wait for that.
        # They restart a cycle later, out of a register for their many flip-flops: what the soft core last wrote takes
        # longer to become a burst. Two cycles at least, for the engine's cores are another one behind.
        resetting = Signal()
        with m.If(host.hold):
            m.d.sync += resetting.eq(1)
        with m.Elif(~dma.busy):
            m.d.sync += resetting.eq(0)
        restarts = resetting & ~dma.busy
        domain_with_reset(m, "restarted", restarts | delayed(m, restarts, 1, reset_less=False))
        m.d.comb += soft_core.restart.eq(resetting)
        m.submodules.soft_core = soft_core
        m.submodules.dma = DomainRenamer("restarted")(dma)
        m.submodules.engine = DomainRenamer("restarted")(engine)
        m.submodules.walker = ResetInserter(resetting)(walker)
        m.submodules.log_copier = ResetInserter(resetting)(log)

        wiring.connect(m, wiring.flipped(self.host), host.host)
        wiring.connect(m, dma.memory, wiring.flipped(self.memory))
        wiring.connect(m, soft_core.mailbox, host.mailbox)
        wiring.connect(m, soft_core.dma, dma.registers)
        wiring.connect(m, soft_core.engine, engine.registers)
        wiring.connect(m, soft_core.walker, walker.registers)
        wiring.connect(m, walker.ram, soft_core.commands)
        wiring.connect(m, walker.layers, engine.layers)
        wiring.connect(m, walker.transfers, dma.transfers)
        wiring.connect(m, log.transfers, dma.log)
        wiring.connect(m, dma.engine, engine.memories)
        wiring.connect(m, dma.ram, soft_core.ram)
        wiring.connect(m, engine.log, soft_core.log)
        m.d.comb += [
            walker.layers_completed.eq(engine.completed),
            walker.transfers_completed.eq(dma.completed),
            walker.doorbell.eq(host.run),
            walker.serving.eq(host.serving),
            walker.n_copied.eq(log.n_copied),
            walker.log_idle.eq(log.idle),
            host.finish.eq(walker.finish),
            engine.clear.eq(walker.begun),
            dma.clear.eq(walker.begun),
            log.clear.eq(walker.clears),
            log.enable.eq(host.buffers[BUFFER_LOG].bytes.any()),
            log.completed.eq(engine.completed),
            log.urgent.eq(walker.log_urgent),
            log.copies_completed.eq(dma.log_completed),
            dma.buffers.eq(host.buffers),
            host.layers.eq(engine.completed),
            host.read_bytes.eq(dma.read_bytes),
            host.write_bytes.eq(dma.write_bytes),
            self.interrupt.eq(host.interrupt),
            self.state.eq(host.state),
        ]
        # Of no hurry, and too long a way with the sums in it.
        m.d.sync += host.transfers.eq(dma.completed + dma.own_completed + dma.log_completed)
        return m
