"""Index decoders, one file per format; `DECODERS` is the registry, keyed like `pumice.spec.formats.FORMATS`."""

from .base import Decoder
from .bitmap import BitmapDecoder
from .block import BlockDecoder
from .csr import CsrDecoder
from .dense import DenseDecoder
from .nm import NMDecoder
from .relative import RelativeDecoder
from .rice import RiceDecoder

DECODERS: dict[str, type[Decoder]] = {
    "dense": DenseDecoder,
    "bitmap": BitmapDecoder,
    "relative": RelativeDecoder,
    "nm": NMDecoder,
    "rice": RiceDecoder,
    "block": BlockDecoder,
    "csr": CsrDecoder,
}

__all__ = ["DECODERS", "Decoder"]
