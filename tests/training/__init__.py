"""Tests of training; they need torch (extra `train`)."""
