"""Arrays, memory maps and generators as data, in the forms in which programs hold them.

In: what a program passes as `data`. Out: arrays by the names that cnnc.data.arrays reads, or the folder of the data sets.

    named((images, labels))    # {"x": images, "y": labels}
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cnnc.diagnostics import CnncError
from cnnc.network import Network, check

Arrays = NDArray[Any]
Data = (
    Path
    | str
    | Arrays
    | tuple[Arrays, Arrays]
    | tuple[tuple[Arrays, Arrays], tuple[Arrays, Arrays]]
    | Mapping[str, Arrays]
    | Iterator[Any]
)
"""The folder of the data sets; `x`, `(x, y)` or `((x, y), (x_test, y_test))`; arrays by name; or a generator of examples."""


def data_source(data: Data | None) -> Path | Mapping[str, Arrays] | None:
    """The folder, or the arrays by name. A generator is read to its end. Raises CnncError E602, E603."""
    if data is None:
        return None
    if isinstance(data, Path | str):
        from cnnc.data import require_existing

        require_existing(Path(data))
        return Path(data)
    return named(data)


def reading(network: Network, source: Path | Mapping[str, Arrays] | None) -> Network:
    """The network, without errors. Arrays stand in for the data set of the train section, so its shapes and classes do not count.

    Raises CnncError with the errors of the network.
    """
    errors = {d.code for d in network.diagnostics if d.severity == "error"}
    if isinstance(source, Mapping) and errors and errors <= _OF_THE_DATA_SET:
        settings = [*network.settings, "train.data=npz", 'train.data.path="arrays"']
        text, name = network.source.text, network.source.name
        network = check(text, name, settings, network.at, includes=network.includes)
    network.require_graph()
    return network


_OF_THE_DATA_SET = {"E507", "E508"}  # its inputs and its targets do not fit the network


def named(data: Any) -> Mapping[str, Arrays]:
    """Arrays by name: those of a dict as they are, else `x` and `y`, and of two pairs `x_test` and `y_test` too."""
    if isinstance(data, Mapping):
        if not data:
            raise CnncError.of("E602", "the data hold no array", help="give arrays by name: {'x': images, 'y': labels}")
        return data
    if isinstance(data, np.ndarray):
        return {"x": data}
    if isinstance(data, tuple):
        (x, y), test = (data[0], data[1]) if isinstance(data[0], tuple) else (data, None)
        return {"x": x, "y": y, **({"x_test": test[0], "y_test": test[1]} if test is not None else {})}
    return _gathered(data)


def _gathered(examples: Iterable[Any]) -> dict[str, Arrays]:
    """The examples of a generator, each an input or a pair of input and target, as arrays. Raises CnncError E602."""
    inputs: list[Any] = []
    targets: list[Any] = []
    for number, example in enumerate(examples):
        if isinstance(example, tuple):
            if len(example) != 2:
                found = f"{len(example)} values"
                raise CnncError.of(
                    "E602", f"example {number:,} of the generator: expected (input, target), found {found}"
                )
            targets.append(example[1])
        inputs.append(example[0] if isinstance(example, tuple) else example)
    if not inputs:
        raise CnncError.of("E602", "the generator gave no example", help="a generator can be read once; make a new one")
    if targets and len(targets) != len(inputs):
        raise CnncError.of("E602", "the generator gave some examples with targets and some without")
    return {"x": _stacked(inputs, "inputs"), **({"y": _stacked(targets, "targets")} if targets else {})}


def _stacked(values: list[Any], what: str) -> Arrays:
    try:
        return np.stack([np.asarray(value) for value in values])
    except ValueError as error:  # of shapes that differ
        shapes = sorted({"x".join(map(str, np.shape(value))) or "one number" for value in values})[:3]
        message = f"the {what} of the generator differ in shape: {', '.join(shapes)}"
        raise CnncError.of("E602", message, help="give one example at a time, all of one shape") from error


def as_test(data: Path | Mapping[str, Arrays] | None) -> Path | Mapping[str, Arrays] | None:
    """The data, of which all examples are test examples, unless some are named so."""
    if not isinstance(data, Mapping) or any(name.endswith("_test") for name in data):
        return data
    own = {name.removesuffix("_train"): array for name, array in data.items() if not name.endswith("_val")}
    return {**data, **{f"{name}_test": array for name, array in own.items()}}
