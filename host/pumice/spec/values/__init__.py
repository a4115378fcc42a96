"""Value codings: how the weight of a step is written; any of them goes with any weight format.

Adding one: a module here with a `ValueCoding`, a module of the same name in ``pumice_hdl/decoders/values`` with its
value decoder, and that name in `VALUE_CODINGS`.
"""

from ..registry import load_class
from .base import MAX_VALUE_BITS, N_VALUES, ValueCoding, count_values

VALUE_CODINGS: dict[str, type[ValueCoding]] = {
    name: load_class(__name__, name, ValueCoding) for name in ("plain", "codebook", "huffman")
}
VALUE_CODINGS_BY_NUMBER: dict[int, type[ValueCoding]] = {c.number: c for c in VALUE_CODINGS.values()}

__all__ = [
    "MAX_VALUE_BITS",
    "N_VALUES",
    "VALUE_CODINGS",
    "VALUE_CODINGS_BY_NUMBER",
    "ValueCoding",
    "count_values",
]
