"""Training as functions: `train` and `resume`.

In: a network or a run, and data. Out: `Result`. Progress shows in a terminal or notebook.

    result = train("models/digits.cnn")
    result = resume(result.folder, settings=["train.epochs=50"])
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from cnnc.api.arguments import checked
from cnnc.api.arrays import Data, data_source, reading
from cnnc.api.engines import EngineName, Precision, engine_named
from cnnc.api.model import Model, initial_of
from cnnc.api.progress import callback_of, report_of
from cnnc.api.result import Result
from cnnc.api.runs import new_run, resumed_run
from cnnc.diagnostics import CnncError, Diagnostic, render
from cnnc.network import Network, load
from cnnc.onnx.run.provider import Provider
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.loop import train as train_run
from cnnc.training.run import Callback, Callbacks, Engine, Run, Stopping


@checked('cnnc.train(cnnc.load("lenet5.cnn"))')
def train(
    network: Network | Path | str,
    run: Path | str | None = None,
    data: Data | None = None,
    callback: Callback | None = None,
    *,
    settings: Sequence[str] = (),
    at: Mapping[str, int] | None = None,
    weights: Model | Result | Path | str | None = None,
    engine: EngineName = "numpy",
    device: str = "auto",
    precision: Precision = "float32",
    compile: bool = False,
    provider: Provider = "auto",
    progress: bool | Callable[[str], None] = True,
) -> Result:
    """Trains a network by its train section, and returns the finished run.

    `network` is a network or the path of a network file, which `settings` (`NAME=VALUE`, as for `--set`) and `at` (sizes of
    symbols) apply to. `run` is a new run folder (default: runs/NAME, or the first of runs/NAME-2, ... that does not exist).

    `data` is the folder of the data sets; or the examples themselves, in place of those that the train section names: an
    array x, `(x, y)`, or `((x, y), (x_test, y_test))`; a dict of arrays by the names of inputs and outputs, `_test` added for
    the test examples; or a generator of x or (x, y), one example at a time, which is read to its end first. Inputs are
    (N, *shape), channels first, uint8 scaled to 0..1; targets are labels (N,), label maps (N, *spatial) or values (N, *shape).
    A memory map stays on the disk. `val` and `test` of the train section split off validation and test examples.

    `weights` are those of a model, a result, or the path of a run, a checkpoint or a model; training begins with those that
    fit in name and shape, and draws the others: a network that was trained or imported is trained on, with another last layer.

    `engine` computes the steps: numpy; onnxruntime on a `provider`; or torch on a `device`, in a `precision`, and after
    compiling it where `compile` is set. `callback` is called as training advances. Progress shows in a terminal or notebook
    unless `progress` is False; a function gets its lines instead. Ctrl-C, or interrupting the kernel, saves the run before
    KeyboardInterrupt is raised; `cnnc.resume` continues it, bit-identical to an uninterrupted run.

    Raises CnncError: the network's own errors, E010 where `run` already holds a run, E605 where no weight fits, E509 without a train section, E601 to
    E603 where the data set is unknown, invalid or missing, E607 or E610 where it does not fit the network, E701 where
    training diverges, E704 where a worker process dies, E902 where a file cannot be written, E905 or E906 where the engine
    is not installed, E907 where another process trains in `run`.

    >>> import cnnc, numpy as np
    >>> network = cnnc.check('input 4; fc 2; train { data npz "own.npz"; batch 8; epochs 2 }')
    >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    >>> result = cnnc.train(network, "run", data=(x, x[:, 0] > 0))
    >>> result.folder, result.best_epoch, len(result.rows)
    (PosixPath('run'), 2, 2)
    """
    source = data_source(data)
    network = reading(_network(network, settings, at), source)
    report, shown = report_of(progress), callback_of(progress)
    computes = engine_named(
        engine, provider=provider, device=device, precision=precision, compile=compile, report=report
    )
    folder = Path(run) if run is not None else None
    initial = initial_of(weights, report) if weights is not None else None
    with new_run(network, folder, source, computes, report, initial=initial) as new:
        return _trained(new, shown, callback)


@checked('cnnc.resume("runs/lenet5")')
def resume(
    run: Path | str | Result,
    into: Path | str | None = None,
    data: Data | None = None,
    callback: Callback | None = None,
    *,
    settings: Sequence[str] = (),
    progress: bool | Callable[[str], None] = True,
) -> Result:
    """Trains a run on from its last checkpoint, with the engine that it began with; a finished run is only scored again.

    `run` is a run folder, a checkpoint or a result. `into` is a new run folder, which gets a copy of the progress (default:
    the folder itself). `settings` override those of the run, for example `["train.epochs=50"]`. A run that was trained on
    arrays needs them again as `data`. `callback` and `progress` are those of `train`.

    Raises CnncError: E606 where there is no run, E605 where its checkpoint is damaged, E603 where it was trained on arrays
    and gets none, E010 for settings that would split the data differently, and as `train` does.

    >>> import cnnc
    >>> cnnc.train(cnnc.check("input 1x8x8; fc 10; train { data digits; epochs 1 }"), "run").run.progress.epoch
    1
    >>> cnnc.resume("run", settings=["train.epochs=2"]).run.progress.epoch
    2
    """
    report, shown = report_of(progress), callback_of(progress)

    def engine_of(saved: Checkpoint) -> Engine:
        options: dict[str, Any] = {"device": saved.provider or "auto"} if saved.engine == "torch" else {}
        if saved.engine == "torch":
            options["precision"] = saved.engine_options.get("precision", "float32")
            options["compile"] = saved.engine_options.get("compile") == "true"
        name: Any = saved.engine
        return engine_named(name, **options, report=report)

    def warn(diagnostics: Sequence[Diagnostic]) -> None:
        for diagnostic in diagnostics:
            report(render(diagnostic))

    old = run.folder if isinstance(run, Result) else Path(run)
    new = Path(into) if into is not None else None
    with resumed_run(old, new, settings, data_source(data), engine_of, report, warn) as resumed:
        return _trained(resumed, shown, callback)


def _network(network: Network | Path | str, settings: Sequence[str], at: Mapping[str, int] | None) -> Network:
    """The network. Raises CnncError E010 for settings or sizes of a network that is loaded."""
    if not isinstance(network, Network):
        network = load(network, settings, at)
    elif settings or at:
        what = "settings" if settings else "at"
        help = f"give them to cnnc.load or cnnc.check: cnnc.load(path, {what}=...)"
        raise CnncError.of("E010", f"{what} apply to a network file, not to a network that is loaded", help=help)
    return network


def _trained(run: Run, shown: Callback, callback: Callback | None) -> Result:
    """Trains a run to its end. Raises KeyboardInterrupt, once the run is saved, where Ctrl-C asked to stop."""
    callbacks = Callbacks(*([callback] if callback is not None else []), shown)
    try:
        with _interrupts() as asked:
            ended = train_run(run, callbacks, Stopping(lambda: bool(asked)))
    finally:
        callbacks.close()
    if ended.stopped:
        raise KeyboardInterrupt(f"the run is saved; cnnc.resume({str(run.folder)!r}) continues it")
    return Result(ended)


@contextmanager
def _interrupts() -> Iterator[list[int]]:
    """A list that a first SIGINT fills; a second one raises KeyboardInterrupt. Other threads get no signals."""
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)
