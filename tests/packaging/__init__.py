"""Tests of the README, the packages and the CI workflow."""
