"""What the cores share: descriptor queue, write bus, counters."""
