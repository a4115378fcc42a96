"""The DMA against an independent AXI4 memory (cocotbext-axi)."""

import pytest
from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import CONFIGS
from pumice_hdl.system.buses import Axi4
from pumice_hdl.system.dma import Dma

from .harness import simulate


class DmaWithIds(wiring.Component):
    """A `Dma` whose memory bus has the ID signals that the AXI4 model asks for."""

    def __init__(self, config):
        self.dma = Dma(config)
        ids = {"arid": Out(1), "rid": In(1), "awid": Out(1), "bid": In(1)}
        members = dict(self.dma.signature.members) | {"memory": Out(wiring.Signature(dict(Axi4().members) | ids))}
        super().__init__(members)

    def elaborate(self, platform):
        """Everything as the `Dma` has it; all IDs 0."""
        m = Module()
        m.submodules.dma = self.dma
        for name, member in self.dma.signature.members.items():
            outer, inner = getattr(self, name), getattr(self.dma, name)
            if name == "memory":
                for signal, flow in ((n, s.flow) for n, s in Axi4().members.items()):
                    ends = (getattr(outer, signal), getattr(inner, signal))
                    m.d.comb += ends[0].eq(ends[1]) if flow is Out else ends[1].eq(ends[0])
            elif member.is_signature:
                wiring.connect(m, wiring.flipped(outer), inner)
            else:
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m


@pytest.mark.parametrize("name", ["TINY", "Z7020"])
def test_dma(name):
    simulate(DmaWithIds(CONFIGS[name]), "dma_tb", n_tests=16, env={"CONFIG": name})
