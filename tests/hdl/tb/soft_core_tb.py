"""The soft core runs the built firmware, with the command walker, against a model of mailbox, DMA and engine."""

import itertools
import os
import random
from collections import deque

import cocotb
from cocotb.triggers import ReadOnly, RisingEdge
from pumice.spec.config import TINY
from pumice.spec.descriptor import (
    BUFFER_IMAGE,
    BUFFER_INPUT,
    COMMAND,
    LAYER,
    LOG_ENTRY_BYTES,
    OP_LAYER,
    OP_TRANSFER,
    SPACE_CPU_RAM,
    TRANSFER,
)
from pumice.spec.registers import (
    BLOCK_BASES,
    COMMAND_LOAD,
    COMMAND_RUN,
    FAULT_CODES,
    FIRMWARE_BYTES,
    LOG_BYTES,
    LOG_OFFSET,
    find,
)
from pumice_hdl.system.buses import LOG_WRITE_LAYOUT

from tests.firmware.board import Board, command, end, image, random_layer, weight_transfer
from tests.hdl.tb.streams import pack, reset, unpack

SCRATCH_END = TINY.cpu_ram_bytes // 8
SCRATCH = SCRATCH_END - 16  # RAM words that the firmware does not use
STACK_BYTES = 256  # at the end of the firmware's RAM: more than it uses


class Bench(Board):
    """Drives the soft core's ports: a layer takes ``layer_cycles``, the DMA stalls with probability ``p_stall``."""

    def __init__(self, dut, *, layer_cycles: int = 400, p_stall: float = 0.3):
        super().__init__()
        self.dut, self.layer_cycles, self.p_stall = dut, layer_cycles, p_stall
        self.rng = random.Random(cocotb.RANDOM_SEED)
        self.cycle = 0
        self.cycles: list[int] = []  # of each event
        self.layer_end: int | None = None
        self.layers_hang = self.rings = False
        self.log_words: deque[int] = deque()
        self.wrote = None  # word and cycle of the last write of noise
        self.moved = 0  # bytes of the running transfer
        self.noise: dict[int, int] | None = None  # words written by noise; None: no noise
        self.n_noise_reads = 0
        self.expected: int | None = None  # what noise must read in this cycle
        self.details: list[int] = []

    async def run(self) -> None:
        """Serve the ports for ever; every iteration is a cycle."""
        read_data = dict.fromkeys(("mailbox", "dma", "engine"), 0)
        streams = {"engine": "layers", "dma": "transfers"}
        while True:
            for name, stream in streams.items():
                takes = len(self.queue[name]) < 2 and not (name == "dma" and (self.fault_code or self.waits))
                getattr(self.dut, f"{stream}__ready").value = int(takes)
                getattr(self.dut, f"{stream}_completed").value = self.completed[name] % 2**16
            for name, value in read_data.items():
                getattr(self.dut, f"{name}__read_data").value = value
            expected, self.expected = self.expected, None
            transfer = self.drive_ram()
            self.dut.serving.value = int(self.command != 0 and not self.rings)
            self.dut.doorbell.value, self.rings = int(self.rings), False
            self.dut.log__valid.value = int(bool(self.log_words))
            self.dut.log__payload.value = self.log_words[0] if self.log_words else 0
            await ReadOnly()
            if expected is not None:
                assert int(self.dut.ram__read_data.value) == expected
                self.n_noise_reads += 1
            if transfer:
                self.moved += 8
                if self.moved > transfer["n_bytes"] + 8:  # the last word has arrived
                    self.complete("dma")
                    self.moved = 0
            if self.log_words and self.dut.log__ready.value:
                word = unpack(LOG_WRITE_LAYOUT, self.log_words.popleft())
                if self.noise is not None:
                    self.noise[word.address] = word.data
            self.run_engine()
            for name in read_data:
                address = int(getattr(self.dut, f"{name}__address").value)
                read_data[name] = self.read(name, address)
                if getattr(self.dut, f"{name}__write").value:
                    self.write(name, address, int(getattr(self.dut, f"{name}__write_data").value))
            for name, stream in streams.items():
                if getattr(self.dut, f"{stream}__valid").value and getattr(self.dut, f"{stream}__ready").value:
                    payload = int(getattr(self.dut, f"{stream}__payload").value)
                    n_words = (LAYER if name == "engine" else TRANSFER).n_words
                    self.submit(name, [payload >> 32 * i & 0xFFFFFFFF for i in range(n_words)])
            if self.dut.begun.value:
                self.completed, self.fault_code = {"dma": 0, "own": 0, "engine": 0}, 0
            if self.dut.finish.value:
                self.finish(0)
            self.cycles += [self.cycle] * (len(self.events) - len(self.cycles))
            await RisingEdge(self.dut.clk)
            self.cycle += 1

    def drive_ram(self) -> dict[str, int] | None:
        """Put the next word of the running transfer on the RAM port; the transfer, or None if it stalls."""
        dut = self.dut
        dut.ram__write.value = dut.ram__read.value = 0
        if not self.queue["dma"] or self.rng.random() < self.p_stall:
            if self.noise is not None:
                self.make_noise()
            return None
        t = TRANSFER.unpack(self.queue["dma"][0][1])
        if t["space"] == SPACE_CPU_RAM and self.moved < t["n_bytes"]:
            dut.ram__address.value = (t["local"] + self.moved) // 8
            if t["write"]:
                dut.ram__read.value = 1
            else:
                at = t["offset"] + self.moved
                dut.ram__write.value = 1
                dut.ram__write_data.value = int.from_bytes(self.buffers[t["buffer"]][at : at + 8], "little")
        return t

    def make_noise(self) -> None:
        """Use the idle RAM port and the log stream at random, on words at SCRATCH; reads are compared in `run`."""
        rng, dut = self.rng, self.dut
        address, value = rng.randrange(SCRATCH, SCRATCH_END), rng.getrandbits(64)
        if rng.random() < 0.2:  # one is taken in two cycles at most, and none when the DMA writes
            self.log_words.append(pack(LOG_WRITE_LAYOUT, {"address": address | 1, "data": value}))
        dut.ram__address.value = address
        if rng.random() < 0.3:
            dut.ram__read.value = 1
            # A write of the cycle before is not there yet.
            self.expected = None if self.wrote == (address, self.cycle - 1) else self.noise.get(address)
        elif rng.random() < 0.5:
            dut.ram__address.value = address & ~1  # odd words belong to the log stream
            dut.ram__write.value = 1
            dut.ram__write_data.value = value
            self.noise[address & ~1] = value
            self.wrote = address & ~1, self.cycle

    def run_engine(self) -> None:
        """Complete the running layer when its time is up and the previous log entry is written."""
        if not self.queue["engine"] or self.layers_hang:
            self.layer_end = None
        elif self.layer_end is None:
            self.layer_end = self.cycle + self.layer_cycles
        elif self.cycle >= self.layer_end and not self.log_words:
            n = self.completed["engine"]
            first = (LOG_OFFSET + n * LOG_ENTRY_BYTES % LOG_BYTES) // 8
            self.log_words += [pack(LOG_WRITE_LAYOUT, {"address": first + i, "data": log_word(n, i)}) for i in range(4)]
            self.complete("engine")
            self.layer_end = self.cycle + self.layer_cycles if self.queue["engine"] else None

    def write(self, name: str, offset: int, value: int) -> None:
        """The firmware writes a register; keeps what it reports as detail."""
        super().write(name, offset, value)
        if (name, offset) == ("mailbox", find("mailbox", "detail").offset):
            self.details.append(value)

    async def serve(self, command: int, more: int = 0) -> tuple[int, int]:
        """Send a command; fault and detail of its end."""
        self.ring(command, more)
        self.rings = command == COMMAND_RUN and more == 0
        self.cycles.clear()
        while self.finished is None:
            await RisingEdge(self.dut.clk)
        return self.finished

    async def load(self, *arguments, **header) -> tuple[int, int]:
        """Load an image."""
        self.buffers[BUFFER_IMAGE] = image(*arguments, **header)
        return await self.serve(COMMAND_LOAD)

    def when(self, event: str) -> list[int]:
        """Cycles of an event of the last command."""
        return [cycle for cycle, (what, _) in zip(self.cycles, self.events, strict=True) if what == event]


def log_word(n: int, i: int) -> int:
    return 0x0123_4567_0000_0000 | n << 8 | i


async def boot(dut, **options) -> Bench:
    """Reset and wait until the firmware is ready."""
    bench = Bench(dut, **options)
    await reset(dut)
    cocotb.start_soon(bench.run())
    while not bench.ready:
        await RisingEdge(dut.clk)
    dut._log.info("ready %d cycles after reset", bench.cycle)
    return bench


def three_layers(rng: random.Random) -> tuple[list[int], list[int]]:
    """A load list and a run list with three layers and two transfers."""
    load = command(OP_TRANSFER, weight_transfer(rng), 0, 0) + end(0, 1)
    run = [
        *command(OP_TRANSFER, weight_transfer(rng), 0, 0),
        *command(OP_LAYER, random_layer(rng, 0), 0, 1),
        *command(OP_LAYER, random_layer(rng, 1), 0, 1),
        *command(OP_TRANSFER, weight_transfer(rng), 1, 1),
        *command(OP_LAYER, random_layer(rng, 2), 0, 2),
        *end(3, 2),
    ]
    return load, run


def payloads(words: list[int], op: int) -> list[list[int]]:
    """Payloads of a list's commands of one kind."""
    found, at = [], 0
    while at < len(words):
        head = COMMAND.unpack(words[at:])
        if head["op"] == op:
            found.append(words[at + COMMAND.n_words : at + head["n_words"]])
        at += head["n_words"]
    return found


@cocotb.test(timeout_time=600, timeout_unit="us")
@cocotb.parametrize(layer_cycles=[400, 1], p_stall=[0.0, 0.5])
async def loads_and_runs(dut, layer_cycles, p_stall):
    bench = await boot(dut, layer_cycles=layer_cycles, p_stall=p_stall)
    load, run = three_layers(bench.rng)
    assert await bench.load(load, run, 3) == (0, 0)
    assert len(bench.submits("own")) == 3
    assert bench.submits("dma") == payloads(load, OP_TRANSFER)
    for more in (0, 0, 2, 0):  # a single sample begins without the firmware
        assert await bench.serve(COMMAND_RUN, more) == (0, 0)
        assert bench.submits("engine") == payloads(run, OP_LAYER) * (more + 1)
        assert bench.submits("dma") == payloads(run, OP_TRANSFER) * (more + 1)


@cocotb.test(timeout_time=1000, timeout_unit="us")
async def shares_the_ram(dut):
    """The firmware works, and every access of the other ports is right, while all of them contend for the RAM."""
    bench = await boot(dut, layer_cycles=100)
    load, run = three_layers(bench.rng)
    bench.noise = {}
    for _ in range(5):
        assert await bench.load(load, run, 3) == (0, 0)
        assert await bench.serve(COMMAND_RUN, 1) == (0, 0)
        assert bench.submits("engine") == payloads(run, OP_LAYER) * 2
    assert bench.n_noise_reads > 1000


@cocotb.test(timeout_time=600, timeout_unit="us")
@cocotb.parametrize(layer_cycles=[400, 1])
async def prepares_a_layer_quickly(dut, layer_cycles):
    """Long layers: cycles from a free queue to the next submit. Short ones: from submit to submit."""
    bench = await boot(dut, layer_cycles=layer_cycles, p_stall=0)
    layers = [command(OP_LAYER, random_layer(bench.rng, i), 0, 0) for i in range(8)]
    assert await bench.load(end(), [*itertools.chain(*layers), *end(8)], 8) == (0, 0)
    rang = bench.cycle
    assert await bench.serve(COMMAND_RUN) == (0, 0)
    submits = bench.when("engine submit")
    assert len(submits) == len(layers)
    if layer_cycles > 1:
        gaps = [submit - free for submit, free in zip(submits[2:], bench.when("engine completed"), strict=False)]
    else:
        gaps = [after - before for before, after in itertools.pairwise(submits)]
    dut._log.info(
        "layers of %d cycles: %s; first submit %d after the doorbell, end %d after the last layer",
        layer_cycles, gaps, submits[0] - rang, bench.cycle - bench.when("engine completed")[-1],
    )  # fmt: skip
    assert max(gaps) <= (2 if layer_cycles > 1 else 14)
    assert submits[0] - rang <= 16
    assert bench.cycle - bench.when("engine completed")[-1] <= 8


@cocotb.test(timeout_time=600, timeout_unit="us")
async def reports_faults(dut):
    bench = await boot(dut)
    load, run = three_layers(bench.rng)
    assert await bench.serve(COMMAND_RUN) == (FAULT_CODES["not_loaded"], 0)
    assert await bench.load(load, run, 3, magic=1) == (FAULT_CODES["image"], 0)
    assert await bench.load(load, [*run[:-2], 0x99, 0], 3) == (0, 0)
    assert await bench.serve(COMMAND_RUN) == (FAULT_CODES["command"], len(run) - 2)
    assert await bench.load(load, run, 3) == (0, 0)
    bench.bad_transfer = 1
    assert await bench.serve(COMMAND_RUN) == (FAULT_CODES["bus"], 0xDEAD0)
    bench.bad_transfer = None
    assert await bench.serve(COMMAND_RUN) == (0, 0)


@cocotb.test(timeout_time=1500, timeout_unit="us")
async def gives_up_a_hung_layer(dut):
    bench = await boot(dut)
    load, run = three_layers(bench.rng)
    assert await bench.load(load, run, 3) == (0, 0)
    bench.layers_hang = True
    where = BLOCK_BASES["walker"] + find("walker", "status").offset
    assert await bench.serve(COMMAND_RUN) == (FAULT_CODES["watchdog"], where)


@cocotb.test(timeout_time=600, timeout_unit="us")
async def reports_a_trap_and_lives_on(dut):
    """The firmware's stack is overwritten with ones while it serves a run: it returns to nowhere."""
    bench = await boot(dut, layer_cycles=4000)
    load, run = three_layers(bench.rng)
    assert await bench.load(load, run, 3) == (0, 0)
    bench.buffers[BUFFER_INPUT] = b"\xff" * STACK_BYTES
    ones = {
        "local": FIRMWARE_BYTES - STACK_BYTES,
        "offset": 0,
        "n_bytes": STACK_BYTES,
        "core": 0,
        "write": 0,
        "n_runs": 1,
    }
    serving = cocotb.start_soon(bench.serve(COMMAND_RUN, 1))
    while len(bench.submits("engine")) < 3:
        await RisingEdge(dut.clk)
    bench.queue["dma"].append(
        ("own", TRANSFER.pack(**ones, space=SPACE_CPU_RAM, buffer=BUFFER_INPUT, local_pitch=0, pitch=0))
    )
    fault, _ = await serving
    assert fault == FAULT_CODES["trap"]
    while bench.queue["engine"]:
        await RisingEdge(dut.clk)
    assert await bench.serve(COMMAND_RUN) == (FAULT_CODES["not_loaded"], 0)
    assert await bench.load(load, run, 3) == (0, 0)
    assert await bench.serve(COMMAND_RUN) == (0, 0)


@cocotb.test(timeout_time=600, timeout_unit="us")
async def reset_restarts_the_firmware(dut):
    """A reset forgets the image, though the RAM keeps its content."""
    bench = await boot(dut)
    load, run = three_layers(bench.rng)
    assert await bench.load(load, run, 3) == (0, 0)
    bench.ready = False
    dut.rst.value = 1
    await RisingEdge(dut.clk)
    dut.rst.value = 0
    while not bench.ready:
        await RisingEdge(dut.clk)
    assert await bench.serve(COMMAND_RUN) == (FAULT_CODES["not_loaded"], 0)


@cocotb.test(timeout_time=100, timeout_unit="us")
async def accesses_bytes_and_unknown_registers(dut):
    """Runs soft_core_accesses.S, which reports what it reads, each access in the cycles that `SoftCore` states.

    Last test, because the firmware is gone after it.
    """
    bench = Bench(dut)
    bench.command = COMMAND_LOAD  # there must be one to be ended
    program = bytes.fromhex(os.environ["PUMICE_PROGRAM"])
    await reset(dut)
    dut.rst.value = 1
    dut.ram__write.value = 1
    for i in range(0, len(program), 8):
        dut.ram__address.value = i // 8
        dut.ram__write_data.value = int.from_bytes(program[i : i + 8], "little")
        await RisingEdge(dut.clk)
    dut.ram__write.value = 0
    dut.rst.value = 0
    cocotb.start_soon(bench.run())
    cycles = {}  # of the processor's accesses, which nothing contends with: by whether they write
    n_cycles, bus = 0, dut.soft_core.cpu
    while bench.finished is None:
        await ReadOnly()
        n_cycles = n_cycles + 1 if bus.mem_valid.value else 0
        if bus.mem_valid.value and bus.mem_ready.value:
            cycles.setdefault(int(bus.mem_wstrb.value) != 0, set()).add(n_cycles)
            n_cycles = 0
        await RisingEdge(dut.clk)
    assert cycles == {False: {3}, True: {1}}
    expected = [0xCDEFAB44, 0xAB22CDEF, 0x11223344, 0xAB, 0xFFFFCDEF, TINY.config_id, 0, 0]
    assert [hex(value) for value in bench.details] == [hex(value) for value in expected]
