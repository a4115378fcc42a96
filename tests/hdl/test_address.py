"""Address generator against the definition of a position in `pumice.spec.descriptor`."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice.spec.config import TINY, EngineConfig
from pumice_hdl.core.address import AddressGenerator

SEED = 5
LARGEST = EngineConfig(name="LARGEST", n_cores=1, n_lanes=64, bank_depth=1 << 15, weight_depth=256, max_taps=1023)


def random_row(rng, n_channels, n_positions):
    """Advances (1..64, at most ``n_channels``) of a row that ends before ``n_positions``."""
    advances, position = [], -1
    longest = min(64, n_channels)
    favoured = int(rng.integers(1, longest + 1))
    while True:
        advance = int(rng.choice([1, longest, favoured, rng.integers(1, longest + 1)]))
        position += advance
        if position >= n_positions:
            return advances
        advances.append(advance)


@pytest.mark.parametrize("config", [TINY, LARGEST], ids=lambda c: c.name)
@pytest.mark.parametrize("p_absolute", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("flat", "n_channels", "n_taps"),
    [(0, 1, 128), (0, 2, 9), (0, 63, 9), (0, 64, 9), (0, 65, 3), (0, 65535, 2), (1, 128, 128), (1, 3, 3), (0, 7, 1)],
)
def test_addresses_match_the_definition(config, flat, n_channels, n_taps, p_absolute):
    """Rows back to back and with pauses, steps relative and absolute; ``latency`` cycles from term to address."""
    dut = AddressGenerator(config)
    rng = np.random.default_rng(SEED)
    size = config.activation_bytes
    taps = rng.integers(0, size, n_taps).tolist()
    pitch = int(rng.integers(1 << 32))
    n_positions = n_channels if flat else n_channels * n_taps
    channel_bits = (n_channels - 1).bit_length()
    if (n_taps - 1) >> (16 - channel_bits) and not flat:
        p_absolute = 0.0  # an index holds 16 bits
    schedule, expected = [], []  # cycles with a term or None
    while len(expected) < 400:
        row_base, tile_position = rng.integers(0, size, 2).tolist()
        advances = random_row(rng, n_channels, n_positions)
        if n_channels == 65535 and len(expected) < 200:  # steps of up to 64 take long to get to the second tap
            advances = [64] * 1023 + [63, 1, 5]
        position = -1
        for i, advance in enumerate(advances):
            position += advance
            tap, channel = (position, 0) if flat else divmod(position, n_channels)
            step = {"advance": advance - 1, "absolute": 0, "index": int(rng.integers(1 << 16))}
            if rng.random() < p_absolute:
                index = position if flat else tap << channel_bits | channel
                step = {"advance": int(rng.integers(64)), "absolute": 1, "index": index}
            term = {
                "step": step,
                "first": int(i == 0),
                "last": int(i == len(advances) - 1),
            }
            while rng.random() < 0.2:
                schedule.append(None)
                expected.append(None)
            schedule.append((term, row_base, tile_position))
            address = (row_base + taps[tap] + channel * pitch + tile_position) % size
            expected.append((address, term["first"], term["last"]))
    got = []

    async def bench(ctx):
        ctx.set(dut.layer, {"flat": flat, "n_channels": n_channels, "channel_pitch": pitch, "parameter": channel_bits})
        for i in range(0, n_taps, 2):
            pair = [*taps[i : i + 2], 0][:2]
            ctx.set(dut.taps, {"pair": i // 2, "offsets": pair})
            ctx.set(dut.taps_valid, 1)
            await ctx.tick()
        ctx.set(dut.taps_valid, 0)
        ctx.set(dut.taps, {"pair": 0, "offsets": [1, 2]})
        for cycle in range(len(schedule) + dut.latency):
            now = schedule[cycle] if cycle < len(schedule) else None
            ctx.set(dut.term_valid, int(now is not None))
            if now:
                ctx.set(dut.term, now[0])
                ctx.set(dut.row_base, now[1])
                ctx.set(dut.position, now[2])
            else:
                ctx.set(
                    dut.term,
                    {
                        "step": {"advance": int(rng.integers(64)), "absolute": int(rng.integers(2))},
                        "first": int(rng.integers(2)),
                    },
                )
            if cycle >= dut.latency:
                outputs = tuple(ctx.get(s) for s in (dut.address, dut.first, dut.last))
                got.append(outputs if ctx.get(dut.valid) else None)
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == len(expected)
    assert got == expected, f"seed {SEED}"
