"""Value decoders, one file per coding: each of `pumice.spec.values.VALUE_CODINGS` has a module of its name here."""

from pumice.spec.registry import load_class
from pumice.spec.values import VALUE_CODINGS

from .base import VALUE_LATENCY, ValueDecoder

VALUE_DECODERS: dict[str, type[ValueDecoder]] = {
    name: load_class(__name__, name, ValueDecoder) for name in VALUE_CODINGS
}

__all__ = ["VALUE_DECODERS", "VALUE_LATENCY", "ValueDecoder"]
