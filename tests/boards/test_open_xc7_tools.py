"""The open flow for the XC7Z020 with its real tools: a small design with the cells that the engine is made of."""

import re

import pytest
from amaranth import Cat, ClockDomain, ClockSignal, Const, Elaboratable, Instance, Module, Mux, Signal, signed
from amaranth.back import rtlil
from amaranth.lib.cdc import ResetSynchronizer
from amaranth.lib.memory import Memory
from pumice import open_xc7
from pumice.frames import Database, frames
from pumice.open_xc7 import FABRIC, FAMILY, PART, TOOLS, Tools

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not TOOLS.exists(), reason="no open tools: python -m pumice.open_xc7 --fetch"),
]
MHZ = 120.0
SEED = 1


class Cells(Elaboratable):
    """PS7, clock buffer, block and distributed RAM, multiplier and accumulator, shift register, carry chains."""

    def elaborate(self, platform):
        """Everything hangs on the processor's first master port, or it would be swept."""
        m = Module()
        m.domains.sync = ClockDomain()
        clocks, resets = Signal(4), Signal(4)
        m.submodules.buffer = Instance("BUFG", i_I=clocks[0], o_O=ClockSignal())
        m.submodules.reset = ResetSynchronizer(~resets[0])
        address, write_address, read_address, write_data, read_data = (Signal(32) for _ in range(5))
        aw, w, ar, b, r = (Signal() for _ in range(5))
        m.d.sync += [b.eq(aw & w & ~b), r.eq(ar & ~r), address.eq(Mux(aw, write_address, read_address))]

        m.submodules.words = words = Memory(shape=64, depth=2048, init=[3, 4, 5])
        m.submodules.bytes = few = Memory(shape=8, depth=2048, init=[])
        m.submodules.column = column = Memory(
            shape=5,
            depth=64,
            init=[],
            attrs={"ram_style": "distributed"},  # written where it is read
        )
        column_write, column_read = column.write_port(), column.read_port(domain="comb")
        m.submodules.table = table = Memory(shape=8, depth=64, init=[], attrs={"ram_style": "distributed"})
        word_write, word_read = words.write_port(granularity=32), words.read_port()
        byte_write, byte_read = few.write_port(), few.read_port()
        table_write, table_read = table.write_port(), table.read_port(domain="comb")
        word, byte = Signal(64), Signal(8)
        shift, counter = Signal(24, reset_less=True), Signal(24)
        left, right, product, total = Signal(signed(9)), Signal(signed(9)), Signal(signed(18)), Signal(signed(32))
        m.d.sync += [
            word.eq(word_read.data),
            byte.eq(byte_read.data),
            left.eq(word[:9]),
            right.eq(word[9:18]),
            product.eq(left * right),
            total.eq(total + product),
            shift.eq(Cat(word[30], shift)),
            counter.eq(counter + word[40:48]),
            read_data.eq(
                Mux(address[14], total ^ counter, Cat(table_read.data, byte, word[32:40], shift[-1], column_read.data))
            ),
        ]
        m.d.comb += [
            word_write.addr.eq(address[3:14]),
            word_write.data.eq(write_data.replicate(2)),
            word_write.en.eq(Cat(b & address[2], b & ~address[2])),
            word_read.addr.eq(address[3:14]),
            byte_write.addr.eq(address[:11]),
            byte_write.data.eq(word[:8]),
            byte_write.en.eq(b),
            byte_read.addr.eq(total[:11]),
            column_write.addr.eq(address[2:8]),
            column_read.addr.eq(address[2:8]),
            column_write.data.eq(write_data[8:]),
            column_write.en.eq(b),
            table_write.addr.eq(address[2:8]),
            table_write.data.eq(write_data[:8]),
            table_write.en.eq(b),
            table_read.addr.eq(total[:6]),
        ]
        m.submodules.ps7 = Instance(
            "PS7", a_keep=1, o_FCLKCLK=clocks, o_FCLKRESETN=resets, i_IRQF2P=Cat(total[5], Const(0, 19)),
            i_MAXIGP0ACLK=ClockSignal(), o_MAXIGP0AWADDR=write_address, o_MAXIGP0ARADDR=read_address,
            o_MAXIGP0AWVALID=aw, o_MAXIGP0WVALID=w, o_MAXIGP0ARVALID=ar, i_MAXIGP0AWREADY=b, i_MAXIGP0WREADY=b,
            i_MAXIGP0ARREADY=r, i_MAXIGP0BVALID=b, i_MAXIGP0RVALID=r, i_MAXIGP0RDATA=read_data,
            o_MAXIGP0WDATA=write_data, i_MAXIGP0RLAST=Const(1),
        )  # fmt: skip
        return m


def test_bits_come_back(tmp_path):
    """What Project X-Ray reads out of the bitstream are the bits that its database says the design has."""
    tools = Tools(TOOLS)
    files = {"top.il": rtlil.convert(Cells(), ports=[], name="top", emit_src=False), "soft_core.v": ""}
    open_xc7.synthesise(tools, files, tmp_path)
    work = tmp_path / "routed"
    work.mkdir()
    routed = open_xc7.route(tools, work, SEED, MHZ)
    used = {name.split("_")[0] for name in routed["utilisation"]}
    assert used >= {"PS7", "RAMB36E1", "RAMB18E1", "DSP48E1", "SLICE", "CARRY4"}, routed
    netlist = (tmp_path / "top.json").read_text()
    assert '"SRL' in netlist
    assert '"RAM64' in netlist
    assert re.search(r'"DOD": \[\d', netlist)  # four bits of the memory that is written where it is read
    assert routed["mhz"] > MHZ
    open_xc7.pack(tools, work / f"{SEED}.fasm", tmp_path / "out.bit")

    family = tools.share / "prjxray" / "database" / FAMILY
    part = family / PART / "part.yaml"
    tools.run("bitread", "--part_file", part, "-o", "back.bits", "-z", "-y", tmp_path / "out.bit", cwd=tmp_path)
    fields = (line.split("_")[1:] for line in (tmp_path / "back.bits").read_text().splitlines())
    back = {(int(address, 16), int(word), int(bit)) for address, word, bit in fields}
    lines = (family / PART / "required_features.fasm").read_text() + (work / f"{SEED}.fasm").read_text()
    expected = {
        (address, i, bit)
        for address, words in frames(lines.splitlines(), Database(family, FABRIC)).items()
        for i, word in enumerate(words)
        for bit in range(32)
        if word >> bit & 1
    }
    assert len(expected) > 10_000
    assert back == expected
    assert str(tmp_path).encode() not in (tmp_path / "out.bit").read_bytes()
