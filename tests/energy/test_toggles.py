"""Counted activity against what the gateware's nets did, as Verilator saw them (SAIF)."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from pumice import open_device
from pumice.energy import Activity
from pumice.energy.activity import CONTROL, WORD_BYTES, load_activity, network_activity
from pumice.graph import Graph
from pumice.image import Image
from pumice.network import Model
from pumice.spec.config import TINY, WEIGHT_WORD_BITS
from pumice.spec.formats import MAX_INDEX_BITS
from pumice.spec.stripes import QUEUE_ROWS
from pumice_hdl.core.fetch import N_HEADERS, N_STRIPED_HEADERS, N_WORDS
from pumice_hdl.core.step_queue import N_STEPS

from ..compiler.graphs import GraphBuilder
from .saif import Net, read_saif

CORE = "engine/core_0"
SEED = 17


class Run(NamedTuple):
    """One inference: nets, activity by layer, and the device's traffic."""

    nets: dict[str, Net]
    parts: dict[str, Activity]
    read_bytes: int
    write_bytes: int
    cycles: int

    @property
    def total(self) -> Activity:
        """Of all layers and transfers."""
        return Activity.total(self.parts.values())


class Load(NamedTuple):
    """Loading an image: nets, and the activity that is counted."""

    nets: dict[str, Net]
    activity: Activity


@pytest.fixture(scope="module")
def traced(tmp_path_factory) -> tuple[Load, Run, Run]:
    """A network with plain, depthwise, pooling and striped layers, on a sample of noise and on one of zero points."""
    b = GraphBuilder(np.random.default_rng(SEED), (7, 9, 3))
    name = b.depthwise(b.conv("input", 6, stride=(2, 2), density=0.5))
    graph = b.build(b.conv(b.pool(b.conv(name, 16, (1, 1), density=0.4), "average", (4, 5)), 10, (1, 1), density=0.6))
    noise = np.random.default_rng(SEED).integers(-128, 128, graph.tensors["input"].shape).astype(np.int8)
    quiet = np.full_like(noise, graph.tensors["input"].zero_point)
    folder = tmp_path_factory.mktemp("saif")
    image, nets, _ = _trace(folder / "load.saif", graph, [])
    inferences = [_inference(_trace(folder / f"{i}.saif", graph, [x]), nets) for i, x in enumerate((noise, quiet))]
    return Load(nets, load_activity(image, TINY)), inferences[0], inferences[1]


@pytest.fixture
def runs(traced) -> tuple[Run, Run]:
    """The inferences."""
    return traced[1:]


def _trace(path: Path, graph: Graph, samples: list[np.ndarray]) -> tuple[Image, dict[str, Net], list]:
    """The image, nets since reset, and what `Device.observe` tells of inferences on ``samples``."""
    told = []
    with open_device("sim", config=TINY, trace=path) as device, device.observe(lambda *each: told.append(each)):
        network = device.load(Model(graph))
        for x in samples:
            network.run(x)
    return network.image, read_saif(path), told


def _inference(trace, before: dict[str, Net]) -> Run:
    image, nets, ((_, data, run),) = trace
    return Run(
        nets={name: net - before[name] for name, net in nets.items()},
        parts=network_activity(image, TINY, data, run),
        read_bytes=run.read_bytes,
        write_bytes=run.write_bytes,
        cycles=run.cycles,
    )


def test_loading_writes_what_the_nets_write(traced):
    nets, activity = traced[0]
    assert activity.weight_words_written == nets[f"{CORE}/memory/write__enable"].cycles_high > 0
    assert activity.bank_write_bytes == nets[f"{CORE}/banks/write.enable"].cycles_high > 0
    assert activity.dram_bytes == WORD_BYTES * nets["dma/arrived/w_en"].cycles_high


def test_steps_reads_and_results_are_those_of_the_nets(runs):
    for run in runs:
        core = {name.removeprefix(f"{CORE}/"): net.cycles_high for name, net in run.nets.items()}
        slots = run.total.steps - core["issue/term_valid"]
        assert 0 < slots < core["reader/valid"]  # a striped layer's slots follow its input
        rows_read = core["issue/term_valid"] + core["reader/valid"] + run.nets["dma/engine__activation_data__valid"][0]
        assert run.total.bank_read_bytes == TINY.n_lanes * rows_read
        assert run.total.bank_write_bytes == core["banks/write.enable"]
        n_striped = run.parts[list(run.parts)[-2]].requantised
        assert run.total.requantised == TINY.n_lanes * core["drain/places/w_en"] + n_striped


def test_weight_words_are_those_of_the_nets_but_for_what_is_read_ahead(runs):
    nets = {name: net.cycles_high for name, net in runs[0].nets.items()}
    queues = ((1, "indices/w_en"), (1, "values/w_en"), (2, "headers/w_en"), (1, "taps_valid"), (1, "table_valid"))
    n_layers = len(runs[0].parts) - 1
    read = n_layers + sum(words * nets[f"{CORE}/fetch/{name}"] for words, name in queues)
    decoded = N_STEPS // 2 + 1  # and headers that wait beside the row sums, in the last layer, which is striped
    stream_words = N_WORDS + -(-decoded * MAX_INDEX_BITS // WEIGHT_WORD_BITS)
    headers = N_STRIPED_HEADERS - N_HEADERS + QUEUE_ROWS // 2 + 1
    ahead = n_layers * 2 * (stream_words + N_HEADERS) + 2 * headers
    assert 0 <= read - runs[0].total.weight_words_read <= ahead
    assert nets[f"{CORE}/memory/write__enable"] == runs[0].total.weight_words_written == 0


def test_memory_traffic_and_cycles_are_those_of_the_nets(runs):
    for run in runs:
        nets = {name: net.cycles_high for name, net in run.nets.items()}
        assert run.read_bytes == WORD_BYTES * nets["dma/arrived/w_en"]
        assert run.write_bytes == WORD_BYTES * nets["dma/leaving/w_en"]
        in_layers = sum(part.cycles for name, part in run.parts.items() if name != CONTROL)
        assert in_layers == nets["engine/counters/active"]
        assert in_layers < run.cycles < run.nets["walker/clk"].changes / 2
        # The soft core's price is that of an instruction a cycle.
        assert 0.1 * run.cycles < nets["soft_core/cpu/launch_next_insn"] < run.total.soft_core_cycles


def test_fewer_multiplier_nets_change_on_zero_activations(runs):
    noise, quiet = runs
    assert quiet.total.macs < noise.total.macs
    assert quiet.total.macs + quiet.total.zero_macs == noise.total.macs + noise.total.zero_macs
    for net in ("vector", "taken", "product", "accumulators"):
        assert quiet.nets[f"{CORE}/macs/{net}"].changes < noise.nets[f"{CORE}/macs/{net}"].changes, net
