"""Weight memory of one core."""

from amaranth import Module, unsigned
from amaranth.lib import wiring
from amaranth.lib.memory import Memory
from amaranth.lib.wiring import In, Out
from pumice.spec.config import WEIGHT_WORD_BITS, EngineConfig

from ..pipeline import delayed


class WeightWritePort(wiring.Signature):
    """Writes to a weight memory, seen from the writer.

    Members
    -------
    enable : Out(1)
        Write in this cycle.
    address : Out(range(config.weight_depth))
        Word address.
    data : Out(64)
        The word.
    """

    def __init__(self, config: EngineConfig):
        super().__init__({"enable": Out(1), "address": Out(range(config.weight_depth)), "data": Out(WEIGHT_WORD_BITS)})


class WeightMemory(wiring.Component):
    """``weight_depth`` words of 64 bits in block RAM or UltraRAM; one write and one read each cycle.

    A word written in cycle ``t`` is seen by reads whose address is given in cycle ``t + 1`` or later. Contents survive
    reset.

    Members
    -------
    write : In(WeightWritePort(config))
        Write port.
    address : In(range(config.weight_depth))
        Word address, every cycle.
    data : Out(64)
        Word ``address``, ``latency`` cycles later.
    """

    latency = 2  # the memory, its output register

    def __init__(self, config: EngineConfig):
        self.config = config
        super().__init__(
            {
                "write": In(WeightWritePort(config)),
                "address": In(range(config.weight_depth)),
                "data": Out(WEIGHT_WORD_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        style = "ultra" if self.config.ultra_ram else "block"
        m.submodules.memory = memory = Memory(
            shape=unsigned(WEIGHT_WORD_BITS), depth=self.config.weight_depth, init=[], attrs={"ram_style": style}
        )
        write, read = memory.write_port(), memory.read_port()
        m.d.comb += [
            write.en.eq(self.write.enable),
            write.addr.eq(self.write.address),
            write.data.eq(self.write.data),
            read.addr.eq(self.address),
            self.data.eq(delayed(m, read.data, self.latency - 1)),
        ]
        return m
