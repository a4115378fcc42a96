"""The demonstration: real handwritten digits on the simulated engine."""

import time
from pathlib import Path

import numpy as np
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from ..device import Device, open_device
from ..errors import PumiceError
from ..network import Image, load
from ..report import Result
from ..report.tables import run_table
from .digits import load_split

MODEL = Path(__file__).parents[3] / "models" / "digits" / "digits.tflite"
N_DIGITS = 16
SHADES = " ░▒▓█"
_FORMAT_DENSE = "dense"


def show(console: Console, config: str) -> None:
    """Classify held-out digits and show predictions, what each layer did, and totals."""
    if not MODEL.exists():
        raise PumiceError(f"the demonstration runs in the project's folder: {MODEL} is not there")
    model, split = load(MODEL), load_split()
    if isinstance(model, Image):
        raise PumiceError(f"{MODEL} is an image, not a network")
    with console.status(f"Starting the simulated {config} board (the first time it is built: about a minute) ..."):
        device = open_device("sim", config=config)
    with device:
        network = device.load(model)
        images, labels = split.test_images[:N_DIGITS], split.test_labels[:N_DIGITS]
        start = time.perf_counter()
        results = [network.run(image) for image in images]
        seconds = time.perf_counter() - start
        dense = device.load(model, formats=_FORMAT_DENSE).run(images[0])
        console.print(_introduction(device, results[0]))
        console.print(_predictions(images, labels, results, in_colour=console.color_system is not None))
        console.print(run_table(results[0], dense))
        console.print(_totals(results, labels, dense, seconds))


def _introduction(device: Device, result: Result) -> RenderableType:
    config = device.config
    return Text.assemble(
        ("Pumice", "bold"),
        f": a network for handwritten digits, {1 - result.nonzero_macs / result.dense_macs:.0%} of its multiply-"
        f"accumulates pruned away, on {config.n_cores} cores of {config.n_lanes} lanes. Every cycle below is counted "
        "by the simulated hardware, soft core, DMA and DRAM included.",
    )


def _predictions(images: np.ndarray, labels: np.ndarray, results: list[Result], *, in_colour: bool) -> RenderableType:
    cells = []
    for image, label, result in zip(images, labels, results, strict=True):
        right = result.top1 == label
        verdict = f"read {result.top1}" if right else f"{result.top1}, is {label}"
        picture = (_half_blocks if in_colour else _shades)(image[..., 0])
        cells.append(Group(picture, Text(verdict, style="green" if right else "bold red")))
    columns = Columns(cells, width=8, padding=(0, 1))
    return Panel(columns, title="held-out digits", title_align="left", width=76)


def _shades(image: np.ndarray) -> Text:
    """An image (8, 8) in 0..1 as four lines without colour, the mean of two pixels to a character."""
    levels = np.rint(image.reshape(4, 2, 8).mean(1) * (len(SHADES) - 1)).astype(int)
    return Text("\n".join("".join(SHADES[level] for level in line) for line in levels))


def _half_blocks(image: np.ndarray) -> Text:
    """An image (8, 8) in 0..1 as four lines of half blocks, two pixels to a character."""
    text = Text()
    for upper, lower in zip(image[::2], image[1::2], strict=True):
        for top, bottom in zip(upper, lower, strict=True):
            colours = [f"rgb({level},{level},{level})" for level in (int(20 + 235 * top), int(20 + 235 * bottom))]
            text.append("▀", style=f"{colours[0]} on {colours[1]}")
        text.append("\n")
    text.right_crop(1)
    return text


def _totals(results: list[Result], labels: np.ndarray, dense: Result, seconds: float) -> RenderableType:
    first = results[0]
    n_right = sum(result.top1 == label for result, label in zip(results, labels, strict=True))
    n_cycles = sum(result.cycles for result in results)
    return Text.assemble(
        (f"{n_right} of {len(results)} digits right", "bold green" if n_right == len(results) else "bold"),
        f"; {first.cycles:,} cycles a digit = {first.latency_ms:.3f} ms at {first.clock_mhz:g} MHz ({first.kind}), "
        f"{dense.cycles / first.cycles:.1f} times as fast as with every weight kept.\n"
        f"{first.weight_bytes:,} bytes of weights instead of {dense.weight_bytes:,}; {first.dram_bytes:,} bytes of "
        f"DRAM traffic a digit. Simulated {n_cycles:,} cycles in {seconds:.1f} s ({n_cycles / seconds:,.0f} cycles/s).",
    )
