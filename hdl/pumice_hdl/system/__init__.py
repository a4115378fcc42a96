"""What surrounds the engine: host registers, DMA, soft core."""
