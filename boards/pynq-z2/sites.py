"""Which places LUTs may take; nextpnr runs this before it places (`pumice.open_xc7`).

A site has two LUTs with common inputs (BELs ``A6LUT``, ``A5LUT`` to ``D``). With one taken, nextpnr's router may swap
the inputs; with both it may not, and some inputs are never free. So a LUT takes the 6LUT of a site, save those of carry
chains, memories and shift registers, whose places are given. `docs/decisions.md`, 26, has the figures.
"""

from __main__ import ctx  # nextpnr's  # pyright: ignore[reportAttributeAccessIssue]

REGION = "one_lut_a_site"
OF_MEMORY = {"X_LUT_AS_DRAM", "X_LUT_AS_SRL"}


def is_free(cell) -> bool:
    """A LUT whose place nothing else decides."""
    if str(cell.type) != "SLICE_LUTX" or OF_MEMORY & {str(name) for name, _ in cell.attrs}:
        return False
    nets = [port.net for name, port in cell.ports if str(name) == "O6" and port.net is not None]
    return bool(nets) and all(str(user.cell.type) != "CARRY4" for user in nets[0].users)


ctx.createRectangularRegion(REGION, 1, 1, 0, 0)  # empty
for bel in map(str, ctx.getBels()):
    if bel.endswith("6LUT"):
        ctx.addBelToRegion(REGION, bel)
free = [str(name) for name, cell in ctx.cells if is_free(cell)]
for name in free:
    ctx.constrainCellToRegion(name, REGION)
print(f"{len(free)} LUTs take a site each")
