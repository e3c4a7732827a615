"""`cnnc train`: learns a network's weights, and leaves a run folder."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from shlex import join
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from cnnc.cli.check import SETTING, sizes_at
from cnnc.cli.console import Stopped, say, show, tell
from cnnc.diagnostics import CnncError, Exit

if TYPE_CHECKING:
    from cnnc.network import Network
    from cnnc.training.checkpoint import Checkpoint
    from cnnc.training.run import Callback, Result, Run

DATA = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Folder of the data sets (or CNNC_DATA).")]


class Log(StrEnum):
    tensorboard = "tensorboard"


def train(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A network (.cnn) with a train section.")] = None,
    run: Annotated[Path | None, typer.Option("--run", metavar="DIR", help="Run folder (runs/NAME).")] = None,
    resume: Annotated[
        Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a run, to the same bits.")
    ] = None,
    data: DATA = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="OUT.onnx", help="Export the best weights at the end.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Two steps only: speed, memory and the first loss; writes nothing.")
    ] = False,
    log: Annotated[
        Log | None, typer.Option("--log", help="Write the metrics for this program as well, into the run folder.")
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option("--at", metavar="H=224,W=224", help="Sizes for symbols, to train at.")
    ] = None,
    settings: SETTING = None,
    json: Annotated[bool, typer.Option("--json", help="The result as one JSON object.")] = False,
) -> None:
    """Train a network with NumPy; checkpoints and metrics go to the run folder."""
    from cnnc.api import free_folder
    from cnnc.core.files import require_place
    from cnnc.network import load
    from cnnc.training import checkpoint as checkpoints

    if (file is None) == (resume is None):
        raise CnncError.of("E010", "train takes a network's FILE, or --resume RUN, one of them")
    if dry_run and resume is not None:
        raise CnncError.of("E010", "--dry-run rehearses a network's FILE; a run that is resumed is under way already")
    if export is not None:
        require_place(export, "nothing was trained; name a file for --export")
    sizes = sizes_at(at or [])
    if sizes and resume is not None:
        raise CnncError.of("E010", "--at is for a network's FILE; a run keeps the sizes that it was begun at")
    saved: Checkpoint | None = None
    if resume is not None:
        saved = checkpoints.load(checkpoints.find(resume, "last"))
        network = _resumed(saved, settings or [])
        old = resume if resume.is_dir() else resume.parent
        folder = run or old
        if run is not None and run.resolve() != old.resolve():
            _require_free(run)
            _carry_over(old, run)
    else:
        assert file is not None
        network = load(file, settings or [], sizes)
        network.require_graph()
        if dry_run:
            show(network.diagnostics)
            _rehearse(network, data, json)
            return
        folder = run or free_folder(Path("runs") / file.stem)
        _require_free(folder)
    show(network.diagnostics)
    watcher = _watcher(log)
    again = _command(folder, data, export, log)
    try:
        result = _train(network, folder, data, saved, watcher)
    except Stopped:  # the second signal, which did not wait
        if (folder / "last.safetensors").exists():
            tell(f"stopped at once; what was saved last is in {folder}. Go on from there with:\n  {again}")
        raise
    except CnncError as error:
        if error.status != Exit.RESOURCES or not (folder / "last.safetensors").exists():
            raise
        way = f"what was saved last is in {folder}; go on from there with: {again}"
        raise CnncError(*(d._replace(help=d.help or way) for d in error.diagnostics)) from error
    if result.stopped:
        tell(f"stopped; {folder / 'last.safetensors'} is saved. Go on with:\n  {again}")
        raise Stopped(Exit.TERMINATED if _Signals.terminated else Exit.INTERRUPTED)
    _report(result, json)
    if export is not None:
        from cnnc.cli.export import export_run, report

        exported = export_run(folder, export)
        report(exported, json=False) if not json else None


def _rehearse(network: Network, data: Path | None, json: bool) -> None:
    """Says what a run would take, from two steps of it."""
    from tempfile import TemporaryDirectory

    from cnnc.recipe.metrics import decimals
    from cnnc.report.table import human_bytes
    from cnnc.training.dry_run import dry_run
    from cnnc.training.loop import open_data, start

    dataset = open_data(network, data, tell)
    with TemporaryDirectory(prefix="cnnc-") as folder:
        found = dry_run(start(network, dataset, Path(folder)))
    if json:
        from json import dumps

        say(dumps(found._asdict()))
        return
    expected = f" (guessing costs {found.chance:.4f})" if found.chance is not None else ""
    say(f"first loss {decimals(found.loss)}{expected}")
    say(f"{found.seconds * 1e3:.1f} ms a step, {found.rate:,.0f} examples/s; about {found.total:,.0f} s for all epochs")
    measured = f", {human_bytes(found.measured)} measured" if found.measured is not None else ""
    say(f"memory: {human_bytes(found.predicted)} expected{measured}, {human_bytes(found.peak)} for the process")


class _Signals:
    """The first Ctrl-C or SIGTERM asks the loop to save and stop; the second stops at once."""

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


def _watcher(log: Log | None) -> Callback:
    """Who is told how training goes. Raises CnncError E906."""
    from cnnc.cli.progress import Console
    from cnnc.training.run import Callbacks

    if log is None:
        return Console()
    from cnnc.training.tensorboard import TensorBoard

    return Callbacks(TensorBoard(), Console())


def _train(network: Network, folder: Path, data: Path | None, saved: Checkpoint | None, watcher: Callback) -> Result:
    from cnnc.cli.console import stop_on_signals
    from cnnc.training.loop import open_data, start
    from cnnc.training.loop import train as train_run
    from cnnc.training.run import Stopping

    dataset = open_data(network, data, tell, saved.vocabulary if saved is not None else ())
    under_way: Run = start(network, dataset, folder, saved)
    _Signals.listen()
    try:
        return train_run(under_way, watcher, Stopping(lambda: _Signals.asked))
    finally:
        watcher.close()
        stop_on_signals()


def _resumed(saved: Checkpoint, settings: list[str]) -> Network:
    """The network of a checkpoint; settings of the command line come after those it was started with."""
    changed = {s.partition("=")[0] for s in settings}
    kept = [s for s in saved.settings if s.partition("=")[0] not in changed]
    network = saved.network(settings=[*kept, *settings])
    if settings:
        _require_same_examples(saved.network(), network)
    for line in _differences(saved):
        tell(f"note: {line}, so the numbers may differ in their last bits")
    return network


def _require_same_examples(before: Network, now: Network) -> None:
    """Raises CnncError E010 where other examples would be held back: those of the test may have been trained on."""
    if before.recipe is None or now.recipe is None:
        return
    old, new = before.recipe, now.recipe
    drawn_from = {
        "train.seed": (old.seed, new.seed),
        "train.data.val": (old.data.val, new.data.val),
        "train.data.test": (old.data.test, new.data.test),
    }
    for name, (was, is_now) in drawn_from.items():
        if was != is_now:
            message = f"the run holds examples back by {name}={was}; by {name}={is_now} it would hold back others"
            help = f"leave `--set {name}={is_now}` out, or begin a run of its own"
            raise CnncError.of("E010", message, help=help)


def _differences(saved: Checkpoint) -> list[str]:
    """In what this machine differs from the one that began the run, where that can change a run's bits."""
    from cnnc.core.versions import versions
    from cnnc.reference.parallel.threads import thread_count

    now = versions()
    found = [
        f"the run was begun with {name} {version}, this is {now[name]}"
        for name, version in saved.versions.items()
        if name in ("cnnc", "numpy") and now[name] != version
    ]
    if saved.threads != thread_count():
        found.append(f"the run was begun with {saved.threads} threads, this is {thread_count()} (see CNNC_THREADS)")
    return found


def _require_free(folder: Path) -> None:
    """Raises CnncError E010 where the folder holds files of another run, or of somebody else by these names."""
    from cnnc.training.checkpoint import RUN_FILES

    for name in RUN_FILES:
        if (folder / name).exists():
            whole = (folder / "last.safetensors").exists()
            advice = f"go on with it: {_command(folder)}" if whole else "name another folder"
            raise CnncError.of("E010", f"{folder} holds a run already: {name} is there", help=advice)


def _carry_over(old: Path, new: Path) -> None:
    """Takes the metrics and the best weights so far along into another run folder."""
    from cnnc.core.files import make_folder, read_bytes, write_atomic

    make_folder(new)
    for name in ("metrics.jsonl", "best.safetensors"):
        if (old / name).exists():
            write_atomic(new / name, read_bytes(old / name))


def _command(folder: Path, data: Path | None = None, export: Path | None = None, log: Log | None = None) -> str:
    """The command that goes on with a run."""
    words = ["cnnc", "train", "--resume", str(folder)]
    words += ["--data", str(data)] if data is not None else []
    words += ["--export", str(export)] if export is not None else []
    words += ["--log", log.value] if log is not None else []
    return join(words)


def _report(result: Result, json: bool) -> None:
    from cnnc.recipe.metrics import finite, format_metric

    run, test = result.run, result.test
    assert test is not None
    if json:
        from json import dumps

        score = {"right": test.right, "total": test.total, "loss": test.loss, test.metric: test.result}
        best = run.progress.best_epoch + 1
        ended = {"run": str(run.folder), "epochs": run.progress.epoch, "best_epoch": best, "memory": result.memory}
        say(dumps(finite({**ended, "test": {**score, **dict(test.others)}})))
        return
    of = f" ({test.right:,} of {test.total:,})" if test.metric == "accuracy" else ""
    others = "".join(f", {metric} {format_metric(metric, value)}" for metric, value in test.others)
    say(f"test {test}{of}{others}, weights of epoch {run.progress.best_epoch + 1}")
    say(f"run {run.folder}")
