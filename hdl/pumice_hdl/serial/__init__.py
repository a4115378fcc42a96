"""The serial link of boards without a processor, and the on-chip memory that stands in for DRAM there."""
