"""Pumice: pruned neural networks on FPGAs."""
