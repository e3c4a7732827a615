"""Import of ONNX models as networks with weights: `import_model`.

In: an ONNX file. Out: a `Model`, and on request a network file and a checkpoint.

    import_model("resnet18.onnx", "resnet18.cnn")
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from cnnc.api.arguments import checked
from cnnc.api.model import Model
from cnnc.api.progress import report_of
from cnnc.api.subject import with_facts
from cnnc.core.files import with_suffix
from cnnc.diagnostics import CnncError
from cnnc.onnx.importer.importer import ImportedNetwork, save
from cnnc.onnx.importer.importer import import_model as read_model
from cnnc.onnx.importer.verify import Agreement, verify_import
from cnnc.training.trained import TrainedNetwork


class Import(NamedTuple):
    """A model that was read, and how far its network agrees with it; None where this was not compared."""

    imported: ImportedNetwork
    agreement: Agreement | None


def read(model: Path, out: Path | None, at: Mapping[str, int], flat: bool, verify: bool) -> Import:
    """Reads a model as a network, and compares both. `out` is the network file that errors cite. Raises CnncError as `import_model`."""
    imported = read_model(model, out, at=at, flat=flat)
    return Import(imported, verify_import(imported, model) if verify else None)


@checked('cnnc.import_model("resnet18.onnx", "resnet18.cnn")')
def import_model(
    model: Path | str,
    out: Path | str | None = None,
    *,
    at: Mapping[str, int] | None = None,
    flat: bool = False,
    verify: bool = True,
    force: bool = False,
    progress: bool | Callable[[str], None] = True,
) -> Model:
    """Reads an ONNX model, from cnnc or any other tool, as a network with weights.

    With `out`, also writes the network file and the checkpoint beside it; files that exist are replaced only with `force`.
    `at` fixes open sizes by name, `flat` keeps one layer per line, without repeats and blocks. Unless `verify` is False, the
    network is compared with the model on onnxruntime.

    Raises CnncError E621 for a model with operators that cannot be imported, E622 to E624 where network and model differ, E901
    where the file cannot be read, E902 where files exist or cannot be written, E010 for an `out` that is not a .cnn file.

    >>> import cnnc
    >>> exported = cnnc.export(cnnc.Model(cnnc.check("input 1x8x8; conv 4 k=3; relu; fc 10")), "small.onnx")
    >>> cnnc.import_model(exported.path, "again.cnn")
    <Model string: 1,490 parameters, input1 1x8x8 -> fc1 10>
    """
    model, file = Path(model), None if out is None else Path(out)
    report = report_of(progress)
    if file is not None and file.suffix != ".cnn":
        raise CnncError.of("E010", f"out takes a network file such as {with_suffix(file, '.cnn')}, not {file}")
    if file is not None and not force:
        for path in (file, file.with_suffix(".safetensors")):
            if path.exists():
                raise CnncError.of("E902", f"cannot write {path}: it exists", help="force=True replaces it")
    imported, agreement = read(model, file, at or {}, flat, verify)
    if imported.limits:
        report(f"not all sizes of the model: {imported.limits}")
    if agreement is not None and not agreement.compared:
        report(f"not verified: {agreement.reason}")
    if file is not None:
        save(imported, file)
        return Model.of(TrainedNetwork(imported.network, imported.weights), imported.origin)
    return Model.of(with_facts(model, imported.network, imported.weights), imported.origin)
