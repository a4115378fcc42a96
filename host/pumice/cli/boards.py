"""``pumice build``: bitstreams."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..build import BITSTREAMS, Board, BuildError, Toolchain, build_ulx3s, build_with_vivado
from ..network import find_config
from ..open_xc7 import TOOLS, Tools, build_pynq_z2


def build(
    board: Annotated[Board, typer.Option(help="The board.")] = Board.ULX3S,
    toolchain: Annotated[
        Toolchain | None, typer.Option(help="Default: open for ulx3s, vivado for the others; open makes pynq-z2, too.")
    ] = None,
    config: Annotated[str | None, typer.Option(help="Engine configuration; default: the board's.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder; default: below bitstreams.")] = None,
    clock: Annotated[float | None, typer.Option(help="Engine clock in MHz; default: the configuration's.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the placer; default: 1, for pynq-z2 the best of 1 to 4.")] = None,
) -> None:
    """Build a bitstream; takes many minutes."""
    tools = toolchain or (Toolchain.OPEN if board is Board.ULX3S else Toolchain.VIVADO)
    if tools is Toolchain.VIVADO:
        if board is Board.ULX3S:
            raise BuildError("Vivado does not know ulx3s")
        if any(option is not None for option in (config, output, clock, seed)):
            raise BuildError(
                f"{board.value} takes no options with Vivado: boards/{board.value}/build.tcl says how it is built"
            )
        build_with_vivado(board)
        return
    if board not in (Board.ULX3S, Board.PYNQ_Z2):
        raise BuildError(f"open tools do not know the part of {board.value}")
    engine = find_config(config or ("ULX3S" if board is Board.ULX3S else "Z7020"))
    engine = replace(engine, clock_mhz=clock or engine.clock_mhz)
    work = TOOLS.parent / board.value
    if board is Board.ULX3S:
        manifest = build_ulx3s(engine, output or BITSTREAMS / board.value, work, seed=1 if seed is None else seed)
    else:
        seeds = range(1, 5) if seed is None else range(seed, seed + 1)
        manifest = build_pynq_z2(engine, output or BITSTREAMS / f"{board.value}-open", Tools(TOOLS), work, seeds=seeds)
    Console().print(
        f"{board.value}, {engine.name}: {manifest['clock_mhz_post_route']} MHz post-route for "
        f"{manifest['clock_mhz']} MHz; {manifest['bitstream_bytes']:,} bytes"
    )
