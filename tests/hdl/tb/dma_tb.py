"""Bench of `Dma`: exact contents of every memory, random stalls on every channel, faults and recovery, bandwidth."""

import itertools
import os
from functools import partial

import cocotb
import numpy as np
from cocotb.queue import Queue
from cocotb.triggers import ClockCycles, FallingEdge, ReadOnly, RisingEdge, Timer
from cocotb.utils import get_sim_time
from cocotbext.axi import AxiBus, AxiSlave
from pumice.spec.config import CONFIGS
from pumice.spec.descriptor import (
    BUFFERS,
    SPACE_ACTIVATIONS,
    SPACE_BANKS,
    SPACE_CPU_RAM,
    SPACE_WEIGHTS,
    TRANSFER,
)
from pumice.spec.registers import DESCRIPTOR_OFFSET, FAULT_CODES, find
from pumice_hdl.system.buses import BUFFERS_LAYOUT, activation_write_layout, weight_write_layout
from pumice_hdl.system.dma import MAX_UNANSWERED

from .registers import RegisterDriver
from .streams import PERIOD_NS, pack, reset, unpack

CONFIG = CONFIGS[os.environ["CONFIG"]]
BASE = 0xA7_FFFF_E000  # the buffers cross a multiple of 4 GB
BUFFER_BYTES = (20000, 8200, 9000, 4096, 5000)
BUFFER_STARTS = (0x1008, 0x6FF8, 0xA000, 0xD010, 0xE800)  # within memory
MEMORY_BYTES = 0x10000
ONE_RUN = dict(n_runs=1, local_pitch=0, pitch=0)
SPACE_BYTES = {
    SPACE_ACTIVATIONS: CONFIG.activation_bytes,
    SPACE_WEIGHTS: CONFIG.weight_depth * 8,
    SPACE_CPU_RAM: CONFIG.cpu_ram_bytes,
    SPACE_BANKS: CONFIG.activation_bytes,
}
PER_CORE = SPACE_WEIGHTS, SPACE_BANKS
ALL_CORES = (1 << CONFIG.n_cores) - 1
KINDS = [(0, SPACE_ACTIVATIONS), (0, SPACE_WEIGHTS), (0, SPACE_CPU_RAM), (1, SPACE_ACTIVATIONS), (1, SPACE_CPU_RAM)]
if CONFIG.n_cores > 1:  # the banks of one core of one are all
    KINDS.append((0, SPACE_BANKS))
PERIOD_STEPS = PERIOD_NS * 1000  # a step is a picosecond
test = partial(cocotb.test, timeout_time=400, timeout_unit="us")


class Memory:
    """Bytes behind the AXI model; an access outside them, or to the word ``poison``, is an error."""

    def __init__(self, rng):
        self.bytes = rng.integers(0, 256, MEMORY_BYTES, dtype=np.uint8)
        self.poison = None

    def _slice(self, address: int, n_bytes: int) -> slice:
        start = address - BASE
        if not 0 <= start <= MEMORY_BYTES - n_bytes or start == self.poison:
            raise IndexError(f"access to {address:#x}")
        return slice(start, start + n_bytes)

    async def read(self, address, n_bytes):
        """Target of the AXI model."""
        return self.bytes[self._slice(address, n_bytes)].tobytes()

    async def write(self, address, values):
        """Target of the AXI model."""
        self.bytes[self._slice(address, len(values))] = np.frombuffer(values, np.uint8)


class Latency:
    """Lets each item of an AXI sink's channel through ``latency`` cycles after it came."""

    def __init__(self, channel, latency: int):
        self._receive, self._latency, self._queue = channel.recv, latency, Queue()
        channel.queue_occupancy_limit = 64
        channel.recv = self.recv
        cocotb.start_soon(self._run())

    async def _run(self):
        while True:
            item = await self._receive()
            self._queue.put_nowait((get_sim_time("step") + self._latency * PERIOD_STEPS, item))

    async def recv(self):
        """The channel's next item."""
        due, item = await self._queue.get()
        if due > get_sim_time("step"):
            await Timer(due - get_sim_time("step"), "step")
        return item


class Bench:
    """The device with its memories; ``chip[space]`` holds bytes, for weights those of each core."""

    def __init__(self, dut, *, p_stall: float = 0.0, latency: int = 0):
        self.dut, self.p_stall = dut, p_stall
        self.rng, *rngs = np.random.default_rng(cocotb.RANDOM_SEED).spawn(12)
        self.rngs = iter(rngs)
        self.memory = Memory(self.rng)
        self.chip = {
            space: self.rng.integers(0, 256, n * (CONFIG.n_cores if space in PER_CORE else 1), dtype=np.uint8)
            for space, n in SPACE_BYTES.items()
        }
        self.registers = RegisterDriver(dut, "registers", "dma")
        self.slave = AxiSlave(AxiBus.from_prefix(dut, "memory_"), dut.clk, dut.rst, target=self.memory)
        writes, reads = self.slave.write_if, self.slave.read_if
        Latency(reads.ar_channel, latency)
        for channel in (writes.aw_channel, writes.w_channel, writes.b_channel, reads.ar_channel, reads.r_channel):
            if p_stall:
                channel.set_pause_generator(self._stalls(next(self.rngs)))
        self.beats, self.bursts = [], {"ar": [], "aw": []}
        self.expected = dict(completed=0, read_bytes=0, write_bytes=0)
        self.n_own = self.n_log = 0  # submitted as the firmware's and the log's since clear

    def _stalls(self, rng):
        while True:
            yield rng.random() < self.p_stall

    async def start(self):
        """Reset the device and start what answers it."""
        dut = self.dut
        for name in ("activation_writes", "weight_writes", "activation_reads"):
            getattr(dut, f"engine__{name}__ready").value = 0
        dut.engine__activation_data__valid.value = dut.clear.value = 0
        dut.transfers__valid.value = dut.log__valid.value = 0
        dut.buffers.value = pack(
            BUFFERS_LAYOUT,
            [{"base": BASE + s, "bytes": n} for s, n in zip(BUFFER_STARTS, BUFFER_BYTES, strict=True)],
        )
        await reset(dut)
        for task in (self._writes("activation_writes", activation_write_layout(CONFIG)), self._ram(), self._watch()):
            cocotb.start_soon(task)
        cocotb.start_soon(self._writes("weight_writes", weight_write_layout(CONFIG)))
        cocotb.start_soon(self._reads())
        return self

    async def _writes(self, name, layout):
        """Store what a stream writes."""
        dut, rng, held = self.dut, next(self.rngs), None
        valid, payload, ready = (getattr(dut, f"engine__{name}__{s}") for s in ("valid", "payload", "ready"))
        while True:
            ready.value = int(rng.random() >= self.p_stall)
            await RisingEdge(dut.clk)
            item = int(payload.value) if valid.value else None
            assert held is None or item == held, f"{name}: a stalled payload changed"
            held = None if ready.value else item
            if item is not None and ready.value:
                word = unpack(layout, item)
                space = SPACE_ACTIVATIONS if name == "activation_writes" else SPACE_WEIGHTS
                start = word.address
                if space == SPACE_ACTIVATIONS and word.cores != ALL_CORES:
                    core = word.cores.bit_length() - 1
                    assert word.cores == 1 << core, "one core or all"
                    space, start = SPACE_BANKS, core * CONFIG.activation_bytes + word.address
                elif space == SPACE_WEIGHTS:
                    start = (word.core * CONFIG.weight_depth + word.address) * 8
                self.store(space, start, word.data)

    def store(self, space, start, word):
        """Write a word on the chip."""
        self.chip[space][start : start + 8] = np.frombuffer(word.to_bytes(8, "little"), np.uint8)

    def load(self, space, start):
        """Read a word on the chip."""
        assert start % 8 == 0
        return int.from_bytes(self.chip[space][start : start + 8].tobytes(), "little")

    async def _reads(self):
        """Answer activation reads in order, some cycles later."""
        dut, rng, waiting = self.dut, next(self.rngs), []
        while True:
            dut.engine__activation_reads__ready.value = int(rng.random() >= self.p_stall)
            due = waiting and waiting[0][0] <= 0 and rng.random() >= self.p_stall
            dut.engine__activation_data__valid.value = int(bool(due))
            dut.engine__activation_data__payload.value = waiting.pop(0)[1] if due else 0
            await RisingEdge(dut.clk)
            waiting = [(age - 1, word) for age, word in waiting]
            if dut.engine__activation_reads__valid.value and dut.engine__activation_reads__ready.value:
                word = self.load(SPACE_ACTIVATIONS, int(dut.engine__activation_reads__payload.value))
                waiting.append((4, word))
                assert len(waiting) <= 16

    async def _ram(self):
        ram = {s: getattr(self.dut, f"ram__{s}") for s in ("address", "write_data", "write", "read", "read_data")}
        while True:
            await RisingEdge(self.dut.clk)
            write, read = int(ram["write"].value), int(ram["read"].value)
            start = int(ram["address"].value) * 8
            assert not (write and read)
            if write:
                self.store(SPACE_CPU_RAM, start, int(ram["write_data"].value))
            ram["read_data"].value = self.load(SPACE_CPU_RAM, start) if read else int(self.rng.integers(1 << 62))

    async def _watch(self):
        """Check each burst's constants and that stalled payloads hold; note bursts and the cycles of data beats."""
        dut, held, cycle = self.dut, {}, 0
        payloads = {"ar": ("addr", "len", "size", "burst", "cache", "prot"), "w": ("data", "strb", "last")}
        payloads["aw"] = payloads["ar"]
        pins = {c: [getattr(dut, f"memory__{c}{p}") for p in names] for c, names in payloads.items()}
        valids, readies = ({c: getattr(dut, f"memory__{c}{s}") for c in (*pins, "r")} for s in ("valid", "ready"))
        while True:
            await RisingEdge(dut.clk)
            cycle += 1
            for c, pin in pins.items():
                payload = [int(p.value) for p in pin] if valids[c].value else None
                assert c not in held or payload == held[c], f"{c}: a stalled payload changed"
                held.pop(c, None)
                if payload and not readies[c].value:
                    held[c] = payload
                elif payload and c != "w":
                    assert payload[1] < 16
                    assert payload[2:] == [3, 1, 0b0011, 0]
                    self.bursts[c].append((payload[0], payload[1] + 1))
                elif payload:
                    assert payload[1] != 0
                    self.beats.append(cycle)
            if valids["r"].value and readies["r"].value:
                self.beats.append(cycle)

    async def submit(self, **transfer):
        """Queue a transfer when there is room, by a stream or as the firmware's own; after a fault by none."""
        words = TRANSFER.pack(**(ONE_RUN | transfer))
        source = self.rng.choice(["transfers", "log", "own"])
        if source != "own":
            valid, payload, ready = (getattr(self.dut, f"{source}__{s}") for s in ("valid", "payload", "ready"))
            await self.registers.read("status")  # its value stays on the bus
            payload.value = sum(word << 32 * i for i, word in enumerate(words))
            valid.value = 1
            done = has_failed = False
            while not done and not has_failed:
                await ReadOnly()
                has_failed = int(self.dut.registers__read_data.value) >> find("dma", "status", "fault").lsb
                done = ready.value
                await FallingEdge(self.dut.clk)
            valid.value = 0
            self.n_log += source == "log"
        else:
            while await self.registers.read("status", "waits"):
                pass
            for i, word in enumerate(words):
                await self.registers.write_word(DESCRIPTOR_OFFSET + 4 * i, word)
            await self.registers.write("submit")
            self.n_own += 1
        assert await self.registers.read("status", "busy") or await self.registers.read("status", "fault")

    async def idle(self):
        """Wait until nothing runs or waits."""
        while await self.registers.read("status", "busy"):
            pass

    def apply(
        self, golden, *, write, space, buffer, core, local, offset, n_bytes, n_runs=1, local_pitch=0, pitch=0, counts=1
    ):
        """What a transfer does to ``golden``: (memory, chip)."""
        memory, chip = golden
        local += core * SPACE_BYTES[space] if space in PER_CORE else 0
        for run in range(n_runs):
            start, here = BUFFER_STARTS[buffer] + offset + run * pitch, local + run * local_pitch
            before, after = start % 8, -(start + n_bytes) % 8
            if write:
                memory[start : start + n_bytes] = chip[space][here : here + n_bytes]
            else:  # whole words
                chip[space][here - before : here + n_bytes + after] = memory[start - before : start + n_bytes + after]
            self.expected["write_bytes" if write else "read_bytes"] += before + n_bytes + after
        self.expected["completed"] += counts

    def golden(self):
        """Copies of memory and chip, for `apply`."""
        return self.memory.bytes.copy(), {space: values.copy() for space, values in self.chip.items()}

    def random_transfer(self, write=None, space=None, n_bytes=None):
        """A valid transfer, of what is not given at random."""
        rng = self.rng
        if space is None:
            write, space = KINDS[rng.integers(len(KINDS))]
        buffer = int(rng.integers(len(BUFFERS)))
        if n_bytes is None:
            n_bytes = 8 * int(rng.integers(1, rng.choice([2, 17, 40, 513])))
        n_bytes = min(n_bytes, BUFFER_BYTES[buffer], SPACE_BYTES[space])
        return dict(
            write=write,
            space=space,
            buffer=buffer,
            core=int(rng.integers(CONFIG.n_cores)),
            local=8 * int(rng.integers((SPACE_BYTES[space] - n_bytes) // 8 + 1)),
            offset=8 * int(rng.integers((BUFFER_BYTES[buffer] - n_bytes) // 8 + 1)),
            n_bytes=n_bytes,
        )

    def random_runs(self, write, space):
        """A valid transfer of several runs of any alignment; those on the chip do not share words."""
        rng, align = self.rng, int(self.rng.integers(8))
        n_runs, n_bytes = int(rng.integers(2, 12)), int(rng.integers(1, rng.choice([8, 60, 300])))
        pitches = [n_bytes + 8 + 8 * int(rng.integers(8)) for _ in range(2)]
        pitches[1] += (pitches[0] - pitches[1]) % 8
        place = [align + 8 * int(rng.integers(100)) for _ in range(2)]
        return dict(
            write=write, space=space, buffer=int(rng.integers(4)), core=int(rng.integers(CONFIG.n_cores)),
            local=place[0], offset=place[1], n_bytes=n_bytes, n_runs=min(n_runs, 3000 // max(pitches)),
            local_pitch=pitches[0], pitch=pitches[1],
        )  # fmt: skip

    async def check(self, golden, fault="none"):
        """Once idle: contents, counters and fault."""
        await self.idle()
        await ClockCycles(self.dut.clk, 50)  # anything that still comes would be seen
        assert np.array_equal(self.memory.bytes, golden[0])
        for space, values in golden[1].items():
            assert np.array_equal(self.chip[space], values), space
        n_own, n_log = await self.registers.read("own_completed"), int(self.dut.log_completed.value)
        n_others = n_own + n_log
        assert await self.registers.read("completed") == self.expected["completed"] - n_others
        for name, value in self.expected.items():
            assert int(getattr(self.dut, name).value) == value - n_others * (name == "completed"), name
        for n, n_submitted in ((n_own, self.n_own), (n_log, self.n_log)):
            assert n == n_submitted if fault == "none" else n <= n_submitted
        assert await self.registers.read("status", "fault") == FAULT_CODES[fault]

    async def clear(self):
        """Clear the device's counters and fault, by the register or the port."""
        if self.rng.random() < 0.5:
            await self.registers.write("clear")
        else:
            self.dut.clear.value = 1
            await FallingEdge(self.dut.clk)
            self.dut.clear.value = 0
        self.expected = dict.fromkeys(self.expected, 0)
        self.n_own = self.n_log = 0


@test()
@cocotb.parametrize(p_stall=[0.0, 0.3, 0.7])
async def transfers_move_exactly_their_bytes(dut, p_stall):
    bench = await Bench(dut, p_stall=p_stall, latency=int(p_stall * 30)).start()
    golden = bench.golden()
    sizes = [8, 16, 120, 128, 136, 4096]
    transfers = [bench.random_transfer(*kind, n_bytes=n) for kind in KINDS for n in (sizes[:5] if p_stall else sizes)]
    transfers += [bench.random_transfer() for _ in range(15)]
    for i in bench.rng.permutation(len(transfers)):
        await bench.submit(**transfers[i])
        bench.apply(golden, **transfers[i])
        if bench.rng.random() < 0.2:
            await bench.idle()
    await bench.check(golden)
    for channel in bench.bursts.values():
        assert any(n == 16 for _, n in channel)
        assert all(address % 4096 + 8 * n <= 4096 for address, n in channel)


@test()
@cocotb.parametrize(p_stall=[0.0, 0.3, 0.7])
async def runs_move_exactly_their_bytes(dut, p_stall):
    """Transfers of one run among those of several; a run of the log buffer's 4096 bytes does not leave it."""
    bench = await Bench(dut, p_stall=p_stall, latency=int(p_stall * 30)).start()
    golden = bench.golden()
    for _ in range(10):
        for kind in bench.rng.permutation(KINDS):
            transfer = bench.random_runs(*map(int, kind)) if bench.rng.random() < 0.7 else bench.random_transfer()
            await bench.submit(**transfer)
            bench.apply(golden, **transfer)
    await bench.check(golden)


@test()
async def later_run_out_of_bounds_is_a_fault(dut):
    """The runs in front of it are moved; it is not, and the transfer does not count."""
    bench = await Bench(dut, latency=20).start()
    for write in (0, 1):
        golden = bench.golden()
        runs = dict(write=write, space=SPACE_ACTIVATIONS, buffer=1, core=0, local=16, n_bytes=40, local_pitch=64)
        runs |= dict(pitch=96, offset=BUFFER_BYTES[1] - 96 * 3)
        await bench.submit(**runs, n_runs=5)
        bench.apply(golden, **runs, n_runs=3, counts=0)
        await bench.check(golden, "bounds")
        assert await bench.registers.read("fault_address") == (BASE + BUFFER_STARTS[1] + BUFFER_BYTES[1]) & 0xFFFF_FFFF
        await bench.clear()


@test()
async def failed_write_of_several_runs(dut):
    """The fault names the burst; what follows is dropped, and the DMA works again after a clear."""
    bench = await Bench(dut, latency=20).start()
    runs = dict(write=1, space=SPACE_ACTIVATIONS, buffer=0, core=0, local=16, n_bytes=40, local_pitch=64)
    runs |= dict(pitch=96, offset=256, n_runs=30)
    bench.memory.poison = BUFFER_STARTS[0] + 256 + 10 * 96
    await bench.submit(**runs)
    await bench.idle()
    assert await bench.registers.read("status", "fault") == FAULT_CODES["bus"]
    assert await bench.registers.read("fault_address") == (BASE + bench.memory.poison) & 0xFFFF_FFFF
    assert await bench.registers.read("completed") == 0
    assert len(bench.bursts["aw"]) < 30
    bench.memory.poison = None
    await bench.clear()
    golden = bench.golden()
    await bench.submit(**runs)
    bench.apply(golden, **runs)
    await bench.check(golden)


@test()
async def words_follow_each_other_through_memory(dut):
    """A read that follows a write of the same bytes sees them."""
    bench = await Bench(dut, latency=2).start()
    golden = bench.golden()
    bench.slave.write_if.w_channel.set_pause_generator(itertools.cycle([1, 1, 1, 0]))
    for i in range(12):
        n_bytes = 8 * int(bench.rng.integers(1, 30))
        place = dict(buffer=2, core=0, offset=64 * i, n_bytes=n_bytes)
        for transfer in (
            dict(write=1, space=SPACE_CPU_RAM, local=1024 * i, **place),
            dict(write=0, space=SPACE_ACTIVATIONS, local=256 * i, **place),
        ):
            await bench.submit(**transfer)
            bench.apply(golden, **transfer)
    await bench.check(golden)


def at_the_end(write, space, n_bytes=64):
    """A transfer of the last bytes of the last core's memory and of the input buffer."""
    return dict(
        write=write,
        space=space,
        buffer=1,
        core=CONFIG.n_cores - 1,
        local=SPACE_BYTES[space] - n_bytes,
        offset=BUFFER_BYTES[1] - n_bytes,
        n_bytes=n_bytes,
    )


@test()
async def last_words_are_within_bounds(dut):
    bench = await Bench(dut).start()
    golden = bench.golden()
    whole = dict(write=0, space=SPACE_CPU_RAM, buffer=1, core=0, local=0, offset=0, n_bytes=BUFFER_BYTES[1])
    for transfer in (whole, *(at_the_end(*kind) for kind in KINDS)):
        await bench.submit(**transfer)
        bench.apply(golden, **transfer)
    await bench.check(golden)


@test()
async def bounds_faults_touch_nothing(dut):
    bench = await Bench(dut).start()
    golden = bench.golden()
    bad = [
        at_the_end(*kind) | change
        for kind in KINDS
        for change in (
            {"offset": BUFFER_BYTES[1] - 56},
            {"local": SPACE_BYTES[kind[1]] - 56},
            {"offset": 0, "local": 0, "n_bytes": 0},
            {"offset": 4, "local": 0},
            {"offset": 0, "local": 4},
            {"offset": BUFFER_BYTES[1] - 64, "n_bytes": 65},
            {"offset": 0, "local": 0, "n_runs": 0},
            {"offset": 0, "local": 0, "buffer": len(BUFFERS)},
            {"offset": 0, "local": 0, "n_bytes": (1 << 32) - 8},
            {"offset": (1 << 32) - 8, "local": 0, "n_bytes": 16},
            {"offset": 0, "local": (1 << 32) - 8, "n_bytes": 16},
            {"core": CONFIG.n_cores},
            {"write": 1, "space": SPACE_WEIGHTS},
            {"write": 1, "space": SPACE_BANKS},
        )
    ]
    for transfer in bad:
        await bench.submit(**transfer)
        await bench.submit(**bench.random_transfer())  # dropped
        await bench.check(golden, "bounds")
        if transfer["buffer"] < len(BUFFERS):
            address = BASE + BUFFER_STARTS[transfer["buffer"]] + (transfer["offset"] & ~7)
            assert await bench.registers.read("fault_address") == address & 0xFFFF_FFFF
        assert bench.bursts == {"ar": [], "aw": []}
        assert bench.beats == []
        await bench.clear()
        assert await bench.registers.read("status", "fault") == 0
    good = bench.random_transfer(0, SPACE_ACTIVATIONS)
    await bench.submit(**good)
    bench.apply(golden, **good)
    await bench.check(golden)


@test()
async def bounds_fault_waits_for_the_transfer_before_it(dut):
    bench = await Bench(dut, latency=40).start()
    golden = bench.golden()
    first = bench.random_transfer(0, SPACE_ACTIVATIONS, 1024)
    await bench.submit(**first)
    await bench.submit(**(first | {"n_bytes": 0}))
    await ClockCycles(dut.clk, 10)
    assert await bench.registers.read("status", "busy") == 1
    assert await bench.registers.read("status", "fault") == 0
    bench.apply(golden, **first)
    await bench.check(golden, "bounds")


@test()
@cocotb.parametrize(kind=KINDS[:1] + KINDS[3:4], p_stall=[0.0, 0.5])
async def bus_errors_stop_the_dma_until_clear(dut, kind, p_stall):
    bench = await Bench(dut, p_stall=p_stall, latency=20).start()
    write, space = kind
    for _ in range(4):
        golden = bench.golden()
        before, failing, after = (bench.random_transfer(write, space, 8 * n) for n in (20, 90, 30))
        failing |= {"buffer": 0}
        start = BUFFER_STARTS[0] + failing["offset"]
        n_good = int(bench.rng.integers(90))
        bench.memory.poison = start + 8 * n_good
        for transfer in (before, after):
            transfer |= {"buffer": 2, "offset": min(transfer["offset"], BUFFER_BYTES[2] - 8 * 30) // 8 * 8}
        # a destination of its own for the transfer before, so that the failing one's untouched bytes are known
        if before["local"] < failing["local"] + 720 and failing["local"] < before["local"] + 160:
            before["local"] = (failing["local"] + 1024) % (SPACE_BYTES[space] - 1024)
        for transfer in (before, failing, after):
            await bench.submit(**transfer)
        bench.apply(golden, **before)
        await bench.idle()
        burst_start = (bench.memory.poison + BASE) & ~127
        if write:  # the memory is written around the word that failed, perhaps behind it; counting ends at the answer
            counted = int(dut.write_bytes.value)
            assert 160 <= counted <= 160 + 720 + 240
            bench.expected["write_bytes"] = counted
            written = BUFFER_STARTS[2] + after["offset"]
            data = golden[1][space][after["local"] : after["local"] + 240]
            if np.array_equal(bench.memory.bytes[written : written + 240], data):
                golden[0][written : written + 240] = data
            golden[0][start : start + 720] = golden[1][space][failing["local"] : failing["local"] + 720]
            golden[0][bench.memory.poison : bench.memory.poison + 8] = bench.memory.bytes[
                bench.memory.poison : bench.memory.poison + 8
            ]
            expected_address = max(burst_start, BASE + start)
        else:
            good = failing | {"n_bytes": 8 * n_good}
            if n_good:
                bench.apply(golden, **good)
                bench.expected["completed"] -= 1
            expected_address = BASE + bench.memory.poison
        await bench.check(golden, "bus")
        assert await bench.registers.read("fault_address") == expected_address & 0xFFFF_FFFF
        await bench.submit(**after)  # dropped: the fault stands
        await bench.check(golden, "bus")
        bench.memory.poison = None
        await bench.clear()
        await bench.submit(**after)
        bench.apply(golden, **after)
        await bench.check(golden)
        await bench.clear()


@test()
@cocotb.parametrize(kind=KINDS)
async def data_flows_a_word_a_cycle(dut, kind):
    """Of two queued transfers: the cycles of each one's beats, and the cycles between them."""
    bench = await Bench(dut, latency=40).start()
    golden = bench.golden()
    n_bytes = min(8192, SPACE_BYTES[kind[1]])
    n_words = n_bytes // 8
    for offset in (0, 512):
        transfer = dict(write=kind[0], space=kind[1], buffer=0, core=0, local=0, offset=offset, n_bytes=n_bytes)
        await bench.submit(**transfer)
        bench.apply(golden, **transfer)
    await bench.check(golden)
    assert len(bench.beats) == 2 * n_words
    cycles = [bench.beats[i + n_words - 1] - bench.beats[i] + 1 for i in (0, n_words)]
    pause = bench.beats[n_words] - bench.beats[n_words - 1] - 1
    dut._log.info(f"write={kind[0]} space={kind[1]}: {n_words} words in {cycles} cycles, {pause} cycles between")
    assert max(cycles) * 95 <= n_words * 100
    assert pause <= (0 if kind[0] == 0 else 20)


@test()
@cocotb.parametrize(write=[0, 1])
async def runs_follow_each_other_quickly(dut, write):
    """Runs of 57 words, as many as 4 rows of a map of 112 columns have, leave the port idle for less than a quarter."""
    bench = await Bench(dut, latency=40).start()
    golden = bench.golden()
    runs = dict(write=write, space=SPACE_ACTIVATIONS, buffer=0, core=0, local=0, offset=0, n_bytes=452)
    runs |= dict(n_runs=15, local_pitch=460, pitch=1020)
    await bench.submit(**runs)
    bench.apply(golden, **runs)
    await bench.check(golden)
    cycles = bench.beats[-1] - bench.beats[0] + 1
    dut._log.info(f"write={write}: {len(bench.beats)} words in {cycles} cycles")
    assert len(bench.beats) >= 15 * 57
    assert cycles * 75 <= len(bench.beats) * 100


@test()
async def writes_do_not_wait_for_answers(dut):
    """Two writes leave while none is answered, a third one up to its last burst that may be unanswered."""
    bench = await Bench(dut).start()
    answers = bench.slave.write_if.b_channel
    answers.pause, answers.queue_occupancy_limit = True, 2 * MAX_UNANSWERED
    golden = bench.golden()
    n_words = 16 * MAX_UNANSWERED  # in bursts of 16
    for n_bytes in (40, 24, 8 * n_words):
        transfer = dict(write=1, space=SPACE_ACTIVATIONS, buffer=0, core=0, local=0, offset=0, n_bytes=n_bytes)
        await bench.submit(**transfer)
        bench.apply(golden, **transfer)
    await ClockCycles(dut.clk, 2 * n_words)
    first_burst = 16 - (BASE + BUFFER_STARTS[0]) // 8 % 16
    assert len(bench.beats) == 5 + 3 + first_burst + 16 * (MAX_UNANSWERED - 3)
    assert await bench.registers.read("completed") == 0
    answers.pause = False
    await bench.check(golden)


@test()
async def the_log_gives_precedence(dut):
    """Of transfers that are offered together those of the list go first."""
    bench = await Bench(dut).start()
    golden = bench.golden()
    first, second, log = (
        dict(write=0, space=SPACE_CPU_RAM, buffer=0, core=0, local=0, offset=at, n_bytes=64) for at in (0, 64, 128)
    )

    def offer(name, transfer):
        words = TRANSFER.pack(**(ONE_RUN | transfer))
        getattr(dut, f"{name}__payload").value = sum(word << 32 * i for i, word in enumerate(words))
        getattr(dut, f"{name}__valid").value = 1

    await FallingEdge(dut.clk)
    offer("transfers", first)
    offer("log", log)
    order = []
    while len(order) < 3:
        await ReadOnly()
        ports = {
            name: (getattr(dut, f"{name}__valid"), getattr(dut, f"{name}__ready")) for name in ("transfers", "log")
        }
        taken = [name for name, (valid, ready) in ports.items() if valid.value and ready.value]
        assert len(taken) < 2
        order += taken
        await FallingEdge(dut.clk)
        if order == ["transfers"]:
            offer("transfers", second)
        elif taken:
            dut.transfers__valid.value = 0
    dut.log__valid.value = 0
    assert order == ["transfers", "transfers", "log"]
    for transfer in (first, second, log):
        bench.apply(golden, **transfer)
    bench.n_log = 1
    await bench.check(golden)
