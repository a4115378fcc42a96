"""The energy model: sums, monotony, batches, and the word modelled everywhere."""

import json
import re
import sys
from dataclasses import asdict, replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from pumice.cli import main
from pumice.device.predicted import PredictedEngine
from pumice.energy import ACTIVITIES, Activity, EnergyReport, estimate, load_coefficients
from pumice.energy.coefficients import SHIPPED
from pumice.energy.model import BATCH_SIZES, COMPONENTS, price
from pumice.errors import EnergyError
from pumice.network import load
from pumice.report.energy import WIDE, energy_tables, unit_of, used_components
from pumice.report.energy_plot import plot_accuracy
from pumice.spec.config import TINY
from rich.console import Console

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.tflite"
INPUT_ZERO_POINT = -120


def digits_report(x: np.ndarray, *, dense=False, coefficients="45nm") -> EnergyReport:
    image = load(DIGITS).compile(TINY, dense=dense)
    engine = PredictedEngine(TINY)
    engine.load(image)
    runs = [(image, data, engine.run(data)) for data in map(image.pack_input, x)]
    return estimate(runs, TINY, load_coefficients(coefficients), backend="predicted")


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.random.default_rng(7).integers(-119, 121, (2, 8, 8, 1)).astype(np.int8)


@pytest.fixture(scope="module")
def report(samples) -> EnergyReport:
    return digits_report(samples)


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize("event", ACTIVITIES)
def test_energy_grows_with_every_activity(name, event):
    coefficients = load_coefficients(name)
    one, two = (price(Activity(**{event: n}), coefficients).joules for n in (1, 2))
    assert two == 2 * one == pytest.approx(2e-12 * coefficients.values[event].pj, rel=1e-12)
    assert one > 0 or (name, event) == ("45nm", "cycles")  # nothing is published for these


@pytest.mark.parametrize("name", SHIPPED)
def test_zero_activations_cost_less(name, samples):
    values = load_coefficients(name).values
    assert values["zero_macs"].pj < values["macs"].pj
    quiet = digits_report(np.full_like(samples, INPUT_ZERO_POINT), coefficients=name)
    busy = digits_report(samples, coefficients=name)
    assert quiet.layers["conv1"].joules < busy.layers["conv1"].joules


def test_totals_are_sums_over_layers_and_components(report):
    assert report.total.joules == pytest.approx(sum(e.joules for e in report.layers.values()), rel=1e-12)
    for component in COMPONENTS:
        parts = sum(energy.components[component] for energy in report.layers.values())
        assert report.total.components[component] == pytest.approx(parts, rel=1e-12)
    assert sorted(event for events in COMPONENTS.values() for event in events) == sorted(ACTIVITIES)
    by_hand = sum(n * report.coefficients.values[e].pj for e, n in asdict(report.total.activity).items())
    assert report.total.joules == pytest.approx(by_hand * 1e-12, rel=1e-12)


def test_several_samples_are_their_mean(samples, report):
    singles = [digits_report(x[None]).total.joules for x in samples]
    assert report.total.joules == pytest.approx(np.mean(singles), rel=1e-12)
    assert report.n_samples == 2


def test_power_is_energy_over_time(report):
    assert report.latency_s == report.total.activity.cycles / 120e6
    assert report.average_w == report.total.joules / report.latency_s
    # The layers together take all cycles of the predicted run, so that none can be below all of them.
    assert report.peak_w > report.average_w * 0.9


def test_load_is_shared_by_a_batch(report):
    assert [report.batch(n) for n in BATCH_SIZES] == sorted((report.batch(n) for n in BATCH_SIZES), reverse=True)
    assert 2 * (report.batch(2) - report.total.joules) == pytest.approx(report.load.joules, rel=1e-9)
    assert report.load.joules > 0


def test_dense_costs_more_where_weights_are_zero(report, samples):
    dense = digits_report(samples, dense=True)
    assert dense.layers["conv2"].joules > 2 * report.layers["conv2"].joules
    assert dense.total.activity.macs == report.total.activity.macs  # zeros that a dense run multiplies are fillers
    assert dense.total.activity.filler_macs > report.total.activity.filler_macs


def test_json_says_modelled_and_what_it_rests_on(report):
    document = json.loads(json.dumps(report.to_json()))
    assert document["kind"] == "modelled"
    assert document["backend"] == "predicted"
    assert document["energy_per_inference_j"] == pytest.approx(sum(layer["energy_j"] for layer in document["layers"]))
    assert [entry["n"] for entry in document["batch"]] == [1, 2, 4, 8, 16, 32, 64]
    assert set(document["coefficients"]["coefficients"]) == set(ACTIVITIES)
    assert document["placeholders"] is False
    assert document["peak_power_w"] == report.peak_w > document["average_power_w"] == report.average_w


def test_placeholders_are_marked(samples):
    assert digits_report(samples[:1], coefficients="board").to_json()["placeholders"] is True
    assert load_coefficients("board").has_placeholders
    assert not load_coefficients("45nm").has_placeholders


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["coefficients"].pop("macs"), "missing or unknown: macs"),
        (lambda d: d["coefficients"].update(flux=d["coefficients"]["macs"]), "unknown: flux"),
        (lambda d: d["coefficients"]["macs"].update(pj=-1), "0 or more"),
        (lambda d: d["coefficients"]["macs"].update(pj=float("nan")), "0 or more"),
        (lambda d: d["coefficients"]["macs"].update(pj="1"), "0 or more"),
        (lambda d: d["coefficients"]["macs"].update(source=""), "source"),
        (lambda d: d["coefficients"]["macs"].pop("date"), "date"),
        (lambda d: d.pop("description"), "description"),
    ],
)
def test_refuses_wrong_coefficients(tmp_path, change, message):
    document = load_coefficients("45nm").to_json()
    change(document)
    path = tmp_path / "set.json"
    path.write_text(json.dumps(document))
    with pytest.raises(EnergyError, match=message):
        load_coefficients(path)


def test_coefficients_come_back_from_their_file(tmp_path):
    coefficients = load_coefficients("45nm")
    path = tmp_path / "45nm.json"
    path.write_text(json.dumps(coefficients.to_json()))
    assert load_coefficients(path) == coefficients


@pytest.mark.parametrize(("text", "message"), [(None, "cannot read"), ("{", "not JSON"), ("[]", "expected")])
def test_refuses_what_is_no_coefficient_file(tmp_path, text, message):
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(EnergyError, match=message):
        load_coefficients(path)


@pytest.fixture
def pumice(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "250")

    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["pumice", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return int(ended.value.code or 0), *capsys.readouterr()

    return call


def test_command_writes_tables_json_and_plot(pumice, samples, tmp_path):
    np.save("x.npy", samples)
    np.save("labels.npy", np.arange(2))
    options = ("--device", "reference", "--config", "TINY", "--json", "e.json", "--plot", "e.svg")
    status, stdout, stderr = pumice("energy", DIGITS, "--input", "x.npy", "--labels", "labels.npy", *options)
    assert (status, stderr) == (0, "")
    document = json.loads(Path("e.json").read_text())
    assert document["energy_per_inference_j"] == pytest.approx(digits_report(samples).total.joules)
    expected = digits_report(samples[:1], dense=True).total.joules
    assert document["dense"]["energy_per_inference_j"] == pytest.approx(expected)
    assert document["dense"]["kind"] == document["kind"] == "modelled"
    assert document["accuracy"] in (0, 0.5, 1)
    assert stdout.startswith("modelled energy")
    energies = [line for line in stdout.splitlines() if re.search(r"\b[num]?[JW]\b", line)]
    assert len(energies) >= 4  # two tables, energy, power
    assert all("modelled" in line for line in energies)
    assert Path("e.svg").read_text().count("modelled") >= 4  # title and three axes


@pytest.mark.parametrize("width", [80, WIDE - 1, WIDE])
def test_tables_fit_the_terminal(report, samples, width):
    dense = digits_report(samples, dense=True)
    console = Console(width=width, file=StringIO())
    for table in energy_tables(report, dense, width=width):
        console.print(table)
    text = console.file.getvalue()
    assert "…" not in text
    assert text.count("modelled") == 2
    for name in (*report.layers, *used_components([report, dense])):
        assert name.split()[0].rstrip(",") in text
    ratio = dense.total.joules / report.total.joules
    assert any("total" in line and f"{ratio:.2f}x" in line for line in text.splitlines())


def test_units_have_two_digits_before_the_point():
    assert [unit_of(joules)[0] for joules in (0.02, 9e-3, 1e-5, 9.9e-6, 1e-12)] == ["mJ", "uJ", "uJ", "nJ", "nJ"]


def test_accuracy_over_energy_is_drawn(report, samples, tmp_path):
    points = [(report, 0.9), (digits_report(samples, dense=True), 0.95)]
    plot_accuracy({"digits": points}, tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "nJ an inference, modelled" in text or "uJ an inference, modelled" in text
    assert "digits" in text


def test_command_warns_of_placeholders(pumice, samples):
    np.save("x.npy", samples[:1])
    options = ("--device", "reference", "--config", "TINY", "--plot", "e.svg", "--coefficients", "board")
    _, stdout, _ = pumice("energy", DIGITS, "--input", "x.npy", *options)
    assert "placeholders: not for quoting" in stdout
    assert "PLACEHOLDERS" in Path("e.svg").read_text()  # an SVG of Matplotlib holds its texts as comments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--coefficients", "7nm"], "cannot read coefficients 7nm"),
        (["--plot", "e.xyz"], "e.xyz"),
        (["--labels", "labels.npy"], "3 labels for 1 samples"),
    ],
)
def test_mistakes_are_one_sentence(pumice, samples, options, message):
    np.save("x.npy", samples[:1])
    np.save("labels.npy", np.arange(3))
    status, _, stderr = pumice(
        "energy", DIGITS, "--input", "x.npy", "--device", "reference", "--config", "TINY", *options
    )
    assert status == 2
    assert message in stderr
    assert len(stderr.splitlines()) == 1


def test_a_compiled_image_has_no_dense_run(pumice, samples):
    np.save("x.npy", samples[:1])
    load(DIGITS).compile(TINY).save("d.pumice")
    options = ("--device", "reference", "--config", "TINY", "--json", "e.json")
    assert pumice("energy", "d.pumice", "--input", "x.npy", *options)[0] == 0
    assert json.loads(Path("e.json").read_text())["dense"] is None


def test_a_clock_of_its_own_changes_time_not_energy(report):
    slow = replace(report, clock_mhz=60.0)
    assert slow.latency_s == 2 * report.latency_s
    assert slow.total.joules == report.total.joules
