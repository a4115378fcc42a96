"""Byte-array models of what the write bus does to activation memory, with or without an axis of cores in front."""

import numpy as np


def phase_pitch(layer: dict, n_lanes: int) -> int:
    """Bytes from one phase plane to the next."""
    return n_lanes * layer["phase_vectors"] + n_lanes // 2


def store(memory: np.ndarray, vector, out_address: int, first: int, n_store: int, layer: dict) -> None:
    """Write lanes ``0 .. n_store - 1`` of the row result of positions ``first ...``, position by position."""
    out_address += layer["write_offset"]
    for lane in range(n_store):
        y, x = divmod(first + lane, layer["row_stride"])
        if layer["phase_store"]:
            plane = ((y & 1) * 2 + (x & 1)) * phase_pitch(layer, len(vector))
            address = out_address + plane + (y >> 1) * layer["phase_stride"] + (x >> 1)
        else:
            address = out_address + first + lane
        memory[..., address % memory.shape[-1]] = vector[lane]


def tile(first: int, n_store: int, layer: dict, n_lanes: int, address_bits: int) -> dict:
    """Fields of `tile_layout` for the tile of positions ``first ...``; every lane valid."""
    y, x = divmod(first, layer["row_stride"])
    phase_row = (y >> 1) * layer["phase_stride"] % (1 << address_bits)
    return {
        "position": (first + layer["read_offset"]) % (1 << address_bits),
        "n_store": n_store, "valid": (1 << n_lanes) - 1,
        "x": x, "odd_row": y & 1, "phase_row": phase_row, "last": 0,
    }  # fmt: skip


def apply_write(memory: np.ndarray, write, layer: dict) -> None:
    """Perform a vector write (a view of `vector_write_layout`); its lanes must lie in different banks."""
    n_lanes, addresses = len(write.data), []
    for lane in range(write.start, write.stop):
        column = lane + write.odd
        split = (column >> 1) + (column & 1) * phase_pitch(layer, n_lanes) if write.split else lane
        addresses.append((write.address + split) % len(memory))
        memory[addresses[-1]] = write.data[lane]
    assert len({address % n_lanes for address in addresses}) == len(addresses)


def fill_gaps(memory: np.ndarray, layer: dict) -> None:
    """Fill the gaps of ``layer``."""
    for j in range(layer["n_gaps"]):
        start = layer["gap_start"] + j * layer["gap_pitch"]
        memory[..., np.arange(start, start + layer["gap_bytes"]) % memory.shape[-1]] = layer["zero_point"] & 0xFF
