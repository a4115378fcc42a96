"""Value codings: how the weight of a step is written; any of them goes with any weight format.

Adding one: a module here with a `ValueCoding`, a value decoder of the same name in ``pumice_hdl/decoders/values``, one
line in `VALUE_CODINGS` and one in the gateware's registry.
"""

from .base import MAX_VALUE_BITS, N_VALUES, ValueCoding, count_values
from .codebook import Codebook
from .huffman import Huffman
from .plain import Plain

VALUE_CODINGS: dict[str, type[ValueCoding]] = {c.name: c for c in (Plain, Codebook, Huffman)}
VALUE_CODINGS_BY_NUMBER: dict[int, type[ValueCoding]] = {c.number: c for c in VALUE_CODINGS.values()}

__all__ = [
    "MAX_VALUE_BITS",
    "N_VALUES",
    "VALUE_CODINGS",
    "VALUE_CODINGS_BY_NUMBER",
    "ValueCoding",
    "count_values",
]
