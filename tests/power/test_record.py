"""Recordings of synthetic sensors: exact energies, refusals, kinds."""

import json
import math
import time
from dataclasses import replace
from itertools import count as counter

import numpy as np
import pytest
from pumice import open_device
from pumice.device import Device
from pumice.energy import estimate, load_coefficients
from pumice.energy.activity import CONTROL
from pumice.errors import PowerError
from pumice.graph import Table
from pumice.network import Model
from pumice.power import LoopTimes, MeasuredPower, ModelledPower, Rail, device_power, loop_times
from pumice.power.record import MIN_SAMPLES, Trace, sample
from pumice.spec.config import TINY

from ..device.networks import small_graph

SEED = 5
PERIOD = 0.125  # exact in binary, so that sums are


class FakeTime:
    """A clock that only waiting advances; it asks to stop after ``n`` periods."""

    def __init__(self, n: int):
        self.now, self.left = 100.0, n

    def clock(self) -> float:
        """Seconds now."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """Advances; says whether it was the last time."""
        self.now += seconds
        self.left -= 1
        return self.left <= 0


def make_rail(read, *, name="INT", scope="PL core", period_s=PERIOD) -> Rail:
    return Rail(name=name, scope=scope, kind=f"measured on rail {name} (test)", read=read, period_s=period_s)


def recorded(watts, n=20, *, n_inferences=4, idle=None):
    """Figures of ``n`` periods of a sensor that gives ``watts(time)``."""
    fake = FakeTime(n)
    rail = make_rail(lambda: watts(fake.now - 100))
    trace = sample(rail, fake.clock, fake.wait, limit_s=1000)
    return trace.figures(rail, 100.0, fake.now, n_inferences, idle)


def test_constant_power():
    figures = recorded(lambda t: 2.5, idle=1.5)
    assert (figures.energy_j, figures.average, figures.peak) == (2.5 * 20 * PERIOD, 2.5, 2.5)
    assert figures.energy_per_inference == 2.5 * 20 * PERIOD / 4
    assert figures.energy_above_idle_j == 1.0 * 20 * PERIOD
    assert figures.energy_above_idle_per_inference == 1.0 * 20 * PERIOD / 4
    assert (figures.n_samples, figures.n_dropped, figures.n_inferences) == (21, 0, 4)


def test_ramp_is_integrated_exactly():
    figures = recorded(lambda t: 1 + 4 * t)
    duration = 20 * PERIOD
    assert figures.energy_j == duration + 2 * duration**2
    assert figures.peak == 1 + 4 * duration
    assert figures.energy_above_idle_per_inference is None


def test_parts_of_a_trace_add_up():
    times = np.arange(9.0)
    trace = Trace(times=times, watts=times)  # a ramp: energy is half the difference of squares
    assert trace.energy(1.5, 6.25) == (6.25**2 - 1.5**2) / 2
    assert trace.energy(-2.0, 0.0) == 0.0  # as the first sample
    assert trace.energy(8.0, 10.0) == 16.0  # as the last one
    assert trace.energy(1.5, 3.0) + trace.energy(3.0, 6.25) == trace.energy(1.5, 6.25)


def test_peak_and_samples_are_of_the_work_alone():
    times, watts = PERIOD * np.arange(40.0), np.ones(40)
    watts[[2, 35]] = 9.0
    figures = Trace(times=times, watts=watts, n_dropped=3).figures(make_rail(float), 10 * PERIOD, 30 * PERIOD, 1, None)
    assert (figures.peak, figures.average, figures.n_samples, figures.n_dropped) == (1.0, 1.0, 21, 3)


def test_noise_averages_out():
    rng = np.random.default_rng(SEED)
    values = rng.normal(3.0, 0.5, 4001)
    stream = iter(values)
    figures = recorded(lambda t: float(next(stream)), n=4000)
    assert figures.average == pytest.approx((values[1:-1].sum() + (values[0] + values[-1]) / 2) / 4000, rel=1e-12)
    assert figures.average == pytest.approx(3.0, abs=0.05)
    assert figures.peak == values.max()


@pytest.mark.parametrize("failure", [OSError("bus"), math.nan, math.inf])
def test_dropped_samples_are_bridged_and_counted(failure):
    reads = counter()

    def read(t: float) -> float:
        if next(reads) % 3 == 1:
            if isinstance(failure, OSError):
                raise failure
            return failure
        return 1 + 4 * t

    figures = recorded(read, n=30)
    duration = 30 * PERIOD
    assert figures.energy_j == pytest.approx(duration + 2 * duration**2, rel=1e-12)
    assert (figures.n_samples, figures.n_dropped) == (21, 10)


def test_too_short_a_loop_is_told_the_length_it_needs():
    needed = (MIN_SAMPLES + 1) * PERIOD
    with pytest.raises(PowerError, match=rf"at least {needed:.3g} s: about 11 inferences"):
        recorded(lambda t: 1.0, n=4, n_inferences=4)
    with pytest.raises(PowerError, match="at least"):
        recorded(lambda t: 1.0, n=MIN_SAMPLES)  # enough samples, but the first may be as old as a period
    assert recorded(lambda t: 1.0, n=MIN_SAMPLES + 1).duration_s == needed  # as long as it says is enough


def test_too_many_dropped_readings_are_refused():
    reads = counter()

    def read(t: float) -> float:
        if next(reads) > 5:
            raise OSError
        return 1.0

    with pytest.raises(PowerError, match=r"6 samples .* \(15 readings failed\)"):
        recorded(read)


def test_a_dead_sensor_is_refused():
    def read(t: float) -> float:
        raise OSError

    with pytest.raises(PowerError, match="none of 21 readings"):
        recorded(read)


def test_sampling_has_a_limit():
    fake = FakeTime(1000)
    with pytest.raises(PowerError, match="limit of 5 s"):
        sample(make_rail(lambda: 1.0), fake.clock, fake.wait, limit_s=5)


@pytest.mark.parametrize("change", [{"scope": "house"}, {"period_s": 0}, {"period_s": math.nan}])
def test_refuses_wrong_rails(change):
    with pytest.raises(ValueError, match=r"scope|period_s"):
        make_rail(lambda: 1.0, **change)


@pytest.fixture
def network():
    with open_device("reference", config="TINY") as device:
        yield device.load(Model(small_graph(3)))


def samples(n: int) -> np.ndarray:
    return np.random.default_rng(SEED).integers(-128, 128, (n, 6, 5, 3)).astype(np.int8)


FAST = 0.005


def test_recording_of_a_loop(network):
    power = MeasuredPower(network.device, [make_rail(lambda: 2.0, period_s=FAST)])
    with power.record() as p:
        for x in samples(3):
            network.run(x)
            time.sleep(40 * FAST)
    assert p.n_inferences == 3
    assert p.average == pytest.approx(2.0, rel=1e-9)
    assert p.peak == p.idle == pytest.approx(2.0, rel=1e-9)
    assert p.energy_per_inference == pytest.approx(2.0 * p.duration_s / 3, rel=1e-9)
    assert p.energy_above_idle_per_inference == pytest.approx(0, abs=1e-9)
    assert p.n_samples >= MIN_SAMPLES
    assert (p.kind, p.scope) == ("measured on rail INT (test)", "PL core")
    assert "measured on rail INT" in str(p)
    assert json.loads(json.dumps(p.to_json()))["kind"] == p.kind


def test_work_ends_before_the_last_reading_does(network):
    pause = 0.0

    def read() -> float:
        time.sleep(pause)
        return 2.0

    power = MeasuredPower(network.device, [make_rail(read, period_s=FAST)])
    with power.record(idle_s=0) as p:
        time.sleep(60 * FAST)
        pause, worked = 1.0, time.monotonic()
    assert time.monotonic() - worked >= pause
    assert p.duration_s < 60 * FAST + pause / 2


def test_the_widest_rail_is_the_default(network):
    rails = [
        make_rail(lambda: 1.0, name="INT", period_s=FAST),
        make_rail(lambda: 5.0, name="12V", scope="whole board", period_s=FAST),
    ]
    power = MeasuredPower(network.device, rails)
    for name, watts in ((None, 5.0), ("INT", 1.0)):
        with power.record(rail=name, idle_s=0) as p:
            time.sleep(60 * FAST)
        assert p.average == pytest.approx(watts)
        assert p.idle is None
        with pytest.raises(PowerError, match="no inference ran"):
            _ = p.energy_per_inference
    with pytest.raises(PowerError, match="no rail '5V'; there are INT, 12V"), power.record(rail="5V"):
        pass


def test_a_short_recording_has_no_figures(network):
    power = MeasuredPower(network.device, [make_rail(lambda: 2.0, period_s=0.5)])
    with pytest.raises(PowerError, match=r"must last at least 5\.5 s"), power.record(idle_s=0) as p:
        network.run(samples(1)[0])
    with pytest.raises(PowerError, match="no figures"):
        _ = p.average


def test_errors_of_the_work_come_first_and_observation_ends(network):
    power = MeasuredPower(network.device, [make_rail(lambda: 2.0, period_s=FAST)])
    with pytest.raises(ZeroDivisionError), power.record(idle_s=0):
        _ = 1 / 0
    with loop_times(network.device) as times:
        network.run(samples(1)[0])
    network.run(samples(1)[0])
    assert times.n_inferences == 1
    assert times.start <= times.end


def test_modelled_recording_keeps_its_kind(network):
    power = network.device.power()
    assert isinstance(power, ModelledPower)
    (rail,) = power.rails
    assert (rail.name, rail.scope, rail.unit) == ("model", "model", "W")
    with pytest.raises(PowerError, match="record inferences"):
        rail.read()
    with power.record() as p:
        results = [network.run(x) for x in samples(2)]
    assert p.kind == rail.kind == "modelled (coefficients 45nm, activity predicted)"
    assert p.duration_s == pytest.approx(sum(result.latency_ms for result in results) / 1e3)
    assert p.n_samples == p.n_inferences == 2
    prices = load_coefficients("45nm").values
    assert p.idle == pytest.approx((prices["cycles"].pj + prices["soft_core_cycles"].pj) * 1e-6 * TINY.clock_mhz)
    assert 0 < p.energy_above_idle_per_inference < p.energy_per_inference
    assert "modelled" in str(p)
    with pytest.raises(PowerError, match="no inference"), power.record():
        pass


def test_a_network_of_several_images_is_one_inference():
    """A table between the layers, which the host looks up."""
    graph = small_graph(3)
    first, last = graph.layers
    table = Table(name="table", inputs=("features",), output="curved", table=np.arange(-128, 128)[None].astype(np.int8),
                  kind="test")  # fmt: skip
    graph.tensors["curved"] = replace(graph.tensors["features"], name="curved")
    graph.layers[:] = [first, table, replace(last, inputs=("curved",))]
    with open_device("reference", config="TINY") as device:
        network, runs = device.load(Model(graph)), []
        with device.power().record() as p, loop_times(device) as times, device.observe(lambda *run: runs.append(run)):
            results = network.run_many(samples(3))
    assert (p.n_inferences, p.n_samples, times.n_inferences, len(runs)) == (3, 3, 3, 6)
    assert p.duration_s == pytest.approx(sum(result.latency_ms for result in results) / 1e3)
    report = estimate(runs, device.config, load_coefficients("45nm"), backend=device.kind)
    assert (report.n_samples, report.n_images) == (3, 2)
    assert report.load.activity.dram_bytes == sum(image.header["n_bytes"] for image in {run[0] for run in runs})
    assert list(report.layers) == ["conv", "dense", CONTROL]
    assert report.total.joules == pytest.approx(p.energy_per_inference, rel=1e-12)
    parts = [[run for run in runs if run[0] is image] for image in dict.fromkeys(image for image, _, _ in runs)]
    peaks = [estimate(part, device.config, load_coefficients("45nm"), backend=device.kind).peak_w for part in parts]
    assert p.peak == max(peaks) > min(peaks)
    assert report.batch(64) == report.batch(1) == report.total.joules + report.load.joules  # each loads both


def test_placeholder_coefficients_are_part_of_the_kind(network):
    assert "placeholders" in network.device.power(coefficients="board").rails[0].kind


def test_sensors_are_not_taken_for_a_simulated_device(network):
    with pytest.raises(PowerError, match="only the model"):
        network.device.power(rails=[make_rail(lambda: 1.0)])


def test_a_board_uses_sensors_or_says_what_to_do(network, tmp_path, monkeypatch):
    board = Device("pynq", "on-board", network.device.config, network.device.engine)
    with pytest.raises(PowerError, match=r"INA226.*external meter"):
        device_power(board, hwmon=tmp_path)
    rail = make_rail(lambda: 1.0)
    assert board.power(rails=[rail]).rails == (rail,)
    (tmp_path / "hwmon0").mkdir()
    (tmp_path / "hwmon0" / "name").write_text("ina260_u14\n")
    (tmp_path / "hwmon0" / "power1_input").write_text("4810000\n")
    (found,) = board.power(hwmon=tmp_path).rails
    assert found.kind == "measured on rail ina260_u14 (hwmon)"
    ours = make_rail(lambda: 2.0, name="12V", scope="whole board")
    monkeypatch.setattr("pumice.power.pynq_rails", lambda: [ours])  # knows more of a board than the kernel does
    assert board.power(hwmon=tmp_path).rails == (ours,)
    assert board.power(rails=[rail], hwmon=tmp_path).rails == (rail,)


def test_loop_times_are_plain():
    assert LoopTimes(start=1.0, end=2.0).n_inferences == 0
