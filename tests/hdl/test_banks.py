"""ActivationBanks against a byte array: unaligned reads and partial writes at every cycle, wrap-around included."""

import numpy as np
import pytest
from amaranth.sim import Simulator
from pumice.spec.config import EngineConfig
from pumice_hdl.core.banks import ActivationBanks

SEED = 2
N_CYCLES = 600


@pytest.mark.parametrize("n_lanes", [8, 32])
def test_reads_see_all_writes_up_to_their_cycle(n_lanes):
    config = EngineConfig(name="banks", n_cores=1, n_lanes=n_lanes, bank_depth=64, weight_depth=256)
    dut = ActivationBanks(config)
    rng = np.random.default_rng(SEED)
    size = config.activation_bytes
    memory = np.zeros(size, np.int64)
    banks = np.arange(n_lanes)
    expected, got, aligned, begins_row = [], [], {}, []

    async def bench(ctx):
        read = banks
        for cycle in range(N_CYCLES + dut.latency):
            ctx.set(dut.write.enable, 0)
            if cycle < N_CYCLES:
                # Addresses crowd around the end of the memory, so that most reads meet recent writes and wrap-around.
                rows = rng.integers(-3, 3, n_lanes) % config.bank_depth
                bytes_ = rows * n_lanes + banks
                values = rng.integers(0, 256, n_lanes)
                enable = (rng.random(n_lanes) < rng.choice([0.0, 0.5, 1.0])) & ~np.isin(bytes_, read)  # undefined
                memory[bytes_[enable]] = values[enable]
                mask = sum(1 << int(b) for b in np.flatnonzero(enable))
                ctx.set(dut.write, {"data": values.tolist(), "enable": mask, "rows": rows.tolist()})
                address = int(rng.integers(-3 * n_lanes, 3 * n_lanes)) % size
                address -= address % n_lanes * int(rng.random() < 0.3)
                ctx.set(dut.address, address)
                read = (address + banks) % size
                begins_row.append(address % n_lanes == 0)
                expected.append(memory[read])
            if dut.aligned_latency <= cycle < N_CYCLES + dut.aligned_latency:
                aligned[cycle - dut.aligned_latency] = [ctx.get(dut.aligned[i]) for i in range(n_lanes)]
            if cycle >= dut.latency:
                half = n_lanes // 2 * ctx.get(dut.swapped)
                got.append([ctx.get(dut.vector[(i + half) % n_lanes]) for i in range(n_lanes)])
            await ctx.tick()

    simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    assert len(got) == N_CYCLES
    np.testing.assert_array_equal(got, expected, f"seed {SEED}")
    whole = np.flatnonzero(begins_row)
    assert len(whole) > N_CYCLES / 5
    np.testing.assert_array_equal([aligned[i] for i in whole], np.array(expected)[whole], f"seed {SEED}")
