"""A block of registers, built from the table in `pumice.spec.registers`."""

import itertools

from amaranth import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec import registers

from ..layouts import word_layout
from .buses import RegisterBus


class RegisterBlock(wiring.Component):
    """The registers of block ``name`` behind a `RegisterBus`, each field a member ``<reg>_<field>``.

    Parameters
    ----------
    name : str
        A block of `registers.REGISTERS`; KeyError for any other.

    Members
    -------
    bus : In(RegisterBus())
        Reads answer in the next cycle.
    <reg>_<field> : In(bits) of a ``ro`` field
        What a read returns.
    <reg>_<field> : Out(bits) of a ``rw`` field
        The value last written, from the cycle after the write; 0 after reset.
    <reg>_<field> : Out(1) of a ``w1p`` field
        High in the cycle of a write of 1.
    <reg>_<field>, <reg>_<field>_strobe : Out(bits), Out(1) of a ``wo`` field
        ``strobe`` is high in the cycle of a write, whose value is valid in that cycle only.
    descriptor : Out(word_layout(DESCRIPTORS[name])), blocks with a descriptor only
        Its words, ``rw`` from DESCRIPTOR_OFFSET.
    """

    def __init__(self, name: str):
        self._fields = registers.block(name)
        if not self._fields:
            raise KeyError(f"no register block {name!r}")
        self._structure = registers.DESCRIPTORS.get(name)
        members = {"bus": In(RegisterBus())}
        for field in self._fields:
            member = f"{field.reg}_{field.name}"
            members[member] = (In if field.access == "ro" else Out)(field.bits)
            if field.access == "wo":
                members[f"{member}_strobe"] = Out(1)
        if self._structure:
            members["descriptor"] = Out(word_layout(self._structure))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        bus = self.bus
        m.d.sync += bus.read_data.eq(0)
        with m.Switch(bus.address[2:]):
            for offset, fields in itertools.groupby(self._fields, lambda field: field.offset):
                with m.Case(offset >> 2):
                    for field in fields:
                        self._access(m, field)
            for i in range(self._structure.n_words if self._structure else 0):
                with m.Case((registers.DESCRIPTOR_OFFSET >> 2) + i):
                    word = self.descriptor.as_value()[32 * i : 32 * (i + 1)]
                    m.d.sync += bus.read_data.eq(word)
                    with m.If(bus.write):
                        m.d.sync += word.eq(bus.write_data)
        return m

    def _access(self, m: Module, field: registers.Register) -> None:
        """What a read or write of the field's register does to it."""
        bus, name = self.bus, f"{field.reg}_{field.name}"
        member = getattr(self, name)
        bits = slice(field.lsb, field.lsb + field.bits)
        if field.access in ("ro", "rw"):
            m.d.sync += bus.read_data[bits].eq(member)
        if field.access == "rw":
            with m.If(bus.write):
                m.d.sync += member.eq(bus.write_data[bits])
        elif field.access == "w1p":
            m.d.comb += member.eq(bus.write & bus.write_data[bits])
        elif field.access == "wo":
            m.d.comb += [member.eq(bus.write_data[bits]), getattr(self, f"{name}_strobe").eq(bus.write)]
