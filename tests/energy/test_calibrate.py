"""Calibration: recovers known coefficients, never gives negative ones, and says how well it fits."""

import csv
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from pumice.cli import main
from pumice.energy import ACTIVITIES, Activity, load_coefficients
from pumice.energy.calibrate import MeasuredRun, calibrate, load_runs, measured_run, save_runs
from pumice.energy.model import price
from pumice.errors import EnergyError
from pumice.power import Figures

from .test_model import digits_report

SEED = 11
TRUTH = load_coefficients("board")
ABOUT = {"source": "synthetic", "date": "2026-01"}


def synthetic_runs(n: int, events, noise: float = 0.0) -> list[MeasuredRun]:
    rng = np.random.default_rng(SEED)
    activities = [Activity(**{e: float(rng.integers(1, 10**6)) for e in events}) for _ in range(n)]
    return [MeasuredRun(activity=a, joules=price(a, TRUTH).joules * rng.normal(1, noise)) for a in activities]


def test_recovers_the_coefficients_that_made_the_runs():
    fit = calibrate(synthetic_runs(40, ACTIVITIES), TRUTH, **ABOUT)
    assert fit.rank == fit.n_fitted == len(ACTIVITIES)
    assert fit.largest_error < 1e-9
    for event, value in fit.coefficients.values.items():
        assert value.pj == pytest.approx(TRUTH.values[event].pj, rel=1e-6), event
        assert (value.source, value.date, value.placeholder) == ("synthetic", "2026-01", False)
    assert not fit.coefficients.has_placeholders


def test_fitted_numbers_keep_the_kind_of_their_figures():
    runs = [replace(run, kind="measured on rail INT (PYNQ)", scope="PL core") for run in synthetic_runs(9, ["macs"])]
    fitted = calibrate(runs, TRUTH, **ABOUT).coefficients
    assert fitted.values["macs"].source == "synthetic; measured on rail INT (PYNQ), PL core"
    assert fitted.description == "Fitted: synthetic; measured on rail INT (PYNQ), PL core"


def test_noise_shows_in_the_error_and_no_coefficient_is_negative():
    fit = calibrate(synthetic_runs(60, ACTIVITIES, noise=0.05), TRUTH, **ABOUT)
    assert 0.02 < fit.rms_error < 0.06
    assert fit.rms_error <= fit.largest_error
    assert all(value.pj >= 0 for value in fit.coefficients.values.values())


def test_events_that_do_not_occur_keep_their_numbers_and_say_so():
    fit = calibrate(synthetic_runs(9, ["macs", "cycles"]), TRUTH, **ABOUT)
    assert fit.n_fitted == 2
    assert fit.coefficients.values["dram_bytes"] == TRUTH.values["dram_bytes"]
    assert fit.coefficients.has_placeholders


def test_too_few_runs_show_in_the_rank():
    fit = calibrate(synthetic_runs(3, ACTIVITIES), TRUTH, **ABOUT)
    assert (fit.rank, fit.n_fitted) == (3, len(ACTIVITIES))
    assert fit.largest_error < 1e-9  # anything fits


def test_needs_runs():
    with pytest.raises(EnergyError, match="at least one run"):
        calibrate([], TRUTH, **ABOUT)


def figures(**changes) -> Figures:
    known = {
        "rail": "INT",
        "scope": "PL core",
        "kind": "measured on rail INT (PYNQ)",
        "energy_j": 3.0,
        "duration_s": 2.0,
    }
    counted = {"peak": 2.0, "idle": None, "n_samples": 20, "n_dropped": 0, "n_inferences": 100}
    return Figures(**known | counted | changes)


def test_a_recording_becomes_a_run(tmp_path):
    report = digits_report(np.zeros((1, 8, 8, 1), np.int8))
    run = measured_run(figures(), report)
    assert (run.joules, run.kind, run.scope) == (3.0, "measured on rail INT (PYNQ)", "PL core")
    assert run.activity.macs == pytest.approx(100 * report.total.activity.macs)
    assert run.activity.cycles == run.activity.soft_core_cycles == 2.0 * 120e6
    save_runs(tmp_path / "runs.json", [run, run])
    assert load_runs(tmp_path / "runs.json") == [run, run]


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kind": "modelled (coefficients 45nm, activity simulated)"}, "its own"), ({"n_inferences": 0}, "no inference")],
)
def test_refuses_recordings_that_cannot_calibrate(change, message):
    with pytest.raises(EnergyError, match=message):
        measured_run(figures(**change), digits_report(np.zeros((1, 8, 8, 1), np.int8)))


def write(path: Path, runs: list[MeasuredRun]) -> Path:
    rows = [asdict(run.activity) | {"joules": run.joules} for run in runs]
    if path.suffix == ".json":
        path.write_text(json.dumps([{"joules": r.joules, "activities": asdict(r.activity)} for r in runs]))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize("name", ["runs.csv", "runs.json"])
def test_runs_come_back_from_files(tmp_path, name):
    runs = synthetic_runs(5, ACTIVITIES)
    assert load_runs(write(tmp_path / name, runs)) == runs


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "macs,joules\n1,0\n", "joules must be positive"),
        ("a.csv", "macs,joules\n-1,1\n", "negative"),
        ("a.csv", "macs,joules\nmany,1\n", "number of each event"),
        ("a.csv", "macs\n1\n", "expected joules"),
        ("a.csv", "flux,joules\n1,1\n", "unknown event flux"),
        ("a.csv", "macs,joules\n1,1,1\n", "unknown event None"),
        ("a.json", "{", "expected a list"),
        ("a.json", '[{"joules": 1}]', "activities"),
        ("a.json", '[{"joules": 1, "activities": {}, "kind": "modelled (x)"}]', "run 1: a model is not calibrated"),
        (
            "a.json",
            '[{"joules": 1, "activities": {}, "kind": "a"}, {"joules": 1, "activities": {}}]',
            "different kinds",
        ),
        ("missing.csv", None, "cannot read"),
    ],
)
def test_refuses_wrong_runs(tmp_path, name, text, message):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(EnergyError, match=message):
        load_runs(tmp_path / name)


def test_command_writes_a_set_that_can_be_used(tmp_path, monkeypatch, capsys):
    runs = write(tmp_path / "runs.csv", synthetic_runs(30, ACTIVITIES))
    output = tmp_path / "mine.json"
    monkeypatch.setattr(sys, "argv", ["pumice", "calibrate", str(runs), "-o", str(output), "--source", "bench supply"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert "30 runs" in capsys.readouterr().out
    fitted = load_coefficients(output)
    assert fitted.name == "mine"
    assert fitted.values["macs"].source == "bench supply"
    assert fitted.values["macs"].pj == pytest.approx(TRUTH.values["macs"].pj, rel=1e-6)
