"""The interface of a value decoder."""

from amaranth import signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from pumice.spec.config import WEIGHT_WORD_BITS
from pumice.spec.values import MAX_VALUE_BITS

from ...layouts import TABLE_WORD_LAYOUT

VALUE_LATENCY = 3  # cycles from a code word to its value


class ValueDecoder(wiring.Component):
    """Turns the code words of one value coding into weights; the hardware twin of a `ValueCoding`.

    Members
    -------
    window : In(12)
        The next bits of the value stream, LSB first.
    value_bits : Out(4)
        Bits of the code word that it begins with, 1..12; combinational, and a shift follows.
    weight : Out(signed(8))
        The value of the window of ``VALUE_LATENCY`` cycles ago.
    table, table_valid : In(TABLE_WORD_LAYOUT), In(1)
        The segment's value table, also those of other codings. No window counts until it is complete.
    """

    def __init__(self):
        super().__init__(
            {
                "window": In(MAX_VALUE_BITS),
                "value_bits": Out(4),
                "weight": Out(signed(8)),
                "table": In(TABLE_WORD_LAYOUT),
                "table_valid": In(1),
            }
        )


BYTES_PER_WORD = WEIGHT_WORD_BITS // 8
