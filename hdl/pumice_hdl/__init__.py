"""Gateware of Pumice in Amaranth."""
