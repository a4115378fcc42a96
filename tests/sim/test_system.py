"""The real system on the simulated board, driven by the host library, against the golden model."""

from pathlib import Path

import numpy as np
import pytest
from pumice import golden, load, open_device
from pumice.errors import DeviceError, DeviceTimeoutError
from pumice.report import STALLS
from pumice.spec.config import TINY

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.tflite"


@pytest.fixture(scope="module")
def model():
    return load(DIGITS)


@pytest.fixture(scope="module")
def device():
    with open_device("sim", config="TINY") as device:
        yield device


def samples(n: int) -> np.ndarray:
    return np.random.default_rng(n).integers(-120, 121, (n, 8, 8, 1)).astype(np.int8)


@pytest.mark.parametrize("formats", [None, "dense", "bitmap", "relative"])
def test_equals_the_golden_model(model, device, formats):
    network = device.load(model, formats=formats)
    x = samples(3)
    results = [network.run(sample) for sample in x]
    expected = golden.run_batch(model.graph, x).reshape(3, 1, 10)
    assert np.array_equal([result.output_raw for result in results], expected)


def test_counters_add_up(model, device):
    network = device.load(model)
    result = network.run(samples(1)[0])
    assert result.kind == "simulated"
    assert sum(layer.cycles for layer in result.layers) <= result.cycles
    descriptions = network.image.metadata["layers"]
    for layer, described in zip(result.layers, descriptions, strict=True):
        steps = layer.cycles * TINY.n_cores - sum(layer.stalls[cause] for cause in STALLS)
        assert steps == described["steps"], layer.name
        assert layer.stall_share == sum(layer.stalls.values()) / (TINY.n_cores * layer.cycles)
    header = network.image.header
    # the output, and the log behind it
    assert result.dram_bytes == header["input_bytes"] + header["output_bytes"] + 32 * header["n_layers"]


def test_cycles_repeat_on_a_fresh_board(model):
    """Not on the same one: the soft core's cache and the memory's bandwidth credit have a history."""
    cycles = []
    for _ in range(2):
        with open_device("sim", config=TINY) as device:
            cycles.append(device.load(model).run(samples(1)[0]).cycles)
    assert cycles[0] == cycles[1]


def test_slow_memory_changes_cycles_not_results(model):
    x, results = samples(1)[0], []
    for latency, bandwidth in ((1, 1.0), (200, 0.05)):
        with open_device("sim", config=TINY, latency=latency, bandwidth=bandwidth) as device:
            results.append(device.load(model).run(x))
    fast, slow = results
    assert np.array_equal(fast.output_raw, slow.output_raw)
    assert slow.cycles > fast.cycles + 2 * 199


def test_recovers_from_a_run_out_of_time(model):
    from pumice.device.driver import EngineDriver
    from pumice_sim import Board, build_board

    image = model.compile(TINY)
    data = image.pack_input(samples(1)[0])
    with EngineDriver(Board(build_board(TINY)), TINY, limit_cycles=8000) as driver:
        driver.load(image)
        with pytest.raises(DeviceTimeoutError, match="did not finish within 8000 cycles: state busy"):
            driver.run(data)
        with pytest.raises(DeviceError, match="no image is loaded"):
            driver.run(data)
        driver.load(image)


def test_watchdog_is_reported(model):
    from pumice.device.driver import EngineDriver
    from pumice_sim import Board, build_board

    image = model.compile(TINY)
    with EngineDriver(Board(build_board(TINY)), TINY, watchdog_cycles=4000) as driver:
        driver.load(image)
        with pytest.raises(DeviceError, match=r"state fault; fault watchdog .* of 5 layers"):
            driver.run(image.pack_input(samples(1)[0]))
