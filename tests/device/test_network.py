"""Networks on the reference device: results, reports, refused inputs."""

import json
import sys

import numpy as np
import pytest
from pumice import golden, open_device
from pumice.errors import DeviceError, InputError
from pumice.network import Model
from pumice.report import run_report
from pumice.spec.config import TINY

from .networks import small_graph


@pytest.fixture(scope="module", params=[False, True], ids=["logits", "softmax"])
def network(request):
    with open_device("reference", config="TINY") as device:
        yield device.load(Model(small_graph(3, softmax=request.param)))


def sample(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-128, 128, (1, 6, 5, 3)).astype(np.int8)


def test_output_is_the_golden_one(network):
    graph = small_graph(3, softmax=bool(network.signature.layers))
    for seed in range(4):
        x = sample(seed)
        result, expected = network.run(x), golden.run(graph, x[0]).reshape(1, 4)
        assert np.array_equal(result.output_raw, expected)
        assert np.array_equal(np.asarray(result), golden.dequantise(graph.tensors[graph.output], expected))
        assert result.top1 == expected.argmax()


def test_many_samples_give_the_results_of_each(network):
    samples = [sample(seed) for seed in range(3)]
    for x, result in zip(samples, network.run_many(iter(samples)), strict=True):
        expected = network.run(x)
        assert np.array_equal(result.output_raw, expected.output_raw)
        assert result.cycles == expected.cycles
    assert network.run_many([]) == []


def test_batch_axis_may_be_left_out_and_floats_are_quantised(network):
    x = sample(9)
    real = golden.dequantise(network.signature.tensors[network.signature.input], x)
    for other in (x[0], real, real[0].astype(np.float64)):
        assert np.array_equal(network.run(other).output_raw, network.run(x).output_raw)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (np.zeros((6, 5), np.int8), "shape"),
        (np.zeros((2, 6, 5, 3), np.int8), "one sample, not 2"),
        (np.zeros((1, 6, 5, 3), np.uint8), "dtype uint8"),
        (np.full((1, 6, 5, 3), np.nan), "finite"),
    ],
)
def test_refuses_wrong_samples(network, wrong, message):
    with pytest.raises(InputError, match=message):
        network.run(wrong)


def test_report_is_complete_and_consistent(network):
    results = [network.run(sample(seed)) for seed in range(2)]
    report = json.loads(json.dumps(run_report(results)))
    assert len(report["samples"]) == 2
    assert report["samples"][0] == {k: v for k, v in report.items() if k != "samples"}
    assert "samples" not in run_report(results[:1])
    assert set(report) >= {
        "output", "output_raw", "top1", "kind", "config", "cycles", "clock_mhz", "latency_ms", "nonzero_macs",
        "dense_macs", "mac_utilisation", "weight_bytes", "dram_bytes", "layers",
    }  # fmt: skip
    assert report["kind"] == "predicted"
    assert report["latency_ms"] == report["cycles"] / (1000 * TINY.clock_mhz)
    assert report["nonzero_macs"] == sum(layer["nonzero_macs"] for layer in report["layers"])
    assert report["mac_utilisation"] == report["nonzero_macs"] / (TINY.n_multipliers * report["cycles"])
    graph = small_graph(3)
    assert [layer["dense_macs"] for layer in report["layers"]] == [3 * 2 * 6 * 27, 4 * 36]
    for layer, conv in zip(report["layers"], graph.layers, strict=True):
        assert layer["name"] == conv.name
        assert layer["kind"] == conv.kind
        assert layer["utilisation"] == layer["nonzero_macs"] / (TINY.n_multipliers * layer["cycles"])
        assert layer["stall_share"] == 0
        assert set(layer["stalls"]) == {"fetch", "drain", "store", "start", "finish"}


def test_networks_share_a_device():
    graphs = [small_graph(seed) for seed in (4, 5)]
    with open_device("reference", config=TINY) as device:
        networks = [device.load(Model(graph)) for graph in graphs]
        for network, graph in zip(networks, graphs, strict=True):
            assert np.array_equal(network.run(sample(0)).output_raw.reshape(1, 1, 4), golden.run(graph, sample(0)[0]))


@pytest.mark.parametrize(
    ("arguments", "message"), [(("toaster",), "no device"), (("reference", "X1"), "configuration")]
)
def test_unknown_device_or_configuration(arguments, message):
    with pytest.raises(DeviceError, match=message):
        open_device(arguments[0], config=arguments[1] if len(arguments) > 1 else "TINY")


def test_a_board_without_pynq_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynq", None)
    monkeypatch.delitem(sys.modules, "pumice.device.pynq", raising=False)
    with pytest.raises(DeviceError, match=r"needs PYNQ .*pip install 'pumice\[pynq\]'"):
        open_device("pynq")
