"""Compiles a graph, runs the image in numpy and compares every tensor with the golden model."""

import numpy as np
from pumice import golden
from pumice.compiler import compile_graph
from pumice.device.reference import run_image
from pumice.graph import Graph
from pumice.image import Image
from pumice.spec.config import EngineConfig


def assert_matches_golden(graph: Graph, config: EngineConfig, *, seed: int, formats=None, dense=False) -> Image:
    """The plain image's outputs on three samples in a row and each tensor of the debug image; returns the plain one."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-128, 128, graph.tensors[graph.input].shape).astype(np.int8)
    expected = golden.run(graph, x, keep=True)

    image = compile_graph(graph, config, formats=formats, dense=dense)
    name = image.metadata["output"]["name"]
    samples = [x, rng.integers(-128, 128, x.shape).astype(np.int8), x]
    outputs = [expected[name], golden.run(graph, samples[1], keep=True)[name], expected[name]]
    packed = b"".join(image.pack_input(sample) for sample in samples)
    output, log = run_image(image.data, config, packed, n_samples=len(samples), seed=seed)
    for i, values in enumerate(outputs):
        part = image.unpack_output(output[i * image.header["output_bytes"] :])
        np.testing.assert_array_equal(part, values, err_msg=f"seed {seed}, output {i}")
    for layer in image.metadata["layers"]:
        for first in range(0, len(log), image.header["n_layers"]):
            assert sum(log[first + tag]["steps"] for tag in layer["tags"]) == layer["steps"], layer["name"]

    debug = compile_graph(graph, config, formats=formats, dense=dense, debug=True)
    output, _ = run_image(debug.data, config, debug.pack_input(x), seed=seed + 1)
    tensors = debug.unpack_tensors(output)
    assert set(tensors) == {layer["output"] for layer in image.metadata["layers"]}
    for name, (values, channels) in tensors.items():
        # A relayout's copy is named for its source, tensor@2x2.
        reference = expected[name.split("@")[0]][..., list(channels)]
        np.testing.assert_array_equal(values, reference, err_msg=f"seed {seed}, tensor {name}")
    return image
