"""The sparse ResNet-8 of the repository: as small and as good as its page says, and on the verilated Z7020."""

import re
from pathlib import Path

from pumice import golden
from pumice.frontends import load_graph

from bench.resnet8.data import load_test, to_real
from bench.resnet8.measure import measure

from .checks import assert_rtl_matches_golden

FOLDER = Path(__file__).parents[2] / "models" / "resnet8"
BARS = {"accuracy": 0.85, "density": 0.25}


def test_page(shared_data):
    graph, page = load_graph(FOLDER / "resnet8.pumq"), (FOLDER / "README.md").read_text()
    found = measure(graph, "Z7020")
    assert found["accuracy"] >= BARS["accuracy"]
    assert found["density"] <= BARS["density"]
    assert re.search(rf"accuracy \| {found['accuracy']:.1%} of the first {found['test_images']}", page)
    assert f"{found['density']:.2%} are not zero" in page


def test_rtl_matches_golden(shared_data, boards):
    graph = load_graph(FOLDER / "resnet8.pumq")
    images, _ = load_test(shared_data / "cifar10")
    samples = list(golden.quantise(graph.tensors[graph.input], to_real(images[:2])))
    assert assert_rtl_matches_golden(boards("Z7020"), graph, samples) >= 2 * len(samples)
