"""Value decoders, one file per coding; `VALUE_DECODERS` is the registry, keyed like `VALUE_CODINGS`."""

from .base import VALUE_LATENCY, ValueDecoder
from .codebook import CodebookDecoder
from .huffman import HuffmanDecoder
from .plain import PlainDecoder

VALUE_DECODERS: dict[str, type[ValueDecoder]] = {
    "plain": PlainDecoder,
    "codebook": CodebookDecoder,
    "huffman": HuffmanDecoder,
}

__all__ = ["VALUE_DECODERS", "VALUE_LATENCY", "ValueDecoder"]
