"""Weight decoders, one file per format; `DECODERS` is the registry."""
