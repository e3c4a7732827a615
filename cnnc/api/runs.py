"""Runs that are about to be trained: new ones, and those that are resumed. `train` and `resume` use them, and `cnnc train`.

In: a network or the folder of a run, data, an engine. Out: a context that holds the lock of the run's folder and gives the `Run`.

    with new_run(network, None, None, NumpyEngine(), print) as run:
        loop.train(run)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cnnc.core.arrays import Array
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError, Diagnostic
from cnnc.network import Network
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.initial_weights import Initial
from cnnc.training.loop import open_data, open_first_data, start
from cnnc.training.ranks import ALONE, Ranks
from cnnc.training.run import Engine, Run
from cnnc.training.run_folder import current_checkpoint, new_folder, require_new
from cnnc.training.run_lock import locked

Report = Callable[[str], None]
Data = Path | Mapping[str, Array] | None
"""The folder of the data sets, or arrays in place of one."""


def usual_folder(network: Network) -> Path:
    """Where a run of this network is written if nothing else is said: runs/NAME, by its file or, without a file, its name."""
    file = network.source.name
    return Path("runs") / (network.name if file == "<string>" else Path(file).stem.strip("<>"))


@contextmanager
def new_run(
    network: Network,
    folder: Path | None,
    data: Data,
    engine: Engine,
    report: Report,
    ranks: Ranks = ALONE,
    initial: Initial | None = None,
) -> Iterator[Run]:
    """A new run in a folder; without `folder` in runs/NAME, or the first of runs/NAME-2, ... that is free.

    It begins with the weights of `initial` that fit.
    """
    if folder is not None:
        ranks.first(lambda: require_new(folder, report))
    dataset = open_first_data(network, data, report, initial)
    run = start(network, dataset, folder or usual_folder(network), engine=engine, initial=initial)
    with ranks.holding(lambda: new_folder(run, report, numbered=folder is None)):
        run.folder = ranks.first(lambda: run.folder)
        yield run


@contextmanager
def resumed_run(
    resume: Path,
    folder: Path | None,
    settings: Sequence[str],
    data: Data,
    engine_of: Callable[[Checkpoint], Engine],
    report: Report,
    warn: Callable[[Sequence[Diagnostic]], None],
    ranks: Ranks = ALONE,
) -> Iterator[Run]:
    """A run that continues the run or checkpoint `resume`, in its folder or in another one, which gets a copy of its progress."""
    old = resume if resume.is_dir() else resume.parent
    ranks.first(lambda: checkpoints.find(resume, "last"))  # E606 before anything is written
    in_place = folder is None or real_path(folder) == real_path(old)
    if folder is not None and not in_place:
        ranks.first(lambda: require_new(folder, report))
    with ExitStack() as lock:
        if ranks.first(lambda: in_place or os.access(old, os.W_OK)):  # nobody trains in a folder that cannot be written
            lock.enter_context(ranks.holding(lambda: locked(old, report)))
        saved = ranks.first(lambda: checkpoints.load(checkpoints.find(resume, "last")))
        saved.require_its_data(data)
        network = _resumed_network(saved, settings)
        engine = engine_of(saved)
        warn(network.diagnostics)
        dataset = open_data(network, data, report, saved)
        run = start(network, dataset, folder or old, saved, engine)
        ranks.first(lambda: _report_differences(saved, run, report))
        if in_place:
            yield run
            return
        with ranks.holding(lambda: new_folder(run, report, origin=old)):
            lock.close()
            yield run


def _resumed_network(saved: Checkpoint, settings: Sequence[str]) -> Network:
    """The network of a checkpoint, with its settings overridden by `settings`. Raises CnncError E010."""
    changed = {s.partition("=")[0] for s in settings}
    kept = [s for s in saved.settings if s.partition("=")[0] not in changed]
    network = saved.network(settings=[*kept, *settings])
    if settings:
        _require_same_examples(saved.network(), network)
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


def _report_differences(saved: Checkpoint, run: Run, report: Report) -> None:
    """Tells in one line what differs from where the checkpoint was written, and can change results in their last bits."""
    now = current_checkpoint(run)
    packages = ("cnnc", "numpy", *(("onnxruntime",) if now.engine == "onnxruntime" else ()))
    pairs = [(name, saved.versions.get(name), now.versions[name]) for name in packages]
    pairs.append(("threads", str(saved.threads), str(now.threads)))
    pairs += [(name, saved.machine.get(name), text) for name, text in now.machine.items()]
    changed = [f"{name}: {before}, now {text}" for name, before, text in pairs if before not in (None, text)]
    if changed:
        report(
            f"note: the run was trained with {'; '.join(changed)}; results may differ from an uninterrupted run in their "
            "last bits"
        )
