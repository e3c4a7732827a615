"""Runs one batch on several cores: in threads, or in worker processes."""
