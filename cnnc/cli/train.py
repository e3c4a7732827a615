"""`cnnc train`: trains a network, or resumes a run, and writes the run folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cnnc.cli.console import Stopped, print_diagnostics, print_json, print_result, print_status, stop_on_signals
from cnnc.cli.engines import COMPILE, DEVICE, ENGINE, PRECISION, EngineOptions, engine_of, engine_of_resume
from cnnc.cli.options import DATA, PROVIDER_OF_ENGINE, SETTINGS, json_option, parse_sizes, sizes_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.usage import require_one_source, require_source, with_published_network
from cnnc.diagnostics import CnncError, Exit

if TYPE_CHECKING:
    from cnnc.network import Network
    from cnnc.training.checkpoint import Checkpoint
    from cnnc.training.run import Callback, Engine, Result, Run


class Log(StrEnum):
    """The values of --log."""

    tensorboard = "tensorboard"


def train(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Network file (.cnn) with a train section.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--run", metavar="DIR", help="Run folder to write (default: a new runs/NAME).")
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="Resume this run; the result is bit-identical to an uninterrupted run."
        ),
    ] = None,
    data: DATA = None,
    export: Annotated[
        Path | None,
        typer.Option("--export", metavar="OUT.onnx", help="Export the best weights to this file after training."),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Run two steps and print speed, memory and the first loss; write nothing."),
    ] = False,
    log: Annotated[
        Log | None,
        typer.Option("--log", help="Also log the metrics in this format, into the run folder."),
    ] = None,
    engine: ENGINE = None,
    provider: PROVIDER_OF_ENGINE = None,
    device: DEVICE = None,
    precision: PRECISION = None,
    compile: COMPILE = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Show the training on a page of this machine, and save its replay in the run folder."
        ),
    ] = False,
    live_port: Annotated[
        int | None,
        typer.Option("--live-port", metavar="N", min=1, max=65535, help="Port of the page (default: a free one)."),
    ] = None,
    at: Annotated[list[str] | None, sizes_option("Train at this size")] = None,
    settings: SETTINGS = None,
    force: FORCE = False,
    json: Annotated[bool, json_option("the result as a JSON object")] = False,
) -> None:
    """Train a network, or resume a run; checkpoints and metrics go to the run folder."""
    require_one_source(file, resume)
    if file is not None:
        require_source(file, "train")
    if dry_run and resume is not None:
        raise CnncError.of("E010", "--dry-run applies to a network FILE, not to a resumed run")
    if live_port is not None and not live:
        raise CnncError.of("E010", "--live-port applies to --live", help="add --live")
    engine_options = EngineOptions(engine, provider, device, precision, compile)
    if resume is None:
        engine_options.require_engine(engine)
    if dry_run and live:
        raise CnncError.of("E010", "--live shows a training; --dry-run makes two steps and writes nothing")
    if export is not None:
        require_outputs(
            [path for path in (file, resume) if path is not None], [Output(export, "--export", "onnx")], force
        )
    sizes = parse_sizes(at)
    options = _options_of_resume(data, export, log, live, live_port)
    if file is not None and dry_run:
        _dry_run(_load(file, settings, sizes), data, engine_of(engine_options), json)
        return
    if file is not None:
        network = _load(file, settings, sizes)
        callback = _callback(log, live, live_port)
        result = _train_new(network, run, data, engine_of(engine_options), callback, options)
    else:
        assert resume is not None
        if sizes:
            raise CnncError.of("E010", "--at applies to a network FILE; a resumed run keeps the sizes it started with")
        callback = _callback(log, live, live_port)
        result = _resume(resume, run, settings or [], data, engine_options, callback, options)
    _report(result, json)
    if export is not None:
        from cnnc.cli.export import export_run, report

        exported = export_run(result.run.folder, export)
        if not json:
            report(exported, json=False)


def _load(file: Path, settings: list[str] | None, sizes: Mapping[str, int]) -> Network:
    """The network to train, whose warnings are printed. Raises CnncError with its errors."""
    from cnnc.network import load

    try:
        network = load(file, settings or [], sizes)
    except CnncError as error:
        raise with_published_network(error, file) from None
    network.require_graph()
    print_diagnostics(network.diagnostics)
    return network


def _train_new(
    network: Network, folder: Path | None, data: Path | None, engine: Engine, callback: Callback, options: Sequence[str]
) -> Result:
    """Trains a network in a new run folder; without `folder` in runs/NAME, or the first of runs/NAME-2, ... that is free."""
    from cnnc.training.loop import open_data, start
    from cnnc.training.run_folder import new_folder, require_new

    if folder is not None:
        require_new(folder, print_status)
    dataset = open_data(network, data, print_status)
    run = start(network, dataset, folder or Path("runs") / Path(network.source.name).stem, engine=engine)
    with new_folder(run, print_status, numbered=folder is None):
        return _train(run, callback, options)


def _resume(
    resume: Path,
    folder: Path | None,
    settings: Sequence[str],
    data: Path | None,
    engine: EngineOptions,
    callback: Callback,
    options: Sequence[str],
) -> Result:
    """Trains a run on, in its folder or in another one, which gets a copy of its progress."""
    from cnnc.training import checkpoint as checkpoints
    from cnnc.training.loop import open_data, start
    from cnnc.training.run_folder import new_folder, require_new
    from cnnc.training.run_lock import locked

    old = resume if resume.is_dir() else resume.parent
    checkpoints.find(resume, "last")  # E606 before anything is written
    in_place = folder is None or folder.resolve() == old.resolve()
    if folder is not None and not in_place:
        require_new(folder, print_status)
    with ExitStack() as lock:
        if in_place or os.access(old, os.W_OK):  # nobody trains in a folder that cannot be written
            lock.enter_context(locked(old, print_status))
        saved = checkpoints.load(checkpoints.find(resume, "last"))
        network = _resumed_network(saved, settings)
        resumed_with = engine_of_resume(saved, engine)
        print_diagnostics(network.diagnostics)
        dataset = open_data(network, data, print_status, saved.vocabulary)
        run = start(network, dataset, folder or old, saved, resumed_with)
        if in_place:
            return _train(run, callback, options)
        with new_folder(run, print_status, origin=old):
            lock.close()
            return _train(run, callback, options)


def _train(run: Run, callback: Callback, options: Sequence[str]) -> Result:
    """Trains a run to its end. If it is stopped or fails, prints the command that resumes it, which ends with `options`."""
    from cnnc.training.loop import train as train_run
    from cnnc.training.run import Stopping
    from cnnc.training.run_folder import resume_command

    last, command = run.folder / "last.safetensors", resume_command(run.folder, *options)
    _Signals.listen()
    try:
        result = train_run(run, callback, Stopping(lambda: _Signals.asked))
    except Stopped:  # a second signal, which stops without saving
        if last.exists():
            print_status(
                f"stopped without saving; the last checkpoint is in {run.folder}. Resume from it with:\n  {command}"
            )
        raise
    except CnncError as error:
        if error.status != Exit.RESOURCES or not last.exists():
            raise
        help = f"the last checkpoint is in {run.folder}; resume from it with: {command}"
        raise CnncError(*(d._replace(help=d.help or help) for d in error.diagnostics)) from error
    finally:
        callback.close()
        stop_on_signals()
    if result.stopped:
        print_status(f"stopped; {last} is saved. Resume with:\n  {command}")
        raise Stopped(Exit.TERMINATED if _Signals.terminated else Exit.INTERRUPTED)
    return result


def _dry_run(network: Network, data: Path | None, engine: Engine, json: bool) -> None:
    """Trains two steps in a temporary folder and prints the time and memory that a run would take."""
    from cnnc.recipe.metrics import decimals
    from cnnc.report.table import human_bytes
    from cnnc.training.divergence import check_batches
    from cnnc.training.dry_run import dry_run
    from cnnc.training.loop import open_data, start

    dataset = open_data(network, data, print_status)
    run = start(network, dataset, Path("runs"), engine=engine)
    print_diagnostics(tuple(check_batches(run)))
    result = dry_run(run)
    if json:
        print_json(result._asdict(), indent=None)
        return
    expected = f" (random guessing gives {result.chance:.4f})" if result.chance is not None else ""
    print_result(f"first loss {decimals(result.loss)}{expected}")
    print_result(
        f"{result.seconds * 1e3:.1f} ms per step, {result.rate:,.0f} examples/s; about {result.total:,.0f} s for all epochs"
    )
    measured = f", {human_bytes(result.measured)} measured" if result.measured is not None else ""
    print_result(
        f"memory: {human_bytes(result.predicted)} expected{measured}, {human_bytes(result.peak)} peak of the process"
    )


class _Signals:
    """The first Ctrl-C or SIGTERM asks the training loop to save and stop; the second raises `Stopped`."""

    asked = False
    terminated = False

    @classmethod
    def listen(cls) -> None:
        cls.asked = cls.terminated = False

        def handle(number: int, frame: FrameType | None) -> None:
            if cls.asked:
                cls.terminated = number == signal.SIGTERM
                raise Stopped(Exit.TERMINATED if cls.terminated else Exit.INTERRUPTED)
            cls.asked, cls.terminated = True, number == signal.SIGTERM

        signal.signal(signal.SIGINT, handle)
        signal.signal(signal.SIGTERM, handle)


def _callback(log: Log | None, live: bool, port: int | None) -> Callback:
    """The callbacks of a run: console output; TensorBoard and a live page if asked for. Raises CnncError E906, E908."""
    from cnnc.cli.progress import ConsoleProgress
    from cnnc.training.run import Callbacks

    callbacks: list[Callback] = []
    if log is not None:
        from cnnc.training.tensorboard import TensorBoard

        callbacks.append(TensorBoard())
    if live:
        from cnnc.cli.train_live import LivePage

        callbacks.append(LivePage(port or 0))
    return Callbacks(*callbacks, ConsoleProgress())


def _resumed_network(saved: Checkpoint, settings: Sequence[str]) -> Network:
    """The network of a checkpoint, with its settings overridden by those of the command line. Raises CnncError E010."""
    changed = {s.partition("=")[0] for s in settings}
    kept = [s for s in saved.settings if s.partition("=")[0] not in changed]
    network = saved.network(settings=[*kept, *settings])
    if settings:
        _require_same_examples(saved.network(), network)
    for line in _differences(saved):
        print_status(f"note: {line}, so results may differ from an uninterrupted run in their last bits")
    return network


def _require_same_examples(before: Network, now: Network) -> None:
    """Raises CnncError E010 if the splits would change, as the run may have trained on the new test examples."""
    if before.recipe is None or now.recipe is None:
        return
    old, new = before.recipe, now.recipe
    split_settings = {
        "train.seed": (old.seed, new.seed),
        "train.data.val": (old.data.val, new.data.val),
        "train.data.test": (old.data.test, new.data.test),
    }
    for name, (old_value, new_value) in split_settings.items():
        if old_value != new_value:
            message = f"the run split its data with {name}={old_value}; {name}={new_value} would split it differently"
            help = f"leave `--set {name}={new_value}` out, or start a new run"
            raise CnncError.of("E010", message, help=help)


def _differences(saved: Checkpoint) -> list[str]:
    """The differences to the environment that started the run which can change results in their last bits."""
    from cnnc.core.versions import versions
    from cnnc.reference.parallel.threads import thread_count

    installed = versions()
    differences = [
        f"the run was started with {name} {version}, and {installed[name]} is installed"
        for name, version in saved.versions.items()
        if name in ("cnnc", "numpy") and installed[name] != version
    ]
    if saved.threads != thread_count():
        differences.append(
            f"the run was started with {saved.threads} threads, and now uses {thread_count()} (see CNNC_THREADS)"
        )
    return differences


def _options_of_resume(
    data: Path | None, export: Path | None, log: Log | None, live: bool, port: int | None
) -> list[str]:
    """The options that a command to resume repeats."""
    words = ["--data", str(data)] if data is not None else []
    words += ["--export", str(export)] if export is not None else []
    words += ["--log", log.value] if log is not None else []
    words += ["--live"] if live else []
    words += ["--live-port", str(port)] if port is not None else []
    return words


def _report(result: Result, json: bool) -> None:
    from cnnc.recipe.metrics import finite, format_metric

    run, test = result.run, result.test
    assert test is not None
    if json:
        score = {"right": test.right, "total": test.total, "loss": test.loss, test.metric: test.result}
        best = run.progress.best_epoch + 1
        facts = {"run": str(run.folder), "epochs": run.progress.epoch, "best_epoch": best, "memory": result.memory}
        print_json(finite({**facts, "test": {**score, **dict(test.others)}}), indent=None)
        return
    counts = f" ({test.right:,} of {test.total:,})" if test.metric == "accuracy" else ""
    others = "".join(f", {metric} {format_metric(metric, value)}" for metric, value in test.others)
    print_result(f"test {test}{counts}{others}, weights of epoch {run.progress.best_epoch + 1}")
    print_result(f"run {run.folder}")
