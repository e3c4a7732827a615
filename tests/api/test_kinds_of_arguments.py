"""A wrong kind of argument raises TypeError, which names the function, the argument and a right call; all else CnncError."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cnnc
from tests.api.test_examples import FUNCTIONS

NETWORK = 'input 1x8x8; conv 4 k=3; relu; fc 10; softmax; train { data npz "own.npz"; batch 8; epochs 1 }'
REQUIRED = {
    "network": "a.cnn",
    "model": "a.onnx",
    "out": "a.onnx",
    "run": "a",
    "source": "a.cnn",
    "path": "a",
    "text": "a",
}
"""A value of the right kind for each argument that a function needs."""


class Stranger:
    """An object of a kind that no function takes."""


def function_of(name: str) -> Callable[..., Any]:
    """The function; a method is one of an object."""
    if name == "Builder":
        return cnnc.Builder
    if name == "Model":
        return cnnc.Model
    owner, _, method = name.partition(".")
    if not method:
        return FUNCTIONS[name]
    network = cnnc.check(NETWORK)
    subjects: dict[str, Callable[[], Any]] = {
        "Model": lambda: cnnc.Model(network),
        "Network": lambda: network,
        "Figure": lambda: cnnc.draw(network),
        "Report": lambda: cnnc.inspect(cnnc.Model(network)),
        "Unfolded": lambda: cnnc.unfold("1 2; 3 4", kernel="1 1"),
    }
    found: Callable[..., Any] = getattr(subjects[owner](), method)
    return found


def parameters(name: str) -> list[inspect.Parameter]:
    return [p for p in inspect.signature(function_of(name)).parameters.values() if p.name not in ("self", "cls")]


CASES = [(name, parameter.name) for name in FUNCTIONS for parameter in parameters(name)]


@pytest.mark.parametrize(("name", "parameter"), CASES)
def test_a_stranger_in_every_argument(
    name: str, parameter: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    function, kinds = function_of(name), {p.name: p for p in parameters(name)}
    arguments: dict[str, Any] = {
        other.name: REQUIRED.get(other.name, np.zeros((1, 1, 8, 8), np.float32))
        for other in kinds.values()
        if other.default is inspect.Parameter.empty and other.kind is other.POSITIONAL_OR_KEYWORD
    }
    kind = kinds[parameter].kind
    if kind is inspect.Parameter.VAR_POSITIONAL:
        with pytest.raises(TypeError) as caught:
            function(Stranger())
    else:
        wrong = {"input1" if kind is inspect.Parameter.VAR_KEYWORD else parameter: Stranger()}
        with pytest.raises(TypeError) as caught:
            function(**{**arguments, **wrong})
    message = str(caught.value)
    assert "Stranger" in message, message
    assert parameter in message
    assert ("(" in message and "as in " in message) or name == "Builder"
    assert list(tmp_path.iterdir()) == [], "nothing is written"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: cnnc.check(Path("a.cnn")), "cnnc.load(path) reads a file"),  # type: ignore[arg-type]
        (lambda: cnnc.load("a.cnn", "train.epochs=2"), "a list of strings"),
        (lambda: cnnc.train("a.cnn", settings="train.epochs=2"), "a list of strings"),
        (lambda: cnnc.train([1]), "a Network, a path or a string"),  # type: ignore[arg-type]
        (lambda: cnnc.bench("a.onnx", batch=True), "a whole number or None"),
        (lambda: cnnc.predict("a.onnx", [np.zeros(3)]), "cnnc.predict"),  # type: ignore[list-item]
        (lambda: cnnc.train("a.cnn", data=[1, 2]), "a generator"),  # type: ignore[arg-type]
        (lambda: cnnc.train("a.cnn", epochs=3), "unexpected keyword argument 'epochs'"),  # type: ignore[call-arg]
        (lambda: cnnc.export("a"), "missing a required argument: 'out'"),  # type: ignore[call-arg]
        (lambda: cnnc.Builder("a").relu({}), "{} is not a layer"),
        (lambda: cnnc.Model(cnnc.check(NETWORK))(3), "model: arrays is 3; expected an array, as in model(images)"),  # type: ignore[arg-type]
    ],
)
def test_what_the_message_says(call: Callable[[], Any], words: str) -> None:
    with pytest.raises((TypeError, cnnc.CnncError)) as caught:
        call()
    assert words in str(caught.value)


class Frame:
    """A table as pandas has it, which NumPy turns into an array."""

    def __array__(self) -> np.ndarray[Any, Any]:
        return np.zeros((8, 64), np.float32)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ((Frame(), np.zeros(8)), "data is a tuple (Frame, ndarray)"),
        (((Frame(), Frame()), (Frame(), Frame())), "data is a tuple (tuple (Frame))"),
        ({"x": Frame(), "y": np.zeros(8)}, "data is a dict (Frame, ndarray)"),
        (Frame(), "data is a Frame"),
        (([[0.5]], [1]), "data is a tuple (list (list (float)), list (int))"),
    ],
)
def test_what_is_no_array_is_named_with_the_way_to_make_one(data: Any, found: str) -> None:
    with pytest.raises(TypeError) as caught:
        cnnc.train("a.cnn", data=data)
    kind = "Frame" if "Frame" in found else "list"
    assert f"{found}; expected a path, " in str(caught.value)
    assert str(caught.value).endswith(f"; numpy.asarray(...) makes an array of a {kind}")


def test_no_way_to_an_array_where_none_is_expected() -> None:
    with pytest.raises(TypeError) as caught:
        cnnc.train(Frame())  # type: ignore[arg-type]
    assert "asarray" not in str(caught.value)


def test_words_of_pandas_are_no_numbers() -> None:
    network = cnnc.check(NETWORK)
    labels = np.array(["cat", "dog"] * 4, object)
    with pytest.raises(cnnc.CnncError, match=r"number the labels: classes, y = np\.unique"):
        cnnc.train(network, data=(np.zeros((8, 1, 8, 8), np.float32), labels))
    with pytest.raises(cnnc.CnncError, match=r"leave words out, and write x = x\.astype\(np\.float32\)"):
        cnnc.train(network, data=(np.zeros((8, 1, 8, 8), object), np.zeros(8, int)))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        (lambda: cnnc.load("nowhere.cnn"), "E901"),
        (lambda: cnnc.train("nowhere.cnn"), "E901"),
        (lambda: cnnc.resume("nowhere"), "E606"),
        (lambda: cnnc.export("nowhere", "a.onnx"), "E606"),
        (lambda: cnnc.evaluate("nowhere.onnx"), "E901"),
        (lambda: cnnc.predict("nowhere.onnx", np.zeros((8, 8))), "E901"),
        (lambda: cnnc.predict("nowhere.onnx", []), "E010"),
        (lambda: cnnc.load("a\0b.cnn"), "E901"),
        (lambda: cnnc.check(NETWORK).save(""), "E010"),
        (lambda: cnnc.Model(cnnc.check(NETWORK)).save(""), "E010"),
        (lambda: cnnc.inspect(cnnc.Model(cnnc.check(NETWORK))).save(""), "E010"),
        (lambda: cnnc.import_model("a.onnx", ""), "E010"),
        (lambda: cnnc.predict("nowhere.onnx", text=[]), "E010"),
        (lambda: cnnc.bench("nowhere.onnx"), "E901"),
        (lambda: cnnc.import_model("nowhere.onnx"), "E901"),
        (lambda: cnnc.draw("nowhere.cnn"), "E901"),
        (lambda: cnnc.draw(cnnc.check(NETWORK), style="graf"), "E010"),  # type: ignore[arg-type]
        (lambda: cnnc.unfold("nowhere", "conv1"), "E606"),
        (lambda: cnnc.inspect("nowhere"), "E606"),
        (lambda: cnnc.data("nowhere.cnn"), "E901"),
        (lambda: cnnc.Model.load("nowhere"), "E606"),
        (lambda: cnnc.Model(cnnc.check(NETWORK), {}), "E605"),
        (lambda: cnnc.Model(cnnc.check(NETWORK))(np.zeros((2, 3))), "E608"),
        (lambda: cnnc.Model(cnnc.check(NETWORK)).gradients(np.zeros((2, 1, 8, 8))), "E610"),
        (lambda: cnnc.Model(cnnc.check("input 4; fc 2")).gradients(np.zeros(4), np.zeros(1)), "E509"),
        (lambda: cnnc.train(cnnc.check(NETWORK), data=np.zeros((8, 3))), "E602"),
        (lambda: cnnc.train(cnnc.check(NETWORK), data=iter([])), "E602"),
        (lambda: cnnc.train(cnnc.check(NETWORK), settings=["train.epochs=2"]), "E010"),
        (lambda: cnnc.check(NETWORK)["conv2"], "E010"),
    ],
)
def test_everything_else_raises_cnnc_error(
    call: Callable[[], Any], code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(cnnc.CnncError) as caught:
        call()
    assert caught.value.diagnostics[0].code == code
