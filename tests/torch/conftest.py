"""The commands of tests/cli, for tests that train with PyTorch."""

from tests.cli.conftest import cnnc as cnnc
