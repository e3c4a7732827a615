"""Tests of layers as data: sizes, parameters, multiply-adds, receptive fields, help texts."""
