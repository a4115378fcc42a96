"""The compiler on whole networks, against the golden model."""
