"""Weight decoders, one file per format; `DECODERS` is the registry, keyed like `pumice.spec.formats.FORMATS`."""

from .base import Decoder
from .bitmap import BitmapDecoder
from .dense import DenseDecoder
from .relative import RelativeDecoder

DECODERS: dict[str, type[Decoder]] = {"dense": DenseDecoder, "bitmap": BitmapDecoder, "relative": RelativeDecoder}

__all__ = ["DECODERS", "Decoder"]
