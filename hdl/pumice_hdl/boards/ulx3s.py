"""ULX3S with an LFE5U-85F: the engine, on-chip memory in DRAM's place, and the link over the board's USB serial port.

Pins and their electrical attributes: github.com/emard/ulx3s, doc/constraints/ulx3s_v20.lpf (board versions 2 and 3).
"""

from dataclasses import dataclass

from amaranth import Cat, ClockDomain, ClockSignal, Const, Instance, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.registers import STATE_BUSY, STATE_FAULT

from ..serial.link import Link
from ..serial.memory import OnChipMemory
from ..serial.uart import UartReceiver, UartTransmitter
from ..top import System

OSCILLATOR_MHZ = 25
MEMORY_BYTES = 65536
BAUD = 3_000_000  # the most that the board's FT231X does (FTDI DS_FT231X)
MAX_BAUD_ERROR = 0.02  # half a bit at the end of a byte is 5 %; the rest is for both ends' jitter
HEARTBEAT_BITS = 26

_OUTPUT = "PULLMODE=NONE IO_TYPE=LVCMOS33 DRIVE=4"
PINS = {
    "clk25": ("G2", "PULLMODE=NONE IO_TYPE=LVCMOS33"),
    "ftdi_txd": ("M1", "PULLMODE=UP IO_TYPE=LVCMOS33"),
    "ftdi_rxd": ("L4", "PULLMODE=UP IO_TYPE=LVCMOS33 DRIVE=4"),
    "button": ("R1", "PULLMODE=DOWN IO_TYPE=LVCMOS33"),
    "wifi_gpio0": ("L2", _OUTPUT),
    **{f"led[{i}]": (site, _OUTPUT) for i, site in enumerate(("B2", "C2", "C1", "D2", "D1", "E2", "E1", "H3"))},
}
"""Port -> site and attributes."""


def constraints() -> str:
    """The board's constraints for nextpnr (``.lpf``)."""
    lines = ["# Generated from pumice_hdl/boards/ulx3s.py by `pumice build`."]
    for port, (site, attributes) in PINS.items():
        lines += [f'LOCATE COMP "{port}" SITE "{site}";', f'IOBUF PORT "{port}" {attributes};']
    lines.append(f'FREQUENCY PORT "clk25" {OSCILLATOR_MHZ} MHZ;')
    return "\n".join(lines) + "\n"


@dataclass(frozen=True, kw_only=True)
class Pll:
    """Dividers of an EHXPLLL with its feedback from CLKOP: ``OSCILLATOR_MHZ / input * feedback`` MHz.

    The oscillator of the PLL runs at ``output`` times that.
    """

    input: int
    feedback: int
    output: int

    @property
    def mhz(self) -> float:
        """Clock at CLKOP."""
        return OSCILLATOR_MHZ / self.input * self.feedback


PHASE_DETECTOR_MHZ, VCO_MHZ = 10 / 3, 600  # least and aim; its VCO does 400..800 (Lattice FPGA-DS-02012, sysCLOCK PLL)


def find_pll(mhz: float) -> Pll:
    """Dividers for a clock of exactly ``mhz``. ValueError: there are none."""
    for divider in range(1, int(OSCILLATOR_MHZ / PHASE_DETECTOR_MHZ) + 1):
        pll = Pll(input=divider, feedback=round(mhz * divider / OSCILLATOR_MHZ), output=round(VCO_MHZ / mhz))
        if pll.mhz == mhz:
            return pll
    raise ValueError(f"the PLL makes no {mhz} MHz of {OSCILLATOR_MHZ} MHz")


class Ulx3s(wiring.Component):
    """What goes into the FPGA.

    Parameters
    ----------
    config : EngineConfig
    firmware : bytes
        As for `System`.
    clock_mhz : float or None
        The engine's clock, from a PLL; None: the oscillator's, without a PLL, for simulation.
    memory_bytes : int
        Of `OnChipMemory`.
    baud : int
        Of the serial port. ValueError: more than MAX_BAUD_ERROR from a whole number of clock cycles a bit.

    Members
    -------
    clk25 : In(1)
        The oscillator.
    ftdi_txd : In(1)
        From the host.
    ftdi_rxd : Out(1)
        To the host.
    button : In(1)
        FIRE 1; resets everything while pressed.
    wifi_gpio0 : Out(1)
        High: keeps the board's ESP32 from resetting it.
    led : Out(8)
        0 heartbeat, 1 busy, 2 fault, 3 result waits for the host; the others are dark.
    """

    def __init__(
        self,
        config: EngineConfig,
        firmware: bytes,
        *,
        clock_mhz: float | None,
        memory_bytes: int = MEMORY_BYTES,
        baud: int = BAUD,
    ):
        self.config, self.firmware, self._memory_bytes = config, firmware, memory_bytes
        self._pll = None if clock_mhz is None else find_pll(clock_mhz)
        hertz = 1e6 * (OSCILLATOR_MHZ if clock_mhz is None else clock_mhz)
        self._divider = round(hertz / baud)
        if abs(hertz / baud / max(1, self._divider) - 1) > MAX_BAUD_ERROR:
            raise ValueError(
                f"{hertz / 1e6:g} MHz is {hertz / baud:.2f} cycles a bit at {baud} baud: not near a whole number"
            )
        super().__init__(
            {
                "clk25": In(1),
                "ftdi_txd": In(1),
                "ftdi_rxd": Out(1),
                "button": In(1),
                "wifi_gpio0": Out(1),
                "led": Out(8),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.domains.sync = ClockDomain()
        unlocked = self._clock(m)
        m.submodules.reset = ResetSynchronizer(unlocked | self.button)

        m.submodules.receiver = receiver = UartReceiver(self._divider)
        m.submodules.transmitter = transmitter = UartTransmitter(self._divider)
        m.submodules.link = link = Link(self._memory_bytes)
        m.submodules.memory = memory = OnChipMemory(self._memory_bytes)
        m.submodules.system = system = System(self.config, self.firmware)
        wiring.connect(m, receiver.bytes, link.received)
        wiring.connect(m, link.sent, transmitter.bytes)
        wiring.connect(m, link.registers, system.host)
        wiring.connect(m, link.memory, memory.link)
        wiring.connect(m, system.memory, memory.axi)

        heartbeat = Signal(HEARTBEAT_BITS)
        m.d.sync += heartbeat.eq(heartbeat + 1)
        lamps = Cat(heartbeat[-1], system.state == STATE_BUSY, system.state == STATE_FAULT, system.interrupt)
        m.d.sync += self.led.eq(lamps)
        m.d.comb += [receiver.pin.eq(self.ftdi_txd), self.ftdi_rxd.eq(transmitter.pin), self.wifi_gpio0.eq(1)]
        return m

    def _clock(self, m: Module):
        """Drive the clock; the result is high until it is good."""
        if self._pll is None:
            m.d.comb += ClockSignal().eq(self.clk25)
            return Const(0)
        clock, locked = Signal(), Signal()
        m.submodules.pll = Instance(
            "EHXPLLL",
            a_FREQUENCY_PIN_CLKI=str(OSCILLATOR_MHZ), a_FREQUENCY_PIN_CLKOP=f"{self._pll.mhz:g}",
            # Loop filter, as `ecppll` of Project Trellis sets it.
            a_ICP_CURRENT="12", a_LPF_RESISTOR="8", a_MFG_ENABLE_FILTEROPAMP="1", a_MFG_GMCREF_SEL="2",
            p_CLKI_DIV=self._pll.input, p_CLKFB_DIV=self._pll.feedback, p_CLKOP_DIV=self._pll.output,
            p_CLKOP_ENABLE="ENABLED", p_CLKOP_CPHASE=self._pll.output // 2 - 1, p_CLKOP_FPHASE=0, p_FEEDBK_PATH="CLKOP",
            i_CLKI=self.clk25, i_CLKFB=clock, i_RST=Const(0), i_STDBY=Const(0), i_ENCLKOP=Const(0),
            o_CLKOP=clock, o_LOCK=locked,
        )  # fmt: skip
        m.d.comb += ClockSignal().eq(clock)
        return ~locked
