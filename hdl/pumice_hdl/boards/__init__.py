"""Pin-level tops, one file a board."""
