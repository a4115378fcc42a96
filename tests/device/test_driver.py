"""The driver against hardware in Python: identity, load, run, faults, time-outs."""

import numpy as np
import pytest
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.driver import MAX_TOGETHER, EngineDriver
from pumice.errors import DeviceError, DeviceTimeoutError, ImageError, InputError
from pumice.spec import registers
from pumice.spec.config import TINY, Z7020

from .fake_hardware import CYCLES, READ_BYTES, WRITE_BYTES, FakeHardware
from .networks import small_graph


@pytest.fixture(scope="module")
def graph():
    return small_graph(1)


@pytest.fixture(scope="module")
def image(graph):
    return compile_graph(graph, TINY)


def test_runs_equal_the_golden_model(graph, image):
    rng = np.random.default_rng(2)
    hardware = FakeHardware(TINY)
    with EngineDriver(hardware, TINY) as driver:
        driver.load(image)
        for _ in range(3):
            x = rng.integers(-128, 128, (6, 5, 3)).astype(np.int8)
            run = driver.run(image.pack_input(x))
            assert np.array_equal(image.unpack_output(run.output), golden.run(graph, x))
            assert (run.cycles, run.read_bytes, run.write_bytes) == (CYCLES, READ_BYTES, WRITE_BYTES)
            assert len(run.log) == image.header["n_layers"]
            for tag, entry in enumerate(run.log):
                assert entry["cycles"] == 10 + tag
                assert [entry[f"stall_{s}"] for s in ("fetch", "drain", "store", "start", "finish")] == [1, 2, 3, 4, 5]
    assert hardware.closed
    assert all(buffer.freed for buffer in hardware.buffers)


def test_samples_run_together(graph, image):
    rng = np.random.default_rng(3)
    samples = rng.integers(-128, 128, (MAX_TOGETHER + 5, 6, 5, 3)).astype(np.int8)
    hardware = FakeHardware(TINY)
    with EngineDriver(hardware, TINY) as driver:
        driver.load(image)
        assert driver.run_many([]) == []
        for n, batches in ((3, [3]), (2, [2]), (len(samples), [MAX_TOGETHER, 5])):
            hardware.batches.clear()
            runs = driver.run_many([image.pack_input(x) for x in samples[:n]])
            assert hardware.batches == batches
            for x, run in zip(samples, runs, strict=False):
                assert np.array_equal(image.unpack_output(run.output), golden.run(graph, x))
            assert [run.n_together for run in runs] == [m for m in batches for _ in range(m)]
            logged = [entry["cycles"] for run in runs for entry in run.log]
            assert logged == [10 + i for m in batches for i in range(m * image.header["n_layers"])]
            for total, name in ((CYCLES, "cycles"), (READ_BYTES, "read_bytes"), (WRITE_BYTES, "write_bytes")):
                shares = [getattr(run, name) for run in runs]
                assert sum(shares) == total * len(batches)
                assert max(shares[: batches[0]]) - min(shares[: batches[0]]) <= 1


def test_as_many_together_as_memory_holds(graph, image):
    hardware = FakeHardware(TINY)
    with EngineDriver(hardware, TINY) as driver:
        driver.load(image)
        header = image.header
        hardware.room = sum(len(buffer.array) for buffer in hardware.buffers)
        hardware.room += 2 * (header["input_bytes"] + header["output_bytes"])  # three samples
        samples = np.random.default_rng(4).integers(-128, 128, (8, 6, 5, 3)).astype(np.int8)
        runs = driver.run_many([image.pack_input(x) for x in samples])
        assert hardware.batches == [2] * 4
        for x, run in zip(samples, runs, strict=True):
            assert np.array_equal(image.unpack_output(run.output), golden.run(graph, x))


def test_limits_reach_the_engine_and_grow_with_the_samples(image):
    hardware = FakeHardware(TINY)
    driver = EngineDriver(hardware, TINY, limit_cycles=1000, watchdog_cycles=77)
    assert hardware.registers[registers.find("host", "watchdog").offset] == 77
    driver.load(image)
    driver.run_many([bytes(image.header["input_bytes"])] * 3)
    assert hardware.limits == [1000, 3000]


def test_buffers_that_an_image_lacks_have_no_bytes(image):
    hardware = FakeHardware(TINY)
    scratch = registers.find("host", "scratch_bytes").offset
    with EngineDriver(hardware, TINY) as driver:
        hardware.registers[scratch] = 4096  # of the image before
        assert not image.header["scratch_bytes"]
        driver.load(image)
        assert hardware.registers[scratch] == 0


def test_loading_again_frees_the_first_buffers(image):
    hardware = FakeHardware(TINY)
    with EngineDriver(hardware, TINY) as driver:
        driver.load(image)
        first = list(hardware.buffers)
        driver.load(image)
        assert [b.freed for b in hardware.buffers] == [True] * len(first) + [False] * len(first)


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("magic", 0xDEAD, "no Pumice engine here: the magic register reads 0x0000dead"),
        ("version", 99 << 16, "register map 99"),
        ("config", Z7020.config_id, "configuration is Z7020, not TINY"),
        ("config", 5, "unknown one, id 0x00000005"),
    ],
)
def test_refuses_another_engine(register, value, message):
    hardware = FakeHardware(TINY)
    hardware.registers[registers.find("host", register).offset] = value
    with pytest.raises(DeviceError, match=message):
        EngineDriver(hardware, TINY)
    assert hardware.closed
    assert not [access for access in hardware.accesses if access[0] == "write"]


def test_firmware_that_does_not_start():
    with pytest.raises(DeviceTimeoutError, match="does not start: state boot"):
        EngineDriver(FakeHardware(TINY, boots=False), TINY)


def test_fault_is_told_with_its_state(image):
    driver = EngineDriver(FakeHardware(TINY, fault="bounds"), TINY)
    driver.load(image)
    with pytest.raises(DeviceError) as caught:
        driver.run(bytes(image.header["input_bytes"]))
    for part in ("state fault", "fault bounds", "detail 0xabc", "at layer 3", "3 of 2 layers", "7 transfers"):
        assert part in str(caught.value)
    with pytest.raises(DeviceError, match="no image is loaded"):  # whatever was under way is gone
        driver.run(bytes(image.header["input_bytes"]))


def test_hang_is_told_and_the_engine_restarted(image):
    hardware = FakeHardware(TINY, hangs=True)
    driver = EngineDriver(hardware, TINY, limit_cycles=1000)
    driver.load(image)
    with pytest.raises(DeviceTimeoutError, match="did not finish within 1000 cycles: state busy; fault none"):
        driver.run(bytes(image.header["input_bytes"]))
    with pytest.raises(DeviceError, match="no image is loaded"):
        driver.run(bytes(image.header["input_bytes"]))
    hardware.hangs = False
    driver.load(image)
    driver.run(bytes(image.header["input_bytes"]))


def test_wrong_input_reaches_no_register(image):
    hardware = FakeHardware(TINY)
    driver = EngineDriver(hardware, TINY)
    driver.load(image)
    before = len(hardware.accesses)
    with pytest.raises(InputError, match="bytes"):
        driver.run(b"123")
    assert len(hardware.accesses) == before


def test_image_for_another_configuration_is_refused(graph):
    with EngineDriver(FakeHardware(TINY), TINY) as driver, pytest.raises(ImageError, match="TINY"):
        driver.load(compile_graph(graph, Z7020))
