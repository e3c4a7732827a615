"""Tests of reports: summaries, tables, explanations, and the documentation generated from them."""
