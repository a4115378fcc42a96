"""Byte-array models of what the write bus does to activation memory."""

import numpy as np


def store(memory: np.ndarray, vector, out_address: int, first: int, n_store: int, layer: dict) -> None:
    """Write lanes ``0 .. n_store - 1`` of the row result of positions ``first ...``, position by position."""
    for lane in range(n_store):
        y, x = divmod(first + lane, layer["row_stride"])
        if layer["phase_store"]:
            plane = ((y & 1) * 2 + (x & 1)) * layer["phase_pitch"]
            address = out_address + plane + (y >> 1) * (layer["row_stride"] // 2) + (x >> 1)
        else:
            address = out_address + first + lane
        memory[address % len(memory)] = vector[lane]


def tile(first: int, n_store: int, layer: dict, n_lanes: int, address_bits: int) -> dict:
    """Fields of `tile_layout` for the tile of positions ``first ...``; every lane valid."""
    y, x = divmod(first, layer["row_stride"])
    phase_row = (y >> 1) * (layer["row_stride"] // 2) % (1 << address_bits)
    return {
        "position": first, "n_store": n_store, "valid": (1 << n_lanes) - 1,
        "x": x, "odd_row": y & 1, "phase_row": phase_row, "last": 0,
    }  # fmt: skip


def apply_write(memory: np.ndarray, write) -> None:
    """Perform a vector write (a view of `vector_write_layout`)."""
    for lane in range(write.start, write.stop):
        memory[(write.address + lane) % len(memory)] = write.data[lane]


def fill_gaps(memory: np.ndarray, layer: dict) -> None:
    """Fill the gaps of ``layer``."""
    for j in range(layer["n_gaps"]):
        start = layer["gap_start"] + j * layer["gap_pitch"]
        memory[np.arange(start, start + layer["gap_bytes"]) % len(memory)] = layer["zero_point"] & 0xFF
