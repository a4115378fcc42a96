"""Tables and sentences for a terminal."""

from collections.abc import Sequence

from rich import box
from rich.table import Table

from .result import Result


def run_table(result: Result, dense: Result | None = None) -> Table:
    """What each layer did; with ``dense``, the same network run without skipping zeros, how much faster it was."""
    title = f"{result.config} at {result.clock_mhz:g} MHz, {result.kind}"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for title in ("layer", "kind", "format"):
        table.add_column(title)
    for title in ("density", "bits/wt", "cycles", "MAC use", "stalls"):
        table.add_column(title, justify="right")
    is_split = any(layer.where != "engine" for layer in result.layers)
    if is_split:
        table.add_column("runs on")
    dense_cycles: Sequence[int | None] = [None] * len(result.layers)
    if dense is not None:
        table.add_column("speed-up", justify="right")
        dense_cycles = [layer.cycles for layer in dense.layers]
    for layer, slow in zip(result.layers, dense_cycles, strict=True):
        where = [layer.where] if is_split else []
        if layer.where != "engine":
            table.add_row(layer.name, layer.kind, "", "", "", "", "", "", *where)
            continue
        table.add_row(
            layer.name, layer.kind, layer.format, f"{layer.density:.1%}", f"{layer.bits_per_weight:.2f}",
            f"{layer.cycles:,}", f"{layer.utilisation:.1%}", f"{layer.stall_share:.1%}", *where,
            *([f"{slow / max(1, layer.cycles):.2f}x"] if slow is not None else []),
        )  # fmt: skip
    table.add_section()
    n_weights = sum(8 * layer.weight_bytes / layer.bits_per_weight for layer in result.layers if layer.bits_per_weight)
    table.add_row(
        "total", "", "", f"{result.nonzero_macs / max(1, result.dense_macs):.1%}",
        f"{8 * result.weight_bytes / max(1, n_weights):.2f}", f"{result.cycles:,}", f"{result.mac_utilisation:.1%}", "",
        *([""] if is_split else []),
        *([f"{dense.cycles / max(1, result.cycles):.2f}x"] if dense is not None else []),
        style="bold",
    )  # fmt: skip
    return table


def summary(result: Result) -> str:
    """One sentence on a run."""
    return (
        f"top-1 class {result.top1}; {result.cycles:,} cycles = {result.latency_ms:.3f} ms at {result.clock_mhz:g} MHz "
        f"({result.kind}); {result.nonzero_macs:,} of {result.dense_macs:,} multiply-accumulates, "
        f"{result.mac_utilisation:.1%} of what the engine could do; {result.dram_bytes:,} bytes of DRAM traffic"
    )
