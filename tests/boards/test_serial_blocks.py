"""The serial link's blocks, each on its own, in Amaranth's simulator, against the host's code."""

import logging

import numpy as np
import pytest
from amaranth import Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.sim import Simulator
from pumice.device.serial import decode_frame, encode_frame
from pumice.spec.link import END, ESCAPE, LINK_REQUEST, LINK_RESPONSE, MAX_WORDS, SPACE_MEMORY, SPACE_REGISTERS
from pumice_hdl.serial.frames import FrameReceiver, FrameTransmitter
from pumice_hdl.serial.link import Link
from pumice_hdl.serial.memory import READ_AHEAD, OnChipMemory
from pumice_hdl.serial.uart import UartReceiver, UartTransmitter

SEED = 3
PERIOD_S = 1e-8
LIMIT = 50_000  # cycles that anything may take
MEMORY_BYTES = 4096
log = logging.getLogger(__name__)


@pytest.fixture
def rng():
    log.info("seed %d", SEED)
    return np.random.default_rng(SEED)


def simulate(*parts, testbenches, background=()) -> None:
    """Run a design of ``parts`` until all ``testbenches`` have ended; each must end itself."""
    m = Module()
    m.submodules += parts
    simulator = Simulator(m)
    simulator.add_clock(PERIOD_S)
    for testbench in testbenches:
        simulator.add_testbench(testbench)
    for testbench in background:
        simulator.add_testbench(testbench, background=True)
    simulator.run()


def special_bytes(rng, n: int) -> bytes:
    """Half of them bytes that need an escape."""
    plain = rng.integers(0, 256, n)
    return bytes(np.where(rng.random(n) < 0.5, rng.choice([END, ESCAPE, 0xDC, 0xDD], n), plain).astype(np.uint8))


async def until(ctx, condition, *values, limit: int = LIMIT) -> list[int]:
    """Wait for a tick at which ``condition`` holds; ``values`` then. Amaranth's own leaves a generator behind."""
    for _ in range(limit):
        _, _, holds, *sampled = await ctx.tick().sample(condition, *values)
        if holds:
            return sampled
    raise AssertionError(f"nothing within {limit} cycles")


async def take(ctx, stream, n: int, rng, *, limit: int = LIMIT) -> list[int]:
    """``n`` payloads of a stream, as integers; stalls it unless it is always ready."""
    got, value = [], Value.cast(stream.payload)
    for _ in range(limit):
        is_ready = isinstance(stream.ready, Const) or rng.random() < 0.3
        if not isinstance(stream.ready, Const):
            ctx.set(stream.ready, is_ready)
        _, _, valid, payload = await ctx.tick().sample(stream.valid, value)
        if valid and is_ready:
            got.append(payload)
            if len(got) == n:
                if not isinstance(stream.ready, Const):
                    ctx.set(stream.ready, 0)
                return got
    raise AssertionError(f"only {len(got)} of {n} came within {limit} cycles")


async def feed(ctx, stream, data: bytes) -> None:
    """Bytes into a stream that is always ready, as a receiver gives them: some cycles apart."""
    for byte in data:
        ctx.set(stream.payload, byte)
        ctx.set(stream.valid, 1)
        await ctx.tick()
        ctx.set(stream.valid, 0)
        await ctx.tick().repeat(3)


@pytest.mark.parametrize(("divider", "glitches"), [(4, False), (5, False), (20, True)])
def test_uart(divider, glitches, rng):
    m = Module()
    m.submodules.transmitter = transmitter = UartTransmitter(divider)
    m.submodules.receiver = receiver = UartReceiver(divider)
    glitch = Signal()
    m.d.comb += receiver.pin.eq(transmitter.pin ^ glitch)
    data = special_bytes(rng, 60)

    async def send(ctx):
        await ctx.tick().repeat(5)
        for byte in data:
            ctx.set(transmitter.bytes.payload, byte)
            ctx.set(transmitter.bytes.valid, 1)
            await until(ctx, transmitter.bytes.ready)
            ctx.set(transmitter.bytes.valid, 0)
            if rng.random() < 0.5:
                await ctx.tick().repeat(int(rng.integers(1, 3 * divider)))

    async def disturb(ctx):
        wait = 20
        while True:
            wait = int(rng.integers(5, 40)) if wait == 0 else wait - 1
            ctx.set(glitch, glitches and wait == 0)
            await ctx.tick()

    async def receive(ctx):
        assert bytes(await take(ctx, receiver.bytes, len(data), rng)) == data

    simulate(m, testbenches=[send, receive], background=[disturb])


@pytest.mark.parametrize("divider", [0, 3])
def test_uart_refuses_a_divider(divider):
    with pytest.raises(ValueError, match="at least 4 clock cycles a bit"):
        UartReceiver(divider)


def random_words(rng, n: int) -> list[int]:
    return [int.from_bytes(special_bytes(rng, 4), "little") for _ in range(n)]


def test_frame_receiver_equals_the_hosts_decoder(rng):
    """Whole, damaged and cut frames, with and without an END between them."""
    wire = bytearray()
    for _ in range(80):
        frame = bytearray(encode_frame(random_words(rng, int(rng.integers(1, 6)))))
        place, kind = int(rng.integers(len(frame))), rng.integers(4)
        if kind == 0:
            frame[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            del frame[place]
        elif kind == 2:
            frame.insert(place, frame[place])
        wire += frame
    *bodies, rest = bytes(wire + bytes([END])).split(bytes([END]))
    expected = [words for words in map(decode_frame, bodies) if words is not None]
    assert not rest
    assert 20 < len(expected) < 80
    receiver = FrameReceiver()
    got, frame = [], []

    async def send(ctx):
        await feed(ctx, receiver.bytes, bytes([*wire, END]))

    async def watch(ctx):
        while True:
            _, _, valid, word, end, ok = await ctx.tick().sample(
                receiver.words.valid, receiver.words.payload, receiver.end, receiver.ok
            )
            if valid:
                frame.append(word)
            if end:
                if ok:
                    got.append(frame[:-1])
                frame.clear()

    simulate(receiver, testbenches=[send], background=[watch])
    assert got == expected


def test_frame_transmitter_equals_the_hosts_encoder(rng):
    frames = [random_words(rng, int(n)) for n in [1, 1, *rng.integers(1, 7, 20)]]
    wire = b"".join(map(encode_frame, frames))
    transmitter = FrameTransmitter()

    async def send(ctx):
        for frame in frames:
            for i, word in enumerate(frame):
                while rng.random() < 0.3:
                    await ctx.tick()
                ctx.set(transmitter.words.payload, {"data": word, "last": i == len(frame) - 1})
                ctx.set(transmitter.words.valid, 1)
                await until(ctx, transmitter.words.ready)
                ctx.set(transmitter.words.valid, 0)

    async def receive(ctx):
        assert bytes(await take(ctx, transmitter.bytes, len(wire), rng)) == wire

    simulate(transmitter, testbenches=[send, receive])


def test_memory_serves_both_ports(rng):
    """Bursts of every length in the upper half while the link reads and writes the lower one; then outside."""
    memory = OnChipMemory(MEMORY_BYTES)
    axi, link = memory.axi, memory.link
    half = MEMORY_BYTES // 16
    lengths = [1, 2, 16, READ_AHEAD + 1, *rng.integers(1, 17, 12)]

    async def write_burst(ctx, word: int, data: list[int]) -> int:
        ctx.set(axi.awaddr, 8 * word)
        ctx.set(axi.awvalid, 1)
        await until(ctx, axi.awready)
        ctx.set(axi.awvalid, 0)
        for i, value in enumerate(data):
            while rng.random() < 0.3:
                await ctx.tick()
            ctx.set(axi.wdata, value)
            ctx.set(axi.wlast, i == len(data) - 1)
            ctx.set(axi.wvalid, 1)
            await until(ctx, axi.wready)
            ctx.set(axi.wvalid, 0)
        ctx.set(axi.bready, 1)
        (response,) = await until(ctx, axi.bvalid, axi.bresp)
        ctx.set(axi.bready, 0)
        return response

    async def read_burst(ctx, word: int, n: int) -> list[tuple[int, int, int]]:
        ctx.set(axi.araddr, 8 * word)
        ctx.set(axi.arlen, n - 1)
        ctx.set(axi.arvalid, 1)
        await until(ctx, axi.arready)
        ctx.set(axi.arvalid, 0)
        await ctx.tick().repeat(3 * READ_AHEAD)  # what was read ahead must wait
        beats = []
        for _ in range(LIMIT):
            ready = rng.random() < 0.6
            ctx.set(axi.rready, ready)
            _, _, valid, *beat = await ctx.tick().sample(axi.rvalid, axi.rdata, axi.rlast, axi.rresp)
            if valid and ready:
                beats.append(tuple(beat))
            if len(beats) == n:
                break
        ctx.set(axi.rready, 0)
        return beats

    async def bursts(ctx):
        for n in map(int, lengths):
            start = half + int(rng.integers(half - n))
            data = [int(value) for value in rng.integers(0, 1 << 63, n)]
            assert await write_burst(ctx, start, data) == 0
            assert await read_burst(ctx, start, n) == [(value, i == n - 1, 0) for i, value in enumerate(data)]
        outside = MEMORY_BYTES // 8
        assert await write_burst(ctx, outside + half, [0]) == 3
        assert [response for *_, response in await read_burst(ctx, outside, 2)] == [3, 3]

    async def words(ctx):
        model = {}
        for _ in range(150):
            address, value = 4 * int(rng.integers(2 * half)), int(rng.integers(1 << 32))
            write = address not in model or rng.random() < 0.5
            ctx.set(link.address, address + MEMORY_BYTES * int(rng.integers(3)))
            ctx.set(link.write_data, value)
            ctx.set(link.write if write else link.read, 1)
            await ctx.tick()
            ctx.set(link.write if write else link.read, 0)
            (found,) = await until(ctx, link.done, link.read_data)
            if write:
                model[address] = value
            else:
                assert found == model[address]

    simulate(memory, testbenches=[bursts, words])


@pytest.mark.parametrize("n_bytes", [2048, 5000])
def test_memory_refuses_a_size(n_bytes):
    with pytest.raises(ValueError, match="power of two, at least 4096"):
        OnChipMemory(n_bytes)


class LinkBench:
    """A link between the host's code and a memory and registers that remember what was written to them."""

    def __init__(self, rng):
        self.rng, self.m = rng, Module()
        self.m.submodules.link = self.link = Link(MEMORY_BYTES)
        self.m.submodules.memory = memory = OnChipMemory(MEMORY_BYTES)
        wiring.connect(self.m, self.link.memory, memory.link)
        self.writes: list[tuple[int, int]] = []  # address, value, in order

    async def registers(self, ctx):
        """Reads give the address, inverted; W is taken before AW."""
        axi = self.link.registers

        async def taken(valid, ready, *values) -> list[int]:
            ctx.set(ready, 1)
            sampled = await until(ctx, valid, *values)
            ctx.set(ready, 0)
            return sampled

        async def answer(valid, ready) -> None:
            ctx.set(valid, 1)
            await until(ctx, ready)
            ctx.set(valid, 0)

        while True:
            (write,) = await until(ctx, axi.wvalid | axi.arvalid, axi.wvalid)
            if write:
                (value,) = await taken(axi.wvalid, axi.wready, axi.wdata)
                (address,) = await taken(axi.awvalid, axi.awready, axi.awaddr)
                self.writes.append((address, value))
                await answer(axi.bvalid, axi.bready)
            else:
                (address,) = await taken(axi.arvalid, axi.arready, axi.araddr)
                ctx.set(axi.rdata, ~address & 0xFFFF_FFFF)
                await answer(axi.rvalid, axi.rready)

    async def ask(self, ctx, wire: bytes, *, limit: int = 60_000) -> list[int] | None:
        """Words of the answer to what is fed; None when nothing comes."""
        await feed(ctx, self.link.received, wire)
        got = bytearray()
        ctx.set(self.link.sent.ready, 1)
        for _ in range(limit):
            _, _, valid, byte = await ctx.tick().sample(self.link.sent.valid, self.link.sent.payload)
            if valid:
                got.append(byte)
                if byte == END and len(got) > 1:
                    break
        ctx.set(self.link.sent.ready, 0)
        return decode_frame(bytes(got[1:-1])) if got else None

    def run(self, testbench) -> None:
        """Simulate until the testbench ends."""
        simulate(self.m, testbenches=[testbench], background=[self.registers])


def request(sequence: int, space: int, address: int, *, n_words: int = 1, words: list[int] | None = None) -> bytes:
    n_words = len(words) if words else n_words
    head = LINK_REQUEST.pack(
        sequence=sequence, write=words is not None, space=space, n_words_minus_1=n_words - 1, address=address
    )
    return encode_frame(head + (words or []))


def head_of(answer: list[int]) -> int:
    response = LINK_RESPONSE.unpack(answer)
    assert 1 << response["memory_log2"] == MEMORY_BYTES
    return response["sequence"]


def test_link_moves_words(rng):
    bench = LinkBench(rng)

    async def testbench(ctx):
        for sequence, n in enumerate([1, 2, 7, MAX_WORDS]):
            words = random_words(rng, n)
            answer = await bench.ask(ctx, request(2 * sequence, SPACE_MEMORY, 8 * sequence, words=words))
            assert head_of(answer) == 2 * sequence
            assert len(answer) == 1
            answer = await bench.ask(ctx, request(2 * sequence + 1, SPACE_MEMORY, 8 * sequence, n_words=n))
            assert answer[1:] == words
        answer = await bench.ask(ctx, request(100, SPACE_REGISTERS, 0x40, n_words=3))
        assert answer[1:] == [~address & 0xFFFF_FFFF for address in (0x40, 0x44, 0x48)]

    bench.run(testbench)


def test_link_carries_a_repeated_write_out_once(rng):
    bench = LinkBench(rng)

    async def testbench(ctx):
        first = request(0, SPACE_REGISTERS, 0x10, words=[5])  # the number that the board starts with
        for _ in range(3):
            assert head_of(await bench.ask(ctx, first)) == 0
        assert bench.writes == [(0x10, 5)]
        await bench.ask(ctx, request(1, SPACE_REGISTERS, 0x10, words=[5]))
        await bench.ask(ctx, first)
        await bench.ask(ctx, request(0, SPACE_REGISTERS, 0, n_words=1))  # a read goes before a new host's writes
        await bench.ask(ctx, request(1, SPACE_REGISTERS, 0x20, words=[6, 7]))
        assert bench.writes == [(0x10, 5), (0x10, 5), (0x10, 5), (0x20, 6), (0x24, 7)]

    bench.run(testbench)


def test_link_does_not_answer_what_is_wrong(rng):
    bench = LinkBench(rng)
    good = request(9, SPACE_REGISTERS, 0x10, words=[1, 2])
    head = LINK_REQUEST.pack(sequence=1, write=1, space=0, n_words_minus_1=1, address=0)
    wrong = [encode_frame(head + [0] * n) for n in (0, 1, 3, MAX_WORDS + 2)]  # not as long as its head says
    wrong += [
        encode_frame(head[:1]),
        good[:5] + good[6:],
        good[:7] + bytes([good[7] ^ 8]) + good[8:],
        bytes([END, END]),
    ]

    async def testbench(ctx):
        for wire in wrong:
            assert await bench.ask(ctx, wire, limit=1000) is None
            assert bench.writes == []
        assert head_of(await bench.ask(ctx, good)) == 9
        assert bench.writes == [(0x10, 1), (0x14, 2)]

    bench.run(testbench)


@pytest.mark.parametrize("write", [True, False])
def test_link_drops_what_arrives_while_it_answers(write, rng):
    bench = LinkBench(rng)

    async def testbench(ctx):
        await feed(ctx, bench.link.received, request(1, SPACE_REGISTERS, 0))  # nobody takes the answer
        late = request(2, SPACE_REGISTERS, 0, words=[1] if write else None)
        await feed(ctx, bench.link.received, late[:6])
        assert head_of(await bench.ask(ctx, b"")) == 1
        assert await bench.ask(ctx, late[6:], limit=1000) is None
        assert bench.writes == []
        assert head_of(await bench.ask(ctx, late)) == 2
        assert bench.writes == [(0, 1)] * write

    bench.run(testbench)
