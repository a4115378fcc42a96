"""One core: from its weight memory to finished rows."""
