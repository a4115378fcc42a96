"""Signatures that join soft core, DMA, host registers and engine."""

from amaranth import unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import EngineConfig
from pumice.spec.descriptor import BUFFERS

BURST_BEATS = 16  # of 8 bytes; the longest burst of Zynq-7000's memory ports, which are AXI3


class RegisterBus(wiring.Signature):
    """Access to one block's 32-bit registers, seen from the initiator.

    Members
    -------
    address : Out(8)
        Byte offset in the block; the low two bits are 0.
    write_data : Out(32)
        Value to write while ``write`` is 1.
    write : Out(1)
        One-cycle strobe; the write happens at the end of its cycle and cannot be refused.
    read_data : In(32)
        The register that ``address`` named in the previous cycle; 0 for an unknown offset. Reading has no side effect.
    """

    def __init__(self):
        super().__init__({"address": Out(8), "write_data": Out(32), "write": Out(1), "read_data": In(32)})


class RamPort(wiring.Signature):
    """64-bit access to soft-core RAM that is never refused, seen from the initiator.

    Members
    -------
    address : Out(17)
        64-bit word address.
    write_data : Out(64)
        Word to write while ``write`` is 1.
    write, read : Out(1)
        At most one of them.
    read_data : In(64)
        Valid in the cycle after ``read``; holds what was written two cycles before that read or earlier.
    """

    def __init__(self):
        super().__init__(
            {"address": Out(17), "write_data": Out(64), "write": Out(1), "read": Out(1), "read_data": In(64)}
        )


class RamReads(wiring.Signature):
    """64-bit reads of soft-core RAM, seen from the initiator.

    Members
    -------
    address : Out(17)
        64-bit word address.
    read : Out(1), ready : In(1)
        A read is granted in a cycle with both.
    read_data : In(64)
        Valid in the cycle after a granted read.
    """

    def __init__(self):
        super().__init__({"address": Out(17), "read": Out(1), "ready": In(1), "read_data": In(64)})


BUFFERS_LAYOUT = data.ArrayLayout(data.StructLayout({"base": 40, "bytes": 32}), len(BUFFERS))
"""Memory buffers of the host, in the order of `BUFFERS`: bus address (the low three bits are ignored) and length."""

LOG_WRITE_LAYOUT = data.StructLayout({"address": 17, "data": 64})
"""A 64-bit word of a log entry and its soft-core RAM word address."""


def activation_write_layout(config: EngineConfig) -> data.StructLayout:
    """Eight bytes (lowest address first) for byte ``address``, a multiple of 8, of activation memory.

    ``cores``: a bit for each core whose banks are written.
    """
    return data.StructLayout({"address": config.address_bits, "data": 64, "cores": config.n_cores})


def weight_write_layout(config: EngineConfig) -> data.StructLayout:
    """A word for ``address`` (64-bit words) of weight memory of core ``core``."""
    return data.StructLayout({"core": range(max(2, config.n_cores)), "address": range(config.weight_depth), "data": 64})


class EnginePort(wiring.Signature):
    """The DMA's way into the engine's memories, seen from the DMA.

    Members
    -------
    activation_writes : Out(stream of `activation_write_layout`)
    weight_writes : Out(stream of `weight_write_layout`)
    activation_reads : Out(stream of byte addresses, multiples of 8)
        Reads any core's copy.
    activation_data : In(stream of 64 bits)
        One word for each read, in order, some cycles later. Always taken: the DMA asks only for what it has room for,
        at most 16 words.
    """

    def __init__(self, config: EngineConfig):
        super().__init__(
            {
                "activation_writes": Out(stream.Signature(activation_write_layout(config))),
                "weight_writes": Out(stream.Signature(weight_write_layout(config))),
                "activation_reads": Out(stream.Signature(unsigned(config.address_bits))),
                "activation_data": In(stream.Signature(unsigned(64), always_ready=True)),
            }
        )


class Axi4(wiring.Signature):
    """AXI4 with 64-bit data and 40-bit addresses, seen from the master; one ID, INCR bursts; standard names."""

    def __init__(self):
        super().__init__(
            {
                "araddr": Out(40), "arlen": Out(8), "arsize": Out(3), "arburst": Out(2), "arcache": Out(4),
                "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
                "rdata": In(64), "rresp": In(2), "rlast": In(1), "rvalid": In(1), "rready": Out(1),
                "awaddr": Out(40), "awlen": Out(8), "awsize": Out(3), "awburst": Out(2), "awcache": Out(4),
                "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
                "wdata": Out(64), "wstrb": Out(8), "wlast": Out(1), "wvalid": Out(1), "wready": In(1),
                "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            }
        )  # fmt: skip


class Axi4Lite(wiring.Signature):
    """AXI4-Lite with 32-bit data, seen from the master. Names as in the standard."""

    def __init__(self, address_bits: int = 12):
        super().__init__(
            {
                "araddr": Out(address_bits), "arprot": Out(3), "arvalid": Out(1), "arready": In(1),
                "rdata": In(32), "rresp": In(2), "rvalid": In(1), "rready": Out(1),
                "awaddr": Out(address_bits), "awprot": Out(3), "awvalid": Out(1), "awready": In(1),
                "wdata": Out(32), "wstrb": Out(4), "wvalid": Out(1), "wready": In(1),
                "bresp": In(2), "bvalid": In(1), "bready": Out(1),
            }
        )  # fmt: skip
