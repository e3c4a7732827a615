"""The published networks and the scripts that make their data, which are in the folder models/ of the project.

A wheel holds these files in this package. In a clone they are in models/ beside cnnc/, and this package leads there, so
that `python -m cnnc.models.scripts.waves` is the same command in both. Out: `FOLDER`, which holds them, and
`published_networks`.
"""

from __future__ import annotations

from pathlib import Path

_INSTALLED = Path(__file__).parent
FOLDER = _INSTALLED if (_INSTALLED / "scripts").is_dir() else _INSTALLED.parents[1] / "models"
__path__ = [str(FOLDER)]


def published_networks() -> dict[str, Path]:
    """The file of each published network by its name, in alphabetical order."""
    return {path.stem: path for path in sorted(FOLDER.glob("*.cnn"))}
