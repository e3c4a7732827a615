"""What an export refuses before and after its work, and what it returns and leaves behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

import cnnc
from cnnc.core.arrays import Weights
from cnnc.diagnostics import CnncError
from cnnc.network import Network, check
from cnnc.onnx import export as export_module
from cnnc.onnx.emit.verify import Comparison, Verification, random_weights
from cnnc.onnx.export import Options, export
from cnnc.onnx.run.session import Session, open_model

TEXT = "net Small\ninput 3x16x16\nconv 16 k=3 p=1\nbn\nrelu\nconv 24 k=3\nrelu\nfc 10\nsoftmax\n"


def small(text: str = TEXT) -> tuple[Network, Weights]:
    network = check(text)
    return network, random_weights(network.require_graph(), 0)


def test_a_model_that_is_wrong_only_as_it_is_optimized_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Comparison.compare_outputs

    def wrong(comparison: Comparison, session: Session) -> Verification:
        found = real(comparison, session)
        assert found.deviations[-1].optimized
        return found._replace(deviations=(*found.deviations[:-1], found.deviations[-1]._replace(difference=1.0)))

    monkeypatch.setattr(Comparison, "compare_outputs", wrong)
    with pytest.raises(
        CnncError, match="softmax1 of the exported graph, as onnxruntime optimizes it, deviates"
    ) as error:
        export(*small(), tmp_path / "net.onnx")
    assert error.value.diagnostics[0].help.startswith("no file was written, and no other opset helps")
    assert list(tmp_path.iterdir()) == []


def test_for_a_large_network_no_option_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Since that takes minutes."""
    network, weights = small()
    macs, tried = network.require_graph().total_macs, list[Options]()
    monkeypatch.setattr(export_module, "_passes_verification", lambda _, __, options: tried.append(options))
    monkeypatch.setattr(export_module, "LARGE_MACS", macs)
    help = export_module._way_out(network, weights, Options())
    assert help.startswith("no file was written, and no other opset helps")
    assert len(tried) > 4
    tried.clear()
    monkeypatch.setattr(export_module, "LARGE_MACS", macs - 1)
    for without, first in (((), "drop-unused"), (("drop-unused",), "drop-identity")):
        help = export_module._way_out(network, weights, Options(without=without))
        assert help.startswith(f"no file was written; `--no-pass {first}` or another opset may help; please report")
    assert tried == []


def test_a_lower_precision_replaces_a_model_and_its_file_of_weights(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    first = export(*small(), path, options=Options(external=True))
    assert first.data is not None
    done = export(*small(), path, options=Options(18, precision="float16"))
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]
    model = onnx.load(path)
    (opset,) = [entry.version for entry in model.opset_import if not entry.domain]
    assert (done.path, done.data, done.size) == (path, None, path.stat().st_size)
    assert (done.opset, done.ir) == (opset, model.ir_version) == (18, first.ir)
    assert done.quality is not None
    assert done.verification.worst.passes
    assert any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in model.graph.initializer)
    open_model(path, "cpu")


@pytest.mark.parametrize(
    ("options", "limits", "code"),
    [
        (Options(3), {}, "E804"),
        (Options(), {"params": 10}, "E913"),
        (Options(), {"memory": 1000}, "E913"),
        (Options(), {"memory": 500_000}, "E913"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_any_work(
    options: Options, limits: dict[str, Any], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(export_module, "_emit")
    with cnnc.limits(**limits), pytest.raises(CnncError) as error:
        export(*small(), tmp_path / "net.onnx", options=options)
    assert [d.code for d in error.value.diagnostics] == [code]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "lack", "help"),
    [
        ("net Small\ninput 1x8x8\nfc 10\nsoftmax\ntrain { data digits }", "this network is untrained", "train it, and export its run: `cnnc export RUN --int8`"),
        (TEXT, "Small has no train section", "add one, train the network, and export its run: `cnnc export RUN --int8`"),
        ("net Small\ninput 1x8x8\npool max k=2", "Small has no train section", "add one that names the data (`train { data ... }`), and export the file again"),
    ],
)  # fmt: skip
def test_int8_without_examples_says_what_to_do(text: str, lack: str, help: str, tmp_path: Path) -> None:
    with pytest.raises(CnncError) as error:
        export(*small(text), tmp_path / "net.onnx", options=Options(precision="int8"))
    (found,) = error.value.diagnostics
    assert (found.code, found.help) == ("E808", help)
    assert found.message.endswith(f"and {lack}")
    assert list(tmp_path.iterdir()) == []
