"""Which package of cnnc may import which others; the diagram in docs/architecture.md is generated from this list.

A module at the root counts as a package, and so do the packages and modules within `onnx`, and `torch.source`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

ALLOWED: Mapping[str, str] = {
    "diagnostics": "",
    "core": "diagnostics",
    "models": "",
    "ops": "core",
    "graph": "core diagnostics ops",
    "language": "core diagnostics graph ops",
    "data": "core diagnostics graph",
    "recipe": "core diagnostics graph language data ops",
    "report": "core diagnostics graph ops recipe",
    "reference": "core diagnostics graph ops",
    "view": "core diagnostics graph ops reference",
    "network": "core diagnostics graph language data recipe report view",
    "training": "core diagnostics graph ops data recipe report network reference view",
    "torch": "core diagnostics graph ops data recipe reference training",
    "live": "core diagnostics",
    "editor": "core diagnostics graph language ops data recipe report network view",
    "onnx.source_map": "diagnostics graph network",
    "onnx.metadata": "core diagnostics graph ops data recipe network onnx.source_map",
    "onnx.wire_format": "core diagnostics",
    "onnx.external_files": "core diagnostics",
    "onnx.run": "core diagnostics data onnx.external_files onnx.metadata onnx.source_map onnx.wire_format",
    "onnx.emit": "core diagnostics graph ops network reference onnx.source_map onnx.run onnx.wire_format",
    "onnx.quantize": "core diagnostics graph ops data network onnx.emit onnx.metadata onnx.run",
    "onnx.export": "core diagnostics graph network reference onnx.emit onnx.source_map onnx.metadata onnx.quantize onnx.run",
    "onnx.train_step": "core diagnostics graph ops data recipe network reference training onnx.metadata onnx.emit onnx.run",
    "onnx.importer": "core diagnostics language ops network reference training onnx.source_map onnx.metadata onnx.emit onnx.external_files onnx.run onnx.wire_format",
    "torch.source": "core diagnostics graph language ops network report training torch onnx.emit",
    "api": "core diagnostics graph language ops data recipe report network reference view training torch onnx.emit onnx.export onnx.importer onnx.metadata onnx.quantize onnx.run onnx.train_step",
}
TOP = ("cli", "__init__", "__main__")
"""These may import every package; no package imports them."""


def edges() -> Iterator[tuple[str, str]]:
    """Every allowed edge, importer first."""
    for package, imported in ALLOWED.items():
        yield from ((package, target) for target in imported.split())
