"""Logs of an external meter: units, alignment, refusals."""

import numpy as np
import pytest
from pumice.errors import PowerError
from pumice.power import LoopTimes, Meter, read_meter
from pumice.power.meter import find_offset, load_log
from pumice.power.record import Trace

SEED = 9
STEP = 0.0625
METER = Meter(name="bench", scope="whole board", time="t", columns={"P": "mW"})
BURSTS = [LoopTimes(start=1000 + a, end=1000 + b, n_inferences=n) for a, b, n in ((2, 3, 10), (5, 8, 30), (9, 9.5, 5))]
OFFSET = 990.0  # host time less meter time


def power(host: np.ndarray) -> np.ndarray:
    """1.5 W, 2.5 W while a burst runs."""
    return 1.5 + np.sum([(host >= burst.start) & (host <= burst.end) for burst in BURSTS], axis=0)


@pytest.fixture
def log(tmp_path):
    times = np.arange(0, 25, STEP)
    lines = [f"{t},{1000 * p}" for t, p in zip(times, power(times + OFFSET), strict=True)]
    path = tmp_path / "log.csv"
    path.write_text("t,P\n" + "\n".join(lines) + "\n")
    return path


def test_figures_of_a_loop(log):
    log.write_text(log.read_text() + "25,oops\n26,nan\n27,inf\n")
    figures = read_meter(log, METER, BURSTS[1], offset_s=OFFSET, idle_s=1.5)
    assert figures.average == pytest.approx(2.5)
    assert figures.idle == pytest.approx(1.5, rel=0.03)  # half a step of the edge's slope lies before the burst
    assert figures.energy_per_inference == pytest.approx(2.5 * 3 / 30)
    assert (figures.kind, figures.scope) == ("external meter bench", "whole board")
    assert (figures.n_samples, figures.n_dropped) == (49, 3)


@pytest.mark.parametrize("shift", [0.0, -31.25, 12.5])
def test_offset_is_found_from_bursts(shift):
    times = np.arange(0, 25, STEP)
    trace = Trace(times=times - shift, watts=power(times + OFFSET))
    assert find_offset(trace, [_moved(b, -OFFSET) for b in BURSTS], 60.0) == pytest.approx(shift, abs=STEP)


def test_offset_is_found_in_noise():
    rng = np.random.default_rng(SEED)
    times = np.arange(0, 25, STEP)
    trace = Trace(times=times, watts=power(times + OFFSET) + rng.normal(0, 0.3, len(times)))
    assert find_offset(trace, [_moved(b, -OFFSET - 7) for b in BURSTS], 20.0) == pytest.approx(-7, abs=STEP)


def test_found_offset_gives_the_figures(log, tmp_path):
    near = Meter(name="bench", scope="whole board", time="t", columns={"P": "mW"})
    moved = [_moved(b, -OFFSET) for b in BURSTS]
    found = read_meter(log, near, moved[1], bursts=moved)
    given = read_meter(log, METER, BURSTS[1], offset_s=OFFSET)
    assert found.energy_j == pytest.approx(given.energy_j, rel=0.02)


@pytest.mark.parametrize("watts", [np.ones(400), np.random.default_rng(SEED).normal(1, 1, 400)], ids=["flat", "noise"])
def test_bursts_that_do_not_show_are_refused(watts):
    trace = Trace(times=np.arange(400) * STEP, watts=watts)
    with pytest.raises(PowerError, match="does not show the bursts"):
        find_offset(trace, [_moved(b, -OFFSET) for b in BURSTS], 10.0)


def test_an_offset_that_is_not_unique_is_refused():
    times = np.arange(0, 30, STEP)
    trace = Trace(times=times, watts=1.0 + (np.abs(times % 10 - 5) <= 1))  # three bursts alike, two of them ours
    with pytest.raises(PowerError, match=r"correlation 0\.[78].*unequal length"):
        find_offset(trace, [LoopTimes(start=t - 1.0, end=t + 1.0) for t in (5.0, 15.0)], 20.0)


def test_voltage_times_current_and_other_time_units(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("ms,bus,current,note\n0,5.0,200,x\n100,5.0,,x\n200,5.0,400,x\n300,oops,1,x\n")
    meter = Meter(name="m", scope="whole board", time="ms", columns={"bus": "V", "current": "mA"}, time_unit_s=1e-3)
    trace = load_log(path, meter)
    assert trace.times.tolist() == pytest.approx([0.0, 0.2])
    assert trace.watts.tolist() == pytest.approx([1.0, 2.0])
    assert trace.n_dropped == 2


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("t,P\n0,1\n1,1\n", {"Q": "W"}, "no column Q; it has t, P"),
        ("t,P\n1,1\n0,1\n", {"P": "W"}, "ascend"),
        ("t,P\n0,1\n", {"P": "W"}, "at least two"),
        ("t,P\n0,1\n1,1\n", {"P": "horsepower"}, "horsepower"),
        ("t,P\n0,1\n1,1\n", {"P": "V"}, "voltage and current"),
        ("", {"P": "W"}, "no column"),
        (None, {"P": "W"}, "cannot read"),
    ],
)
def test_refuses_wrong_logs(tmp_path, text, columns, message):
    path = tmp_path / "log.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PowerError, match=message):
        load_log(path, Meter(name="m", scope="whole board", time="t", columns=columns))


@pytest.mark.parametrize(
    ("loop", "options", "message"),
    [
        (BURSTS[1], {}, "offset_s, or bursts"),
        (BURSTS[1], {"offset_s": 0.0}, "wrong log or offset"),
        (BURSTS[1], {"offset_s": 1006.0}, "wrong log or offset"),  # begins too late
        (BURSTS[1], {"offset_s": OFFSET, "idle_s": 20.0}, "wrong log or offset"),
        (LoopTimes(start=1005.0, end=1005.0 + 10 * STEP), {"offset_s": OFFSET}, "must last at least 0.688 s"),
        (LoopTimes(start=1005.0, end=1005.25, n_inferences=2), {"offset_s": OFFSET}, "must last at least"),
    ],
)
def test_refuses_loops_that_the_log_does_not_tell(log, loop, options, message):
    with pytest.raises(PowerError, match=message):
        read_meter(log, METER, loop, **options)


def _moved(burst: LoopTimes, seconds: float) -> LoopTimes:
    return LoopTimes(start=burst.start + seconds, end=burst.end + seconds, n_inferences=burst.n_inferences)
