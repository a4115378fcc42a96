"""Damages network files and reads them, within limits of memory and time; run as a program by `test_fuzz`.

Arguments: a folder with network files, how many damaged files to read in all, a seed. Prints one JSON object: how many
were refused by an exception of Pumice's own, how many held a valid network. Anything else ends it with a traceback.
"""

import json
import resource
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from pumice import golden
from pumice.errors import PumiceError
from pumice.floating import FloatGraph, run_all
from pumice.frontends import load_model
from pumice.graph import Graph
from pumice.split import split

MEMORY_BYTES = 2 << 30
SECONDS = 20
MAX_RUN_VALUES = 20_000  # larger networks are read, but not run
EDGES = (0, 1, -1, 127, 128, 255, 1 << 15, (1 << 31) - 1, -(1 << 31), 1 << 24)


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """With bits flipped, bytes or words forged, the end cut off, or a piece moved."""
    forged = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        place, kind = int(rng.integers(len(forged))), rng.integers(5)
        if kind == 0:
            forged[place] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            forged[place] = int(rng.choice((0, 1, 127, 128, 255)))
        elif kind == 2:
            start = place & ~3
            forged[start : start + 4] = int(rng.choice(EDGES) % (1 << 32)).to_bytes(4, "little")
        elif kind == 3 and len(forged) > 8:
            del forged[max(8, place) :]
        else:
            end = min(len(forged), place + int(rng.integers(1, 16)))
            target = int(rng.integers(max(1, len(forged) - (end - place))))
            forged[target : target + end - place] = forged[place:end]
    return bytes(forged)


def check(graph: Graph | FloatGraph) -> None:
    """Run a network that was read, if it is small."""
    if isinstance(graph, Graph):
        assert split(graph)
        if sum(int(np.prod(tensor.shape)) for tensor in graph.tensors.values()) < MAX_RUN_VALUES:
            x = np.zeros(graph.tensors[graph.input].shape, np.int8)
            values = golden.run(graph, x, keep=True)
            assert all(values[name].shape == tensor.shape for name, tensor in graph.tensors.items())
    elif sum(int(np.prod(shape)) for shape in graph.shapes.values()) < MAX_RUN_VALUES:
        values = run_all(graph, np.zeros((1, *graph.shapes[graph.input]), np.float32))
        assert all(values[name].shape[1:] == shape for name, shape in graph.shapes.items())


def main(folder: Path, n: int, seed: int) -> None:
    """See above."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    rng, outcomes = np.random.default_rng(seed), Counter()
    files = sorted(file for file in folder.iterdir() if file.suffix != ".json")
    contents = {file: file.read_bytes() for file in files}
    for i in range(n):
        file = files[i % len(files)]
        data = damaged(contents[file], rng)
        file.write_bytes(data)
        signal.alarm(SECONDS)  # ends the program
        try:
            with np.errstate(all="ignore"):
                check(load_model(file))
            outcomes["valid"] += 1
        except PumiceError:
            outcomes["refused"] += 1
        except BaseException:
            (folder / "failed").write_bytes(data)
            print(f"file {i}, made of {file.name} with seed {seed}", file=sys.stderr)
            raise
        signal.alarm(0)
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
