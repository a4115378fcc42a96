"""Weight formats: how the non-zeros of a layer's rows become a bit stream that one decoder turns into steps.

A row is a vector of int8 weights over positions ``0 .. n_positions - 1`` (see `pumice.spec.descriptor`). A decoder
emits one *step* a cycle: "advance by 1..32 positions, then accumulate this weight". The first step of a row advances
from position -1. A step of weight 0 (a filler, or a dense zero) costs its cycle and adds nothing. No step advances by
more than ``run`` positions, the length of a tap's run of channels (so that the address generator wraps once a step at
most); with flat addressing ``run`` is the row's length.

Rows follow each other in the stream without alignment. Bits are packed LSB first.

Adding a format: one module here with a `WeightFormat`, one decoder of the same name in ``pumice_hdl/decoders``, one
line in `FORMATS` and one in the gateware's registry.
"""

from .base import MAX_ADVANCE, BitReader, BitWriter, Step, WeightFormat
from .bitmap import Bitmap
from .dense import Dense
from .relative import Relative

FORMATS: dict[str, WeightFormat] = {f.name: f for f in (Dense(), Bitmap(), Relative())}
FORMATS_BY_CODE: dict[int, WeightFormat] = {f.code: f for f in FORMATS.values()}

__all__ = ["FORMATS", "FORMATS_BY_CODE", "MAX_ADVANCE", "BitReader", "BitWriter", "Step", "WeightFormat"]
