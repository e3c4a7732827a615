"""Tests of cnnc/importer."""
