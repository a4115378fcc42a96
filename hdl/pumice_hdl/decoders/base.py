"""The interface of a weight decoder."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..layouts import STEP_LAYOUT


class Decoder(wiring.Component):
    """Turns the bits of one weight format into steps, one a cycle; the hardware twin of a `WeightFormat`.

    ``step`` and ``n_bits`` follow combinationally from ``window``, ``first`` and the decoder's own state; the state
    moves in cycles with ``take``. Outputs are meaningless while the window is not filled.

    Members
    -------
    window : In(24)
        The next bits of the stream, LSB first.
    first : In(1)
        The step is the first of its row: state left by earlier rows does not count.
    step : Out(STEP_LAYOUT)
        The step that the window begins with.
    n_bits : Out(5)
        How many bits it takes, 1..24.
    take : In(1)
        The step is used in this cycle.
    """

    def __init__(self):
        super().__init__({"window": In(24), "first": In(1), "step": Out(STEP_LAYOUT), "n_bits": Out(5), "take": In(1)})
