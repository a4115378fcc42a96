"""The command line on the reference device: JSON, tables, images, and one sentence for each mistake."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pumice import golden
from pumice.cli import main
from pumice.network import load

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.tflite"
N_SAMPLES = 3


class Done(NamedTuple):
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str


@pytest.fixture
def pumice(monkeypatch, capsys):
    def call(*arguments) -> Done:
        monkeypatch.setattr(sys, "argv", ["pumice", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return Done(int(ended.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def run(pumice):
    return partial(pumice, "run", "--device", "reference", "--config", "TINY")


@pytest.fixture
def samples(tmp_path):
    values = np.random.default_rng(1).integers(-120, 121, (N_SAMPLES, 8, 8, 1)).astype(np.int8)
    np.save(tmp_path / "x.npy", values)
    values.tofile(tmp_path / "x.dat")
    values[0].tofile(tmp_path / "one.bin")
    return values


@pytest.mark.parametrize("name", ["x.npy", "x.dat"])
def test_run_writes_the_golden_outputs(run, tmp_path, samples, name):
    done = run(DIGITS, "--input", tmp_path / name, "--json", tmp_path / "out.json")
    assert (done.status, done.stderr) == (0, "")
    report = json.loads((tmp_path / "out.json").read_text())
    expected = golden.run_batch(load(DIGITS).graph, samples).reshape(N_SAMPLES, 1, 10)
    assert [s["output_raw"] for s in report["samples"]] == expected.tolist()
    assert report["output_raw"] == expected[0].tolist()
    assert report["top1"] == int(expected[0].argmax())
    for word in ("conv1", "logits", "total", "predicted", "sample 2"):
        assert word in done.stdout


def test_a_single_sample_is_flat(run, tmp_path, samples):
    assert run(DIGITS, "--input", tmp_path / "one.bin", "--json", tmp_path / "out.json").status == 0
    assert "samples" not in json.loads((tmp_path / "out.json").read_text())


def test_a_compiled_image_gives_the_same_report(pumice, run, tmp_path, samples):
    image = tmp_path / "digits.pumice"
    assert pumice("compile", DIGITS, "-o", image, "--config", "TINY").status == 0
    reports = []
    for model in (DIGITS, image):
        assert run(model, "--input", tmp_path / "x.npy", "--json", tmp_path / "out.json").status == 0
        reports.append(json.loads((tmp_path / "out.json").read_text()))
    assert reports[0] == reports[1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.tflite", "--input", "x.npy"], "missing.tflite"),
        (["run", DIGITS, "--input", "missing.npy"], "missing.npy"),
        (["run", DIGITS, "--input", "wrong.npy"], "shape"),
        (["run", DIGITS, "--input", "x.npy", "--device", "toaster"], "no device 'toaster'"),
        (["run", DIGITS, "--input", "x.npy", "--config", "X"], "no configuration 'X'"),
        (
            ["run", DIGITS, "--input", "x.npy", "--device", "reference", "--json", "no/such/out.json"],
            "no/such/out.json",
        ),
        (["run", "junk.tflite", "--input", "x.npy"], "junk"),
        (["compile", "digits.pumice", "-o", "again.pumice"], "compiled already"),
        (["run", "cut.pumice", "--input", "x.npy"], "truncated"),
        (["run", "digits.pumice", "--input", "x.npy", "--device", "reference", "--config", "Z7020"], "configuration"),
    ],
)
def test_mistakes_are_one_sentence(pumice, tmp_path, samples, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    np.save("wrong.npy", np.zeros((3, 7), np.int8))
    Path("junk.tflite").write_bytes(b"\1" * 100)
    image = load(DIGITS).compile("TINY")
    image.save("digits.pumice")
    Path("cut.pumice").write_bytes(image.to_bytes()[:500])
    done = pumice(*arguments)
    assert done.status == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_entry_point():
    done = subprocess.run([sys.executable, "-m", "pumice.cli", "--help"], capture_output=True, text=True, check=True)
    for command in ("run", "compile", "demo"):
        assert command in done.stdout


def test_forced_formats(pumice, run, tmp_path, samples):
    image, report = tmp_path / "digits.pum", tmp_path / "out.json"
    arguments = ["--input", tmp_path / "one.bin", "--json", report]
    name = load(DIGITS).graph.layers[1].name
    formats = []
    for options in (["--format", "rice:2+huffman"], ["--format", f"{name}=relative"]):
        assert run(DIGITS, *arguments, *options).status == 0
        formats.append({layer["name"]: layer["format"] for layer in json.loads(report.read_text())["layers"]})
    assert set(formats[0].values()) >= {"rice:2+huffman"}
    assert formats[1][name] == "relative"
    assert pumice("compile", DIGITS, "-o", image, "--config", "TINY", "--format", "rice:2+huffman").status == 0
    assert run(image, *arguments).status == 0
    assert {layer["name"]: layer["format"] for layer in json.loads(report.read_text())["layers"]} == formats[0]
    assert "compiled already" in run(image, *arguments, "--format", "dense").stderr
    assert "as often as needed" in run(DIGITS, *arguments, "--format", "dense", "--format", f"{name}=csr").stderr
    assert "unknown weight format zip" in run(DIGITS, *arguments, "--format", "zip").stderr
