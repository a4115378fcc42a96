"""The interpreter refuses what the hardware could not run."""

import numpy as np
import pytest
from pumice.compiler import compile_graph
from pumice.device.reference import Machine
from pumice.errors import DeviceError, ImageError
from pumice.image import parse_header
from pumice.spec.config import TINY, Z7020
from pumice.spec.descriptor import COMMAND, LAYER, OP_END, OP_LAYER, OP_NEXT_PAGE, OP_TRANSFER, TRANSFER

from .graphs import GraphBuilder

SEED = 9


def _run(*commands: list[int]) -> Machine:
    machine = Machine(TINY, np.random.default_rng(SEED))
    machine.buffers = {"image": bytearray(64), "input": bytearray(64), "output": bytearray(64)}
    machine.run(np.array([word for command in commands for word in command], np.uint32))
    return machine


def _head(op: int, payload: list[int], after_layers: int = 0, after_transfers: int = 0) -> list[int]:
    n_words = COMMAND.n_words + len(payload)
    head = COMMAND.pack(op=op, n_words=n_words, skip=0, after_layers=after_layers, after_transfers=after_transfers)
    return head + payload


def _transfer(**changes: int) -> list[int]:
    fields = {"write": 0, "space": 0, "buffer": 1, "core": 0, "local": 0, "offset": 0, "n_bytes": 64}
    fields |= {"n_runs": 1, "local_pitch": 0, "pitch": 0}
    return _head(OP_TRANSFER, TRANSFER.pack(**(fields | changes)))


def _end(n_layers: int = 0, n_transfers: int = 0) -> list[int]:
    return _head(OP_END, [], n_layers, n_transfers)


def test_transfers_move_bytes():
    machine = _run(_transfer(local=16), _transfer(write=1, buffer=2, local=8, n_bytes=24), _end(0, 2))
    assert machine.activations[16:80].tobytes() == bytes(64)
    assert machine.buffers["output"][8:24] == bytes(16)


@pytest.mark.parametrize(
    ("commands", "message"),
    [
        ([_transfer()], "without END"),
        ([_transfer(), _end(0, 0)], "END does not wait"),
        ([_end(), _end()], "commands follow"),
        ([_end(0, 1)], "waits for 1 completions, but only 0"),
        ([_transfer(n_bytes=72), _end(0, 1)], "leaves its buffer"),
        ([_transfer(local=TINY.activation_bytes - 8), _end(0, 1)], "leaves its buffer"),
        ([_transfer(local=4), _end(0, 1)], "differently in words"),
        ([_transfer(n_bytes=8, n_runs=2, pitch=8, local_pitch=12), _end(0, 1)], "run 1 lies differently"),
        ([_transfer(n_bytes=8, n_runs=9, pitch=8), _end(0, 1)], "run 8 leaves its buffer"),
        ([_transfer(n_runs=0), _end(0, 1)], "empty"),
        ([_transfer(buffer=5), _end(0, 1)], "foreign"),
        ([_transfer(n_bytes=0), _end(0, 1)], "empty"),
        ([_transfer(space=1, core=1), _end(0, 1)], "cannot reach"),
        ([_transfer(space=1, write=1), _end(0, 1)], "cannot reach"),
        ([_head(OP_LAYER, [0] * 3), _end(1, 0)], "malformed"),
        ([_head(9, [0]), _end()], "malformed"),
        ([_head(OP_NEXT_PAGE, []), _end()], "without END"),
        ([*[_transfer()] * 63, _head(OP_LAYER, [0] * LAYER.n_words)], "lies in two pages"),
    ],
)
def test_bad_command_list_is_refused(commands, message):
    with pytest.raises(DeviceError, match=message):
        _run(*commands)


def test_segment_outside_weight_memory_is_refused():
    fields = dict.fromkeys((f.name for f in LAYER.fields), 0) | {"segment": TINY.weight_depth, "n_tiles": 1}
    with pytest.raises(DeviceError, match="leaves the weight memory"):
        _run(_head(OP_LAYER, LAYER.pack(**fields)), _end(1, 0))


def test_image_of_another_configuration_is_refused():
    b = GraphBuilder(np.random.default_rng(SEED), (3, 3, 1))
    image = compile_graph(b.build(b.conv("input", 1)), TINY)
    with pytest.raises(ImageError, match="compile the model for Z7020"):
        parse_header(image.data, Z7020)
