"""Tests of how NumPy runs a layer."""
