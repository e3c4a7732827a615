"""Tests of what every package imports: files, process memory."""
