"""Writes layers as the source of a .cnn file: their order, names, repeats and blocks."""
