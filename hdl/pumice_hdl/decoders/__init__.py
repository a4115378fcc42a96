"""Index decoders, one file per format: each format of `pumice.spec.formats.FORMATS` has a module of its name here."""

from pumice.spec.formats import FORMATS
from pumice.spec.registry import load_class

from .base import Decoder

DECODERS: dict[str, type[Decoder]] = {name: load_class(__name__, name, Decoder) for name in FORMATS}

__all__ = ["DECODERS", "Decoder"]
