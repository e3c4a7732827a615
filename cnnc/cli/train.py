"""`cnnc train`: trains a network, or resumes a run, and writes the run folder."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cnnc.cli.console import (
    Stopped,
    handle_signals,
    print_diagnostics,
    print_json,
    print_result,
    print_status,
    stop_on_signals,
)
from cnnc.cli.engines import (
    ACCUMULATE,
    COMPILE,
    DEVICE,
    ENGINE,
    PRECISION,
    PROCESSES,
    SHARD,
    EngineOptions,
    engine_of,
    engine_of_resume,
)
from cnnc.cli.options import (
    DATA,
    MAX_MEMORY,
    MAX_PARAMETERS,
    OFFLINE,
    PROVIDER_OF_ENGINE,
    SETTINGS,
    json_option,
    parse_sizes,
    sizes_option,
)
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.cli.train_ranks import is_started_again, joined, starts_processes, torchrun_command, train_in_processes
from cnnc.cli.usage import load_network, require_one_source, require_source
from cnnc.diagnostics import CnncError, Exit
from cnnc.training.ranks import is_started_by_torchrun

if TYPE_CHECKING:
    from cnnc.network import Network
    from cnnc.training.initial_weights import Initial
    from cnnc.training.ranks import Ranks
    from cnnc.training.run import Callback, Engine, Run, RunResult


class Log(StrEnum):
    """The values of --log."""

    tensorboard = "tensorboard"


def train(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Network file (.cnn) with a train section.")
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", "--run-folder", metavar="DIR", help="Run folder to write (default: a new runs/NAME)."),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume", metavar="RUN", help="Resume this run; the result is bit-identical to an uninterrupted run."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(
            "--weights",
            metavar="RUN|MODEL",
            help="Begin with the weights of this run, checkpoint or model, where names and shapes fit.",
        ),
    ] = None,
    data: DATA = None,
    offline: OFFLINE = False,
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
        typer.Option("--log", "--log-as", help="Also log the metrics in this format, into the run folder."),
    ] = None,
    engine: ENGINE = None,
    provider: PROVIDER_OF_ENGINE = None,
    device: DEVICE = None,
    precision: PRECISION = None,
    compile: COMPILE = None,
    processes: PROCESSES = None,
    accumulate: ACCUMULATE = None,
    shard: SHARD = None,
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
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Train a network, or resume a run; checkpoints and metrics go to the run folder."""
    require_one_source(file, resume)
    if file is not None:
        require_source(file, "train")
    if dry_run and resume is not None:
        raise CnncError.of("E010", "--dry-run applies to a network FILE, not to a resumed run")
    if weights is not None and resume is not None:
        message = "--weights applies to a network FILE; a resumed run has its own"
        raise CnncError.of("E010", message, help="leave --weights out")
    if live_port is not None and not live:
        raise CnncError.of("E010", "--live-port applies to --live", help="add --live")
    engine_options = EngineOptions(engine, provider, device, precision, compile, processes, accumulate, shard)
    if resume is None:
        engine_options.require_engine(engine)
    if starts_processes(processes):
        raise typer.Exit(train_in_processes(processes or 1))
    if dry_run and live:
        raise CnncError.of("E010", "--live shows a training; --dry-run makes two steps and writes nothing")
    if export is not None:
        require_outputs(
            [path for path in (file, resume) if path is not None], [Output(export, "--export", "onnx")], force
        )
    sizes = parse_sizes(at)
    if resume is not None and sizes:
        raise CnncError.of("E010", "--at applies to a network FILE; a resumed run keeps the sizes it started with")
    options = _options_of_resume(data, export, log, live, live_port, engine_options)
    with joined(engine_options) as ranks:
        if file is not None and dry_run:
            _dry_run(load_network(file, settings, sizes), weights, data, engine_of(engine_options, ranks), json)
            return
        callback = _callback(log, live, live_port, ranks)
        if file is not None:
            network = load_network(file, settings, sizes)
            result = _train_new(network, run, weights, data, engine_options, ranks, callback, options)
        else:
            assert resume is not None
            result = _resume(resume, run, settings or [], data, engine_options, ranks, callback, options)
        if ranks.is_first:
            _report(result, json)
            if export is not None:
                _export(result, export, json)


def _export(result: RunResult, path: Path, json: bool) -> None:
    from cnnc.cli.export import export_run, report

    exported = export_run(result.run.folder, path)
    if not json:
        report(exported, json=False)


def _train_new(
    network: Network,
    folder: Path | None,
    weights: Path | None,
    data: Path | None,
    engine: EngineOptions,
    ranks: Ranks,
    callback: Callback,
    options: Sequence[str],
) -> RunResult:
    """Trains a network in a new run folder; without `folder` in runs/NAME, or the first of runs/NAME-2, ... that is free.

    A job that torchrun starts again resumes the run that it began.
    """
    from cnnc.api.runs import new_run, usual_folder
    from cnnc.training.job import run_of_job

    if is_started_by_torchrun():
        wanted = folder or usual_folder(network)
        begun = ranks.first(lambda: run_of_job(wanted, network, numbered=folder is None))
        if begun is not None:
            return _resume(begun, None, [], data, engine, ranks, callback, options)
    initial = _initial(weights)
    with new_run(network, folder, data, engine_of(engine, ranks), print_status, ranks, initial) as run:
        return _train(run, callback, options)


def _initial(weights: Path | None) -> Initial | None:
    """What --weights names."""
    if weights is None:
        return None
    from cnnc.api.model import initial_of

    return initial_of(weights, print_status)


def _resume(
    resume: Path,
    folder: Path | None,
    settings: Sequence[str],
    data: Path | None,
    engine: EngineOptions,
    ranks: Ranks,
    callback: Callback,
    options: Sequence[str],
) -> RunResult:
    """Trains a run on, in its folder or in another one, which gets a copy of its progress."""
    from cnnc.api.runs import resumed_run
    from cnnc.training.job import is_run_of_job

    if folder is not None and is_started_by_torchrun() and ranks.first(lambda: is_run_of_job(folder)):
        resume = folder  # torchrun has started the job again
    with resumed_run(
        resume,
        folder,
        settings,
        data,
        lambda saved: engine_of_resume(saved, engine, ranks),
        print_status,
        print_diagnostics,
        ranks,
    ) as run:
        return _train(run, callback, options)


def _train(run: Run, callback: Callback, options: Sequence[str]) -> RunResult:
    """Trains a run to its end. If it is stopped or fails, prints the command that resumes it, which ends with `options`."""
    from cnnc.training.loop import train as train_run
    from cnnc.training.run import Stopping
    from cnnc.training.run_folder import resume_command

    ranks, last = run.ranks, run.folder / "last.safetensors"
    command = torchrun_command(resume_command(run.folder, *options))
    _Signals.listen(is_alone=ranks.size == 1)
    try:
        result = train_run(run, callback, Stopping(lambda: _Signals.asked or ranks.is_orphaned))
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
        if is_started_again():
            help = f"torchrun starts the processes again, which resume from the last checkpoint in {run.folder}"
        shown = (d._replace(help="; ".join(filter(None, (d.help, help)))) for d in error.diagnostics)
        raise CnncError(*shown) from error
    finally:
        callback.close()
        if ranks.size == 1 or sys.exc_info()[0] is None:  # else torchrun's SIGTERM would hide the error
            stop_on_signals()
    if result.stopped:
        print_status(f"stopped; {last} is saved. Resume with:\n  {command}")
        (terminated,) = ranks.any(_Signals.terminated or ranks.is_orphaned)
        raise Stopped(Exit.TERMINATED if terminated else Exit.INTERRUPTED)
    return result


def _dry_run(network: Network, weights: Path | None, data: Path | None, engine: Engine, json: bool) -> None:
    """Trains two steps in a temporary folder and prints the time and memory that a run would take."""
    from cnnc.api.progress import device_lines
    from cnnc.core.limits import human_bytes
    from cnnc.recipe.metrics import decimals
    from cnnc.training.divergence import check_batches
    from cnnc.training.dry_run import dry_run
    from cnnc.training.loop import open_first_data, start

    initial = _initial(weights)
    dataset = open_first_data(network, data, print_status, initial)
    run = start(network, dataset, Path("runs"), engine=engine, initial=initial)
    for line in device_lines(run):
        print_status(line)
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
    """The first Ctrl-C, SIGTERM or SIGHUP asks the training loop to save and stop; the second raises `Stopped`.

    Of several processes, each is signalled once by torchrun, and again by whoever signals all processes of a job: only the
    first signal counts, and torchrun kills those that do not end.
    """

    asked = False
    terminated = False

    @classmethod
    def listen(cls, is_alone: bool) -> None:
        cls.asked = cls.terminated = False

        def handle(number: int, frame: FrameType | None) -> None:
            if cls.asked and not is_alone:
                return
            if cls.asked:
                cls.terminated = number != signal.SIGINT
                raise Stopped(Exit.TERMINATED if cls.terminated else Exit.INTERRUPTED)
            cls.asked, cls.terminated = True, number != signal.SIGINT

        handle_signals(handle)


def _callback(log: Log | None, live: bool, port: int | None, ranks: Ranks) -> Callback:
    """The callbacks of a run: console output; TensorBoard and a live page if asked for; none except in the first process.

    Raises CnncError E906, E908.
    """
    from cnnc.api.progress import TrainingProgress
    from cnnc.training.run import Callback, Callbacks

    if not ranks.is_first:
        return Callback()
    callbacks: list[Callback] = []
    if log is not None:
        from cnnc.training.tensorboard import TensorBoard

        callbacks.append(TensorBoard())
    if live:
        from cnnc.cli.train_live import LivePage

        callbacks.append(LivePage(port or 0))
    return Callbacks(*callbacks, TrainingProgress(print_status, print_diagnostics))


def _options_of_resume(
    data: Path | None, export: Path | None, log: Log | None, live: bool, port: int | None, engine: EngineOptions
) -> list[str]:
    """The options that a command to resume repeats."""
    words = ["--data", str(data)] if data is not None else []
    words += ["--export", str(export)] if export is not None else []
    words += ["--log-as" if is_started_by_torchrun() else "--log", log.value] if log is not None else []
    words += ["--processes", str(engine.processes)] if engine.processes is not None else []
    words += ["--accumulate", str(engine.accumulate)] if engine.accumulate is not None else []
    words += ["--shard"] if engine.shard else []
    words += ["--live"] if live else []
    words += ["--live-port", str(port)] if port is not None else []
    return words


def _report(result: RunResult, json: bool) -> None:
    from cnnc.recipe.metrics import finite
    from cnnc.report.closing import WARNED, classes_text, confusion_facts, next_steps, score_text
    from cnnc.training.report_page import closing_of_result

    run, test = result.run, result.test
    assert test is not None
    closing, best = closing_of_result(result), run.progress.best_epoch + 1
    found = next_steps(closing)
    if json:
        facts = {"run": str(run.folder), "epochs": run.progress.epoch, "best_epoch": best, "memory": result.memory}
        scores = {**test.as_dict(), **(confusion_facts(closing) if closing.confusion else {})}
        print_json(finite({**facts, "test": scores, "next_steps": [each._asdict() for each in found]}), indent=None)
        return
    print_result(f"{score_text(closing)}, weights of epoch {best}")
    if closing.confusion:
        print_result(classes_text(closing.classes, closing.confusion))
    for each in found:
        if each.rule not in WARNED:
            print_status(f"next: {each}")
    print_result(f"run {run.folder}")
