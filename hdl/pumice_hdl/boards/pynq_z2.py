"""PYNQ-Z2 without Vivado's block design: the engine beside the processor's hard block (PS7), joined directly."""

from amaranth import Cat, ClockDomain, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from pumice.spec.boards import INTERRUPT_CONTROLLER_OFFSET
from pumice.spec.config import EngineConfig

from ..system.host_registers import Axi4LiteFront
from ..top import System
from .axi_switch import Axi4LiteSwitch
from .interrupt_controller import InterruptController

ID_BITS = 12  # of the processor's master ports


class PynqZ2(wiring.Component):
    """All of the programmable logic; it has no pins.

    The processor's GP master 0 reaches registers and interrupt controller where the hand-off has them, the engine
    reaches memory through HP slave 0, and the controller's interrupt is the first of the programmable logic's. The
    slaves take one write and one read at a time, so that one ID of each is all there is to send back; the processor
    makes no bursts to device memory. The DMA's bursts of up to 16 beats are what AXI3 has.

    Parameters
    ----------
    config : EngineConfig
    firmware : bytes
        As for `System`.
    """

    def __init__(self, config: EngineConfig, firmware: bytes):
        self.config, self.firmware = config, firmware
        super().__init__({})

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        m.submodules.system = system = System(self.config, self.firmware)
        clocks, resets = Signal(4), Signal(4)
        m.submodules.buffer = Instance("BUFG", i_I=clocks[0], o_O=ClockSignal())
        m.submodules.reset = ResetSynchronizer(~resets[0])

        m.submodules.switch = switch = Axi4LiteSwitch(INTERRUPT_CONTROLLER_OFFSET.bit_length())
        m.submodules.front = front = Axi4LiteFront()
        m.submodules.interrupts = interrupts = InterruptController()
        wiring.connect(m, switch.first, system.host)
        wiring.connect(m, switch.second, front.axi)
        wiring.connect(m, front.bus, interrupts.bus)
        m.d.comb += interrupts.source.eq(system.interrupt)

        host, memory = switch.axi, system.memory
        read_id, write_id, read_id_held, write_id_held = (Signal(ID_BITS) for _ in range(4))
        with m.If(host.arvalid & host.arready):
            m.d.sync += read_id_held.eq(read_id)
        with m.If(host.awvalid & host.awready):
            m.d.sync += write_id_held.eq(write_id)
        m.submodules.ps7 = Instance(
            "PS7",
            a_keep=1,
            o_FCLKCLK=clocks, o_FCLKRESETN=resets, i_IRQF2P=Cat(interrupts.interrupt, Const(0, 19)),
            # Registers.
            i_MAXIGP0ACLK=ClockSignal(),
            o_MAXIGP0ARADDR=_low(m, host.araddr), o_MAXIGP0ARPROT=host.arprot, o_MAXIGP0ARVALID=host.arvalid,
            i_MAXIGP0ARREADY=host.arready, o_MAXIGP0ARID=read_id,
            i_MAXIGP0RDATA=host.rdata, i_MAXIGP0RRESP=host.rresp, i_MAXIGP0RVALID=host.rvalid,
            o_MAXIGP0RREADY=host.rready, i_MAXIGP0RID=read_id_held, i_MAXIGP0RLAST=Const(1),
            o_MAXIGP0AWADDR=_low(m, host.awaddr), o_MAXIGP0AWPROT=host.awprot, o_MAXIGP0AWVALID=host.awvalid,
            i_MAXIGP0AWREADY=host.awready, o_MAXIGP0AWID=write_id,
            o_MAXIGP0WDATA=host.wdata, o_MAXIGP0WSTRB=host.wstrb, o_MAXIGP0WVALID=host.wvalid,
            i_MAXIGP0WREADY=host.wready,
            i_MAXIGP0BRESP=host.bresp, i_MAXIGP0BVALID=host.bvalid, o_MAXIGP0BREADY=host.bready,
            i_MAXIGP0BID=write_id_held,
            # Memory.
            i_SAXIHP0ACLK=ClockSignal(),
            i_SAXIHP0ARADDR=memory.araddr[:32], i_SAXIHP0ARLEN=memory.arlen[:4], i_SAXIHP0ARSIZE=memory.arsize[:2],
            i_SAXIHP0ARBURST=memory.arburst, i_SAXIHP0ARCACHE=memory.arcache, i_SAXIHP0ARPROT=memory.arprot,
            i_SAXIHP0ARVALID=memory.arvalid, o_SAXIHP0ARREADY=memory.arready,
            o_SAXIHP0RDATA=memory.rdata, o_SAXIHP0RRESP=memory.rresp, o_SAXIHP0RLAST=memory.rlast,
            o_SAXIHP0RVALID=memory.rvalid, i_SAXIHP0RREADY=memory.rready,
            i_SAXIHP0AWADDR=memory.awaddr[:32], i_SAXIHP0AWLEN=memory.awlen[:4], i_SAXIHP0AWSIZE=memory.awsize[:2],
            i_SAXIHP0AWBURST=memory.awburst, i_SAXIHP0AWCACHE=memory.awcache, i_SAXIHP0AWPROT=memory.awprot,
            i_SAXIHP0AWVALID=memory.awvalid, o_SAXIHP0AWREADY=memory.awready,
            i_SAXIHP0WDATA=memory.wdata, i_SAXIHP0WSTRB=memory.wstrb, i_SAXIHP0WLAST=memory.wlast,
            i_SAXIHP0WVALID=memory.wvalid, o_SAXIHP0WREADY=memory.wready,
            o_SAXIHP0BRESP=memory.bresp, o_SAXIHP0BVALID=memory.bvalid, i_SAXIHP0BREADY=memory.bready,
        )  # fmt: skip
        return m


def _low(m: Module, address) -> Signal:
    """A 32-bit address whose low bits drive ``address``."""
    whole = Signal(32)
    m.d.comb += address.eq(whole)
    return whole
