"""Tests of the command line: each runs `cnnc` as a user does."""
