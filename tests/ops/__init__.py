"""Tests of what a layer is: sizes, parameters, multiply-adds, receptive fields."""
