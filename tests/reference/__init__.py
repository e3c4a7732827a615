"""Tests of the NumPy engine."""
