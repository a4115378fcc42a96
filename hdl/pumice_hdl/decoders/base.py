"""The interface of an index decoder."""

from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.formats import MAX_INDEX_BITS

from ..layouts import STEP_LAYOUT


class Decoder(wiring.Component):
    """Turns the indices of one weight format into steps, one a cycle; the hardware twin of a `WeightFormat`.

    ``index_bits`` and ``has_value`` follow combinationally from ``window``, ``first`` and the decoder's own state, for
    the streams move by them; ``step`` comes a cycle later, so that arithmetic is not in front of a shift. The state
    moves in cycles with ``take``. Outputs are meaningless while the window is not filled. The value, if the step has
    one, comes from another stream (`.values`).

    Members
    -------
    window : In(16)
        The next bits of the index stream, LSB first.
    first : In(1)
        The step is the first of its row: state left by earlier rows does not count.
    parameter : In(8)
        `WeightFormat.parameter` of the layer; constant for at least two cycles before a step.
    longest : In(6)
        The most that a step may advance, minus one: the smaller of 64 and the layer's ``n_channels``.
    index_bits : Out(5)
        How many bits the index of the step takes that the window begins with, 0..16. What it depends on decides the
        clock rate: a shift follows.
    has_value : Out(1)
        A value follows, else the step's weight is 0.
    take : In(1)
        The step is used in this cycle.
    step : Out(STEP_LAYOUT)
        The step that was used in the previous cycle.
    """

    def __init__(self):
        super().__init__(
            {
                "window": In(MAX_INDEX_BITS),
                "first": In(1),
                "parameter": In(8),
                "longest": In(6),
                "index_bits": Out(5),
                "has_value": Out(1),
                "take": In(1),
                "step": Out(STEP_LAYOUT),
            }
        )
