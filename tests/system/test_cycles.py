"""Predicted cycles of every layer that is long enough against the RTL's log, and of runs against the RTL's counter."""

from pathlib import Path

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.frontends import load_graph

from ..compiler.graphs import random_graph

DIGITS = Path(__file__).parents[2] / "models" / "digits" / "digits.tflite"
MLPERF = [
    "vww/vww_96_int8.tflite",
    "ic/pretrainedResnet_int8.tflite",
    "kws/kws_ref_model_int8.tflite",
    "ad/ad01_int8.tflite",
]
MIN_CYCLES = 200  # shorter layers wait for the soft core
TOLERANCE = 0.03


def assert_cycles_are_predicted(board, graph, min_cycles: int = MIN_CYCLES) -> int:
    """Each layer, and the run with its transfers; returns how many layers were long enough."""
    image = compile_graph(graph, board.config)
    board.load(image)
    run = board.run(image.pack_input(np.zeros(graph.tensors[graph.input].shape, np.int8)))
    n = 0
    for layer in image.metadata["layers"]:
        cycles = sum(run.log[tag]["cycles"] for tag in layer["tags"])
        if cycles >= min_cycles:
            difference = layer["predicted_cycles"] / cycles - 1
            assert abs(difference) <= TOLERANCE, f"{layer['name']}: {difference:+.1%} of {cycles} cycles"
            n += 1
    predicted = image.metadata["predicted_cycles"]
    assert run.cycles < 2 * min_cycles or abs(predicted / run.cycles - 1) <= TOLERANCE, (predicted, run.cycles)
    return n


def test_random_networks(boards):
    # On TINY's one core of 8 lanes some ten cycles of start-up are beyond the formula: 3 % from 400 cycles on.
    board, graphs = boards("TINY"), [random_graph(np.random.default_rng(seed)) for seed in range(20)]
    assert sum(assert_cycles_are_predicted(board, graph, 400) for graph in graphs) > 20


def test_digits(boards):
    assert assert_cycles_are_predicted(boards("Z7020"), load_graph(DIGITS)) >= 3


@pytest.mark.parametrize("path", MLPERF)
def test_mlperf(shared_data, boards, path):
    assert assert_cycles_are_predicted(boards("Z7020"), load_graph(shared_data / "mlperf_tiny" / path)) >= (
        2 if path.startswith("ad/") else 9
    )
