"""Bench of `HostRegisters`: the AXI4-Lite protocol, every register, the life of a command, the watchdog."""

import os
from functools import partial

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, FallingEdge, RisingEdge, Timer
from cocotbext.axi import AxiResp
from pumice.spec import registers
from pumice.spec.config import CONFIGS
from pumice.spec.descriptor import BUFFER_IMAGE, BUFFERS
from pumice_hdl.system.buses import BUFFERS_LAYOUT

from .host import Host
from .registers import RegisterDriver
from .streams import reset, unpack

CONFIG = CONFIGS[os.environ["CONFIG"]]
UNKNOWN = (0x3C + 0x58, 0xFC, 0x100, 0x800, 0xFFC)  # past the last register, past the block
test = partial(cocotb.test, timeout_time=500, timeout_unit="us")


async def start(dut, p_stall: float = 0.0, *, ready: bool = True):
    """Reset; returns host and mailbox drivers, the state idle unless ``ready`` is false."""
    for name in ("layers", "transfers", "read_bytes", "write_bytes"):
        getattr(dut, name).value = 0
    mailbox = RegisterDriver(dut, "mailbox", "mailbox")
    host = Host(dut, p_stall)
    await reset(dut)
    await FallingEdge(dut.clk)
    if ready:
        await mailbox.write("ready")
        assert await host.read("status") == registers.STATE_IDLE
    return host, mailbox


@test()
async def constants_name_the_engine(dut):
    host, mailbox = await start(dut)
    assert await host.read("magic") == registers.MAGIC
    assert await host.read("version", "major") == registers.VERSION_MAJOR
    assert await host.read("version", "minor") == registers.VERSION_MINOR
    assert await host.read("config") == await mailbox.read("config") == CONFIG.config_id
    assert await host.read("shape", "n_cores") == CONFIG.n_cores
    assert await host.read("shape", "n_lanes") == CONFIG.n_lanes


@test()
@cocotb.parametrize(p_stall=[0.0, 0.6])
async def registers_keep_what_is_written(dut, p_stall):
    host, mailbox = await start(dut, p_stall, ready=False)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    fields = [f for f in registers.block("host") if f.access == "rw" and f.reg != "reset"]
    offsets = range(0, registers.BLOCK_BYTES, 4)
    before = {offset: await host.read_word(offset) for offset in offsets}
    values = {}
    for _ in range(3):
        for field in rng.permutation(np.array(fields, dtype=object)):
            values[field.reg] = word = int(rng.integers(1 << 32))
            await host.write(field.reg, word >> field.lsb)
    expected = before | {f.offset: values[f.reg] & ((1 << f.bits) - 1) for f in fields}
    assert len(values) == 17
    assert {offset: await host.read_word(offset) for offset in offsets} == expected
    for buffer, name in zip(unpack(BUFFERS_LAYOUT, int(dut.buffers.value)), BUFFERS, strict=True):
        assert buffer.base == values[f"{name}_base_low"] | (values[f"{name}_base_high"] & 0xFF) << 32
        assert buffer.bytes == values[f"{name}_bytes"]
    assert await mailbox.read("image_bytes") == values[f"{BUFFERS[BUFFER_IMAGE]}_bytes"]


@test()
async def partial_writes_and_unknown_offsets_change_nothing(dut):
    host, _ = await start(dut)
    watchdog = registers.find("host", "watchdog").offset
    await host.write("watchdog", 0x12345678)
    for n_bytes in (1, 2, 3):
        for shift in range(5 - n_bytes):
            answer = await host.master.write(watchdog + shift, b"\xff" * n_bytes)
            assert answer.resp == AxiResp.SLVERR
    for offset in UNKNOWN:
        assert (await host.master.write(offset, b"\xff" * 4)).resp == AxiResp.OKAY
        assert await host.read_word(offset) == 0
    aliases = watchdog + registers.BLOCK_BYTES
    assert (await host.master.write(aliases, b"\xff" * 4)).resp == AxiResp.OKAY
    assert await host.read_word(aliases) == 0
    assert await host.read("watchdog") == 0x12345678


@test()
async def address_and_data_come_in_any_order(dut):
    host, _ = await start(dut)
    writes = host.master.write_if
    for early, late in ((writes.aw_channel, writes.w_channel), (writes.w_channel, writes.aw_channel)):
        for gap in range(4):
            late.pause = gap > 0
            value = gap + (100 if early is writes.aw_channel else 200)
            pending = cocotb.start_soon(host.write("watchdog", value))
            await ClockCycles(dut.clk, gap + 5)
            assert pending.done() == (gap == 0 and int(dut.host__bvalid.value) == 0)
            late.pause = early.pause = False
            await pending
            assert await host.read("watchdog") == value


@test()
async def reads_beside_writes_read_what_they_ask_for(dut):
    host, _ = await start(dut)
    for gap in range(8):
        write = cocotb.start_soon(host.write("watchdog", 1000 + gap))
        await ClockCycles(dut.clk, gap)
        assert await host.read("magic") == registers.MAGIC, gap
        await write
        assert await host.read("watchdog") == 1000 + gap


async def cycles_until(dut, *signals: str, limit: int = 100) -> int:
    """Cycles until all of these signals of the host's port are high. AssertionError: ``limit`` cycles have passed."""
    for n in range(limit):
        if all(getattr(dut, f"host__{signal}").value for signal in signals):
            return n
        await FallingEdge(dut.clk)
    raise AssertionError(f"{' and '.join(signals)} not high within {limit} cycles")


async def latency(dut, asks: str, answers: str) -> int:
    """Cycles from the next handshake of one channel to the next ``valid`` of another."""
    await cycles_until(dut, f"{asks}valid", f"{asks}ready")
    return await cycles_until(dut, f"{answers}valid")


@test()
async def answers_come_when_the_contract_says(dut):
    host, _ = await start(dut)
    read = cocotb.start_soon(latency(dut, "ar", "r"))
    await host.read("magic")
    assert await read == 3
    write = cocotb.start_soon(latency(dut, "w", "b"))
    await host.write("watchdog", 1)
    assert await write == 3


@test()
async def responses_hold_until_taken(dut):
    host, _ = await start(dut)
    host.master.write_if.b_channel.pause = host.master.read_if.r_channel.pause = True
    write = cocotb.start_soon(host.write("watchdog", 77))
    read = cocotb.start_soon(host.read("magic"))
    await ClockCycles(dut.clk, 20)
    assert not write.done()
    assert not read.done()
    for _ in range(5):
        await RisingEdge(dut.clk)
        assert (int(dut.host__bvalid.value), int(dut.host__rvalid.value)) == (1, 1)
        assert int(dut.host__rdata.value) == registers.MAGIC
    host.master.write_if.b_channel.pause = host.master.read_if.r_channel.pause = False
    await write
    assert await read == registers.MAGIC
    assert await host.read("watchdog") == 77


@test()
async def commands_run_and_report(dut):
    host, mailbox = await start(dut)
    rng = np.random.default_rng(cocotb.RANDOM_SEED)
    await host.write("interrupt_enable", 1)
    for command, code in ((1, 0), (2, 5), (2, 0), (255, 255)):
        await host.write("doorbell", command)
        assert (await host.read("status"), await mailbox.read("command")) == (registers.STATE_BUSY, command)
        assert await host.read("progress", "layers") == await host.read("read_bytes") == 0, "left from the last command"
        assert (await host.read("fault"), await host.read("fault_detail"), int(dut.interrupt.value)) == (0, 0, 0)
        await host.write("doorbell", 7)  # busy: ignored
        assert await mailbox.read("command") == command
        dut.layers.value = dut.transfers.value = dut.read_bytes.value = dut.write_bytes.value = 0
        await FallingEdge(dut.clk)
        counts = [int(rng.integers(1, 1 << bits)) for bits in (16, 16, 32, 32)]
        dut.layers.value, dut.transfers.value, dut.read_bytes.value, dut.write_bytes.value = counts
        detail = int(rng.integers(1 << 32))
        await mailbox.write("detail", detail)
        await mailbox.write("finish", code)
        assert int(dut.interrupt.value) == 1
        assert await mailbox.read("command") == 0
        assert await host.read("status") == (registers.STATE_FAULT if code else registers.STATE_IDLE)
        assert (await host.read("fault"), await host.read("fault_detail")) == (code, detail if code else 0)
        assert await host.read("fault", "layer") == (counts[0] if code else 0)
        assert [await host.read("progress", "layers"), await host.read("progress", "transfers")] == counts[:2]
        assert [await host.read("read_bytes"), await host.read("write_bytes")] == counts[2:]
        await mailbox.write("finish", 3)  # not busy: ignored
        assert await host.read("fault") == code
    await host.write("interrupt_enable", 0)
    assert (int(dut.interrupt.value), await host.read("interrupt")) == (0, 1)
    await host.write("interrupt_enable", 1)
    await host.write("interrupt_clear", 0)
    assert int(dut.interrupt.value) == 1
    await host.write("interrupt_clear", 1)
    assert (int(dut.interrupt.value), await host.read("interrupt")) == (0, 0)


@test()
async def runs_of_one_sample_need_no_soft_core(dut):
    """Each is announced once, when it is accepted; ``finish`` ends the command."""
    host, _ = await start(dut)
    pulses = []

    async def watch():
        while True:
            await FallingEdge(dut.clk)
            pulses.extend([int(dut.serving.value)] if dut.run.value else [])

    cocotb.start_soon(watch())
    await host.write("interrupt_enable", 1)
    load, run = registers.COMMAND_LOAD, registers.COMMAND_RUN
    for command, more, n in ((load, 0, 0), (run, 0, 1), (run, 5, 0)):
        pulses.clear()
        for _ in range(2):  # busy the second time
            await host.write("doorbell", command | more << 8)
            await ClockCycles(dut.clk, 3)
            assert int(dut.serving.value) == 1
        assert pulses == [0] * n
        await FallingEdge(dut.clk)
        dut.finish.value = 1
        await FallingEdge(dut.clk)
        dut.finish.value = 0
        assert (int(dut.interrupt.value), int(dut.serving.value)) == (1, 0)
        assert await host.read("status") == registers.STATE_IDLE
        assert await host.read("fault") == 0
    dut.finish.value = 1  # not busy: ignored
    await FallingEdge(dut.clk)
    dut.finish.value = 0
    await host.write("interrupt_clear", 1)
    assert int(dut.interrupt.value) == 0


async def state_lasts(dut, n: int, timeout: int = 1000) -> bool:
    """Whether the interrupt rises exactly ``n`` cycles after now."""
    for cycle in range(timeout):
        if int(dut.interrupt.value):
            return cycle == n
        await FallingEdge(dut.clk)
    return False


@test()
async def cycles_count_from_doorbell_to_finish(dut):
    host, mailbox = await start(dut)
    for wait in (0, 1, 50):
        await host.write("doorbell", 1)
        first = await host.read("cycles")
        time = cocotb.utils.get_sim_time("ns")
        assert await host.read("cycles") - first == (cocotb.utils.get_sim_time("ns") - time) / 10
        before = await host.read("cycles")
        time = cocotb.utils.get_sim_time("ns")
        await ClockCycles(dut.clk, wait + 1)
        await FallingEdge(dut.clk)
        await mailbox.write("finish", 0)
        ended = cocotb.utils.get_sim_time("ns")
        cycles = await host.read("cycles")
        assert abs((cycles - before) - (ended - time) / 10) <= 3  # the read's sample lies within its AXI exchange
        await ClockCycles(dut.clk, 10)
        assert await host.read("cycles") == cycles
    assert cycles > 50


@test()
async def watchdog_ends_a_silent_command(dut):
    host, mailbox = await start(dut)
    await host.write("interrupt_enable", 1)
    await host.write("watchdog", 100)
    await host.write("doorbell", 2)
    await RisingEdge(dut.interrupt)
    assert await host.read("cycles") == 100
    assert await host.read("status") == registers.STATE_FAULT
    assert await host.read("fault") == registers.FAULT_CODES["watchdog"]
    assert await mailbox.read("command") == 0
    await mailbox.write("finish", 0)
    assert await host.read("status") == registers.STATE_FAULT, "a late finish counted"
    await host.write("doorbell", 1)  # the fault does not keep the next command from running
    assert await host.read("status") == registers.STATE_BUSY
    await mailbox.write("finish", 0)
    assert await host.read("status") == registers.STATE_IDLE


@test()
async def progress_feeds_the_watchdog(dut):
    host, mailbox = await start(dut)
    await host.write("interrupt_enable", 1)
    await host.write("watchdog", 60)
    await host.write("doorbell", 2)
    for i in range(1, 6):
        for counter in (dut.layers, dut.transfers):
            await ClockCycles(dut.clk, 40)
            await FallingEdge(dut.clk)
            counter.value = i
    assert await state_lasts(dut, 61)  # seen by the watchdog one edge after the change, 60 cycles from there
    assert await host.read("fault", "layer") == 5
    await host.write("watchdog", 0)
    await host.write("doorbell", 2)
    await ClockCycles(dut.clk, 300)
    assert await host.read("status") == registers.STATE_BUSY
    await mailbox.write("finish", 0)


@test()
async def doorbell_needs_a_ready_device_and_a_command(dut):
    host, mailbox = await start(dut, ready=False)
    assert await host.read("status") == registers.STATE_BOOT
    await host.write("doorbell", 1)
    assert (await host.read("status"), await mailbox.read("command")) == (registers.STATE_BOOT, 0)
    await mailbox.write("ready")
    assert await host.read("status") == registers.STATE_IDLE
    await host.write("doorbell", registers.COMMAND_NONE)
    assert await host.read("status") == registers.STATE_IDLE
    await host.write("doorbell", 1)
    await mailbox.write("ready")  # out of turn: ignored
    assert await host.read("status") == registers.STATE_BUSY


@test()
async def hold_returns_to_boot(dut):
    host, mailbox = await start(dut)
    await host.write("interrupt_enable", 1)
    await host.write("watchdog", 1000)
    await host.write("input_bytes", 4096)
    await host.write("doorbell", 1)
    await mailbox.write("finish", 4)
    for prepare in (False, True):
        if prepare:
            await host.write("doorbell", 1)
        await host.write("reset", 1)
        assert int(dut.hold.value) == 1
        await mailbox.write("ready")
        assert (await host.read("status"), await mailbox.read("command")) == (registers.STATE_BOOT, 0)
        assert (await host.read("fault"), await host.read("cycles"), await host.read("interrupt")) == (0, 0, 0)
        assert int(dut.interrupt.value) == 0
        await host.write("reset", 0)
        assert int(dut.hold.value) == 0
        await mailbox.write("ready")
        assert await host.read("status") == registers.STATE_IDLE
    assert await host.read("input_bytes") == 4096
    assert await host.read("watchdog") == 1000
    await Timer(1, "ns")
