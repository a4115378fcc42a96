"""Trains, prunes and quantises the network of the demonstration."""
