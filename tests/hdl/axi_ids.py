"""What the AXI4 models of cocotbext-axi ask for beyond the design's ports."""

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice_hdl.system.buses import Axi4


class WithIds(wiring.Component):
    """A component whose member ``memory: Out(Axi4())`` has ID signals, all 0; its other members are as they were."""

    def __init__(self, inner: wiring.Component):
        self.inner = inner
        ids = {"arid": Out(1), "rid": In(1), "awid": Out(1), "bid": In(1)}
        memory = Out(wiring.Signature(dict(Axi4().members) | ids))
        super().__init__(dict(inner.signature.members) | {"memory": memory})

    def elaborate(self, platform):
        """Wires only."""
        m = Module()
        m.submodules.inner = self.inner
        for name, member in self.inner.signature.members.items():
            outer, inner = getattr(self, name), getattr(self.inner, name)
            if name == "memory":
                for signal, flow in ((n, s.flow) for n, s in Axi4().members.items()):
                    ends = (getattr(outer, signal), getattr(inner, signal))
                    m.d.comb += ends[0].eq(ends[1]) if flow is Out else ends[1].eq(ends[0])
            elif member.is_signature:
                pair = (wiring.flipped(outer), inner) if member.flow is In else (inner, wiring.flipped(outer))
                wiring.connect(m, *pair)
            else:
                m.d.comb += outer.eq(inner) if member.flow is Out else inner.eq(outer)
        return m
