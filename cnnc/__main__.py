"""`python -m cnnc` runs the command `cnnc`."""

from __future__ import annotations

from cnnc.cli.main import main

if __name__ == "__main__":
    main()
