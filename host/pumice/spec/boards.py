"""Boards whose processors run PYNQ, and the block design around the engine: what its ``.hwh`` and its Tcl share.

The processor system controls the engine through one AXI4-Lite port, the engine reads and writes DRAM through one
high-performance port, and its interrupt goes through an AXI interrupt controller, the only way that PYNQ sees it.
"""

from dataclasses import dataclass

ENGINE_VLNV = "pumice:user:pumice_engine:1.0"
INTERRUPT_CONTROLLER_VLNV = "xilinx.com:ip:axi_intc:4.1"
CONCAT_VLNV = "xilinx.com:ip:xlconcat:2.1"

# Instances of the block design, and ports of the engine.
ENGINE = "pumice_0"
INTERRUPT_CONTROLLER = "axi_intc_0"
CONCAT = "irq_concat_0"
CONTROL_PORT, MEMORY_PORT, INTERRUPT_PORT = "host", "memory", "interrupt"

ENGINE_BYTES = 0x1000
INTERRUPT_CONTROLLER_OFFSET = 0x1_0000  # from the engine's address
INTERRUPT_CONTROLLER_BYTES = 0x1000


@dataclass(frozen=True, kw_only=True)
class Processor:
    """A hard processor system as the block design sees it.

    Attributes
    ----------
    vlnv, instance : str
        Its IP, and what the block design calls it.
    architecture : str
        Of its Linux.
    control_port, memory_port, interrupt_port : str
        Interfaces that the engine is joined to.
    engine_address : int
        Bus address of the engine's registers.
    reference_mhz, pll_multiplier : float, int
        Their product is the clock that the engine's is divided from. The references are those that PYNQ assumes
        (``pynq/ps.py``, 3.0.1 to 4.0.0).
    """

    vlnv: str
    instance: str
    architecture: str
    control_port: str
    memory_port: str
    interrupt_port: str
    engine_address: int
    reference_mhz: float
    pll_multiplier: int

    @property
    def module(self) -> str:
        """Name of the IP."""
        return self.vlnv.split(":")[2]

    @property
    def interrupt_controller_address(self) -> int:
        """Bus address of the interrupt controller."""
        return self.engine_address + INTERRUPT_CONTROLLER_OFFSET


ZYNQ = Processor(
    vlnv="xilinx.com:ip:processing_system7:5.5",
    instance="ps7_0",
    architecture="armv7l",
    control_port="M_AXI_GP0",
    memory_port="S_AXI_HP0",
    interrupt_port="IRQ_F2P",
    engine_address=0x4000_0000,
    reference_mhz=50.0,
    pll_multiplier=20,
)
ZYNQ_ULTRASCALE = Processor(
    vlnv="xilinx.com:ip:zynq_ultra_ps_e:3.5",
    instance="ps_e_0",
    architecture="aarch64",
    control_port="M_AXI_HPM0_FPD",
    memory_port="S_AXI_HP0_FPD",
    interrupt_port="pl_ps_irq0",
    engine_address=0xA000_0000,
    reference_mhz=33.333,
    pll_multiplier=45,
)


@dataclass(frozen=True, kw_only=True)
class PynqBoard:
    """A board that runs PYNQ.

    Attributes
    ----------
    name : str
        As in the environment variable ``BOARD`` of its PYNQ image, apart from case.
    part : str
        The chip.
    config : str
        The engine configuration meant for it.
    processor : Processor
    divisors : tuple of int
        Two, 1..63 each; their product divides the processor's clock to the engine's, not above what the configuration
        is meant for.
    """

    name: str
    part: str
    config: str
    processor: Processor
    divisors: tuple[int, int]

    @property
    def clock_mhz(self) -> float:
        """The engine's clock."""
        first, second = self.divisors
        return self.processor.reference_mhz * self.processor.pll_multiplier / (first * second)

    @property
    def folder(self) -> str:
        """Name of its folder among the package's overlays."""
        return self.name.lower()


PYNQ_Z2 = PynqBoard(name="PYNQ-Z2", part="xc7z020clg400-1", config="Z7020", processor=ZYNQ, divisors=(9, 1))
ZCU104 = PynqBoard(
    name="ZCU104", part="xczu7ev-ffvc1156-2-e", config="ZCU104", processor=ZYNQ_ULTRASCALE, divisors=(8, 1)
)
KV260 = PynqBoard(name="KV260", part="xck26-sfvc784-2LV-c", config="KV260", processor=ZYNQ_ULTRASCALE, divisors=(8, 1))

BOARDS = {board.name: board for board in (PYNQ_Z2, ZCU104, KV260)}
