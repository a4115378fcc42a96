"""Weight formats: how a layer's rows say where their non-zeros are, in a bit stream that a decoder turns into steps.

A row is a vector of int8 weights over positions ``0 .. n_positions - 1`` (see `pumice.spec.descriptor`). A decoder
emits one *step* a cycle: "advance by 1..64 positions, then accumulate this weight"; a step without value only
advances. The first step of a row advances from position -1. A step of weight 0 costs its cycle and adds nothing. No
step advances by more than ``run`` positions, the length of a tap's run of channels (so that the address generator
wraps once a step at most); with flat addressing ``run`` is the row's length. Absolute indices (`Csr`) may.

A step has an index (0..16 bits) in the index stream and, if it has a value, that (up to 12 bits, `pumice.spec.values`)
in the value stream. Two streams, so that the decoders of both work side by side: where one continues does not depend
on the other. Any format goes with any value coding. Rows follow each other without alignment, bits LSB first.

Adding a format: one module here with a `WeightFormat`, a module of the same name in ``pumice_hdl/decoders`` with its
index decoder, and that name in `FORMATS`.
"""

from ..registry import load_class
from .base import MAX_ADVANCE, MAX_INDEX_BITS, BitReader, BitWriter, IndexReader, Steps, WeightFormat

FORMATS: dict[str, type[WeightFormat]] = {
    name: load_class(__name__, name, WeightFormat)
    for name in ("dense", "bitmap", "relative", "nm", "rice", "block", "csr")
}
FORMATS_BY_CODE: dict[int, type[WeightFormat]] = {f.code: f for f in FORMATS.values()}

__all__ = [
    "FORMATS",
    "FORMATS_BY_CODE",
    "MAX_ADVANCE",
    "MAX_INDEX_BITS",
    "BitReader",
    "BitWriter",
    "IndexReader",
    "Steps",
    "WeightFormat",
]
