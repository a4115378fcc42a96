"""Which places LUTs may take; nextpnr runs this before it places (`pumice.open_xc7`).

A site has two LUTs with common inputs (BELs ``A6LUT``, ``A5LUT`` to ``D``). Where any two may share one, some designs
keep inputs that the router cannot free. So a LUT of more than three inputs takes the 6LUT of a site, and only smaller
ones join another; `Z7020` would not fit if none did. Those of carry chains, memories and shift registers have their
places given. `docs/decisions.md`, 26, has the figures.
"""

from __main__ import ctx  # nextpnr's  # pyright: ignore[reportAttributeAccessIssue]

REGION = "one_lut_a_site"
MAY_SHARE = 3  # inputs
OF_MEMORY = {"X_LUT_AS_DRAM", "X_LUT_AS_SRL"}


def takes_a_site(cell) -> bool:
    """A LUT with many inputs whose place nothing else decides."""
    if str(cell.type) != "SLICE_LUTX" or OF_MEMORY & {str(name) for name, _ in cell.attrs}:
        return False
    nets = {str(name): port.net for name, port in cell.ports if port.net is not None}
    users = nets["O6"].users if "O6" in nets else []
    n_inputs = sum(name.startswith("A") for name in nets)
    return n_inputs > MAY_SHARE and bool(users) and all(str(user.cell.type) != "CARRY4" for user in users)


ctx.createRectangularRegion(REGION, 1, 1, 0, 0)  # empty
for bel in map(str, ctx.getBels()):
    if bel.endswith("6LUT"):
        ctx.addBelToRegion(REGION, bel)
large = [str(name) for name, cell in ctx.cells if takes_a_site(cell)]
for name in large:
    ctx.constrainCellToRegion(name, REGION)
print(f"{len(large)} LUTs take a site each")
