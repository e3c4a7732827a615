"""Layers as the source of a .cnn file: order, names, repeats and blocks."""
