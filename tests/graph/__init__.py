"""Tests of the graph and its transformations."""
