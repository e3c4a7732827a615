"""A run folder and its files: checkpoints, metrics.jsonl and its curves, the score on the test set.

In: a run, the results of an epoch. Out: files, each written completely or not at all, and a folder that exists complete or
not at all. Of several processes that train together, only the first writes. The training loop decides when.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from shlex import join
from types import MappingProxyType

import numpy as np

from cnnc.core.files import make_folder, read_bytes, sync_folder, umask, write_error
from cnnc.core.versions import versions
from cnnc.data import arrays
from cnnc.diagnostics import CnncError
from cnnc.recipe.metrics import finite
from cnnc.reference.machine import machine
from cnnc.reference.parallel.threads import thread_count
from cnnc.training import checkpoint as checkpoints
from cnnc.training.checkpoint import Checkpoint
from cnnc.training.divergence import diverged
from cnnc.training.job import write_job
from cnnc.training.objective import Score
from cnnc.training.ranks import is_started_by_torchrun
from cnnc.training.run import Epoch, Run
from cnnc.training.run_lock import locked, remove_abandoned, require_not_taken, write_file

Report = Callable[[str], None]

_SUFFIX = ".part"


@contextmanager
def new_folder(run: Run, report: Report, *, numbered: bool = False, origin: Path | None = None) -> Iterator[None]:
    """Makes the folder of a new run, and holds its lock.

    The folder appears complete, with network.cnn and a checkpoint to resume from; in a folder that exists, the files are
    added. `numbered`: if it exists, the run gets the first of NAME-2, NAME-3, ... that does not, so that runs which start
    at once get different folders. A run that continues another one takes the best weights and metrics from the folder
    `origin`. Raises CnncError E010 if the folder holds a run, E902, E907.
    """
    wanted = run.folder
    if numbered or not wanted.exists():
        make_folder(wanted.parent)
        _remove_abandoned(wanted)
        _make_complete(run, wanted, numbered, origin, report)
        with locked(run.folder, report):
            yield
    else:
        make_folder(wanted)  # E902 if it is a file
        with locked(wanted, report):
            _require_free(wanted)
            _save_first(run, origin)
            yield


def _make_complete(run: Run, wanted: Path, numbered: bool, origin: Path | None, report: Report) -> None:
    """Fills a temporary folder next to the wanted one and renames it, which no two processes can do with one name."""
    lock = ExitStack()  # so that nobody takes the folder for abandoned
    run.folder = temporary = _temporary_folder(wanted, lock, report)
    try:
        with lock:
            _save_first(run, origin)
            temporary.chmod(0o777 & ~umask())
            _give_name(run, temporary, wanted, numbered)
        sync_folder(wanted.parent)
    except OSError as error:
        raise write_error(wanted, error) from error
    except CnncError as error:
        named = (d._replace(message=d.message.replace(str(temporary), str(wanted))) for d in error.diagnostics)
        raise CnncError(*named) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _temporary_folder(wanted: Path, lock: ExitStack, report: Report) -> Path:
    """A new folder next to the wanted one, whose lock `lock` holds. Raises CnncError E902."""
    while True:
        try:
            folder = Path(tempfile.mkdtemp(prefix=f".{wanted.name}.", suffix=_SUFFIX, dir=wanted.parent))
        except OSError as error:
            raise write_error(wanted, error) from error
        try:
            lock.enter_context(locked(folder, report))
            return folder
        except CnncError as error:
            # another process may take it for abandoned before it is locked, and hold its lock (E907) or have deleted it
            is_taken = error.diagnostics[0].code == "E907" or not folder.exists()
            if not is_taken:
                shutil.rmtree(folder, ignore_errors=True)
                raise


def _give_name(run: Run, temporary: Path, wanted: Path, numbered: bool) -> None:
    """Renames the complete folder. Raises CnncError E010, E902."""
    while True:
        run.folder = free_folder(wanted) if numbered else wanted
        try:
            os.rename(temporary, run.folder)
            return
        except OSError as error:
            if not run.folder.exists():
                raise write_error(run.folder, error) from error
            if not numbered:  # another process has made it
                _require_free(wanted)
                raise write_error(wanted, error) from error


def _remove_abandoned(wanted: Path) -> None:
    """Deletes the temporary folders that killed processes left behind when they began a run of this name.

    Those of `cnnc export -o NAME.onnx` have names with one more dot, and are not locked.
    """
    temporary = re.compile(rf"\.{re.escape(wanted.name)}\.[^.]+{re.escape(_SUFFIX)}")
    with suppress(OSError):
        for folder in wanted.parent.iterdir():
            if temporary.fullmatch(folder.name):
                remove_abandoned(folder)


def _save_first(run: Run, origin: Path | None) -> None:
    """Writes what a run begins with; of one that continues the run in `origin`, also its best weights and metrics."""
    for name in ("metrics.jsonl", "best.safetensors"):
        if origin is not None and (origin / name).exists():
            write_file(run.folder, name, read_bytes(origin / name, checkpoints.LARGEST))
    save(run, "last")
    save_network(run)
    if is_started_by_torchrun():
        write_job(run.folder)


def free_folder(folder: Path) -> Path:
    """The folder, or the first of folder-2, folder-3, ... that does not exist.

    Example: `free_folder(Path("runs/lenet5"))` is runs/lenet5-2 if runs/lenet5 exists.
    """
    number, free = 1, folder
    while os.path.lexists(free):
        number += 1
        free = folder.with_name(f"{folder.name}-{number}")
    return free


def require_new(folder: Path, report: Report) -> None:
    """Raises what `new_folder` would for this folder: E907, E010, E902; for use before the data is read."""
    if folder.is_dir():
        with locked(folder, report):
            _require_free(folder)


def _require_free(folder: Path) -> None:
    """Raises CnncError E010 if the folder already holds a file with the name of a run file."""
    for name in checkpoints.RUN_FILES:
        if (folder / name).exists():
            can_resume = (folder / "last.safetensors").exists()
            help = f"resume it with: {resume_command(folder)}" if can_resume else "name another folder"
            raise CnncError.of("E010", f"{folder} already contains {name}, a file of a run", help=help)


def resume_command(folder: Path, *options: str) -> str:
    """The command that resumes a run, quoted for a shell."""
    return join(["cnnc", "train", "--resume", str(folder), *options])


def save(run: Run, name: str) -> Path:
    """Writes the run's state to NAME.safetensors in its folder.

    Raises CnncError E701 for a weight that is not finite, E902.
    """
    run.fetch()
    path = run.folder / f"{name}.safetensors"
    if not run.ranks.is_first:
        return path
    if not all(np.isfinite(array).all() for array in run.weights.values()):
        raise diverged(run, {}, run.progress.epoch, max(0, run.progress.step - 1))
    require_not_taken(run.folder)
    checkpoints.save(path, current_checkpoint(run))
    return path


def current_checkpoint(run: Run) -> Checkpoint:
    """The state of a run, as `Run.fetch` has brought it up to date."""
    source = run.network.source
    return Checkpoint(
        source.name,
        source.text,
        run.network.settings,
        run.data.classes,
        run.data.vocabulary,
        run.weights,
        run.slots,
        run.progress,
        versions(),
        thread_count(),
        dict(run.network.includes),
        dict(run.network.survey.reference) if run.network.survey is not None else {},
        dict(run.origin),
        run.engine.name,
        run.engine.provider,
        run.engine.options,
        run.data.name if run.data.name == arrays.NAME else "",
        {**machine(), **run.engine.machine},
        run.data.columns,
    )


def save_network(run: Run) -> None:
    """Writes the network's source to network.cnn."""
    if not run.ranks.is_first:
        return
    write_file(run.folder, "network.cnn", run.network.source.text.encode())


def save_metrics(run: Run, lines: list[str]) -> None:
    """Writes metrics.jsonl, and draws it if that takes at most a twentieth of the time: thousands of epochs may be short."""
    if not run.ranks.is_first:
        return
    write_file(run.folder, "metrics.jsonl", "".join(f"{line}\n" for line in lines).encode())
    start = time.monotonic()
    if start >= run.next_curves:
        save_curves(run, lines)
        end = time.monotonic()
        run.next_curves = end + 20 * (end - start)


def save_test(run: Run, lines: list[str], score: Score, confusion: Sequence[Sequence[int]] = ()) -> None:
    """Writes the score of the best weights on the test set to test.json, and adds it to curves.svg; writes the closing report."""
    if not run.ranks.is_first:
        return
    facts = {"epoch": run.progress.best_epoch + 1, **score.as_dict()}
    write_file(run.folder, "test.json", f"{json.dumps(finite(facts))}\n".encode())
    save_curves(run, lines, facts)
    from cnnc.training.report_page import save_closing

    save_closing(run, lines, score, confusion)


def save_curves(run: Run, lines: list[str], score: Mapping[str, float] = MappingProxyType({})) -> None:
    """Draws curves.svg. The modules that draw are imported here, so that training starts without them."""
    if not run.ranks.is_first:
        return
    from cnnc.training.run_curves import FALLING, training_run
    from cnnc.view.svg import svg_text
    from cnnc.view.training_curves import training_curves

    shown = training_run(run.network.name, lines, run.progress.best_epoch + 1, score)
    if shown.rows:
        write_file(run.folder, "curves.svg", svg_text(training_curves(shown.name, [shown], FALLING)).encode())


def line_of(run: Run, epoch: Epoch) -> dict[str, float | int | None]:
    """An epoch as a line of metrics.jsonl."""
    v = epoch.validation
    return {
        "epoch": epoch.number + 1,
        "train_loss": epoch.train.loss,
        "train_accuracy": epoch.train.accuracy if run.objective.is_classifier else None,
        "val_loss": v.loss if v else None,
        f"val_{run.recipe.metric}": v.result if v else None,
        **({f"val_{name}": value for name, value in v.others} if v else {}),
        "lr": epoch.rate,
        "seconds": round(epoch.seconds, 3),
        "images_per_second": round(epoch.images_per_second, 1),
        "memory": epoch.memory,
        **({"device_memory": epoch.device_memory} if epoch.device_memory is not None else {}),
        "waiting": round(epoch.waiting, 3),
    }


def metrics_before(run: Run) -> list[str]:
    """The lines of metrics.jsonl that a resumed run keeps: those of the epochs before its checkpoint."""
    if not run.ranks.is_first or not run.progress.epoch:
        return []
    return checkpoints.metric_lines(run.folder)[: run.progress.epoch]
