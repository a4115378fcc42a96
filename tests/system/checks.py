"""Runs a graph on a board and compares every tensor with the golden model."""

import itertools

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.reference import run_image


def assert_rtl_matches_golden(board, graph, samples, *, formats=None) -> int:
    """Every tensor of the debug image, and the plain image's output alone and in a row, for each sample.

    Returns the number of comparisons.
    """
    config, n = board.config, 0
    debug = compile_graph(graph, config, formats=formats, debug=True)
    plain = compile_graph(graph, config, formats=formats)
    result = plain.metadata["output"]["name"]
    expected = [golden.run(graph, x, keep=True) for x in samples]

    board.load(debug)
    for x, tensors in zip(samples, expected, strict=True):
        for name, (values, channels) in debug.unpack_tensors(board.run(debug.pack_input(x)).output).items():
            # A relayout's copy is named for its source, tensor@2x2.
            np.testing.assert_array_equal(values, tensors[name.split("@")[0]][..., list(channels)], err_msg=name)
            n += 1

    board.load(plain)
    for x, tensors in zip(samples, expected, strict=True):
        run = board.run(plain.pack_input(x))
        np.testing.assert_array_equal(plain.unpack_output(run.output), tensors[result], err_msg=result)
        n += 1
    together = board.run_many([plain.pack_input(x) for x in [*samples, *samples[:1]]])
    for i, run in enumerate(together):
        np.testing.assert_array_equal(
            plain.unpack_output(run.output), expected[i % len(samples)][result], err_msg=result
        )
    _, log = run_image(plain.data, config, plain.pack_input(samples[0]))
    entries = itertools.chain.from_iterable(run.log for run in together)
    for tag, (entry, reference) in enumerate(zip(entries, log * len(together), strict=True)):
        for counter in ("steps", "nonzeros"):
            assert entry[counter] == reference[counter], f"layer {tag}: {counter}"
        stalls = sum(value for name, value in entry.items() if name.startswith("stall_"))
        assert entry["steps"] + stalls == config.n_cores * entry["cycles"], f"layer {tag}: every cycle has one cause"
    return n
