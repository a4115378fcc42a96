"""Benchmark commands and their entries (``results.jsonl``, appended by the commands, never by hand)."""
