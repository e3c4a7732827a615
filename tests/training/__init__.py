"""Tests of training: rules, checkpoints, runs that are stopped and resumed."""
