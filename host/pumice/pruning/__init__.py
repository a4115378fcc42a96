"""Pruning: patterns of zeros, saliency by size or by second-order reconstruction, sparsity by sensitivity."""

from .patterns import Pattern, parse_pattern

__all__ = ["Pattern", "parse_pattern"]
