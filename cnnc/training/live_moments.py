"""Moments of a training for a page that shows it: numbers every second, predictions and kernels every few seconds.

In: the calls of a `Callback`. Out: `Moment`s, which `publish` gets at once, and those for the replay, at most `MOST` of
them, spread over the training. They hold copies, so that the training can go on while somebody draws them. Nothing here
changes the run or draws a random number, so that training is bit-identical with and without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from cnnc.core.arrays import Array
from cnnc.core.process_memory import resident_memory
from cnnc.recipe.metrics import finite
from cnnc.reference.engine import Trace
from cnnc.training.run import Callback, Epoch, Run, RunResult
from cnnc.training.run_curves import FALLING, training_run
from cnnc.training.run_folder import line_of, metrics_before
from cnnc.training.samples import SampleSet
from cnnc.view.live.kernels import kernel_images, kernels_note
from cnnc.view.live.moment import ClassCounts, Learned, Moment, State, Subject
from cnnc.view.live.page import every_second
from cnnc.view.training_curves import TrainingRun

MOST = 96
"""The most moments of a replay."""
MOMENT_SECONDS, LEARNED_SECONDS = 1.0, 5.0
"""The time between two moments within an epoch, and between two that show predictions and kernels anew."""
SHARE, FREE_SECONDS = 0.02, 1.0
"""The most of the time that predictions and kernels may take; at the ends of epochs they may take this many seconds in all anyway."""
POINTS = 240
"""The most points of the curve of the loss within epochs."""
COUNTED, COUNTED_SHARE = 256, 20
"""Without validation data, accuracy per class is that of the first 256 training examples, or of a 20th if that is less."""

Publish = Callable[[Moment], None]


class LossHistory:
    """The losses of all steps as the means of equally many steps, of which there are at most `POINTS`."""

    def __init__(self) -> None:
        self._size = 1
        self._points: list[tuple[float, float]] = []
        self._sum, self._count = 0.0, 0

    def add(self, position: float, loss: float) -> None:
        """Adds the loss of a step; `position` counts epochs, with fractions."""
        self._sum, self._count = self._sum + loss, self._count + 1
        if self._count == self._size:
            self._points.append((position, self._sum / self._count))
            self._sum, self._count = 0.0, 0
        if len(self._points) > POINTS:
            pairs = zip(self._points[::2], self._points[1::2], strict=False)
            self._points = [(right[0], (left[1] + right[1]) / 2) for left, right in pairs]
            self._size *= 2

    def points(self) -> tuple[tuple[float, float], ...]:
        """The points so far."""
        return tuple(self._points)


class LiveMoments(Callback):
    """Makes moments of a run and keeps those for its replay."""

    def __init__(self, publish: Publish, clock: Callable[[], float] = time.monotonic) -> None:
        self.subject: Subject | None = None
        self.kept: list[Moment] = []
        self._publish, self._clock = publish, clock
        self._losses = LossHistory()
        self._metrics: TrainingRun | None = None
        self._counts: tuple[Array, Array] | None = None
        self._shown_counts: ClassCounts | None = None
        self._cost_of_all = 0.0
        self._every, self._left_out = 1, 0  # of the moments, every so many is kept; those since the last that was

    def on_start(self, run: Run) -> None:
        self._run, self._samples = run, SampleSet(run)
        if lines := metrics_before(run):
            self._metrics = training_run(run.network.name, lines, _best_epoch(run), {})
        self._start = self._clock()
        self._rate: float | None = None
        self._rate_since = self._start, self._examples
        self._examples_before = self._examples
        self._advance(renews=True, keep=True)
        self.subject = self._subject()

    def on_step(self, run: Run, epoch: int, step: int, loss: float) -> None:
        self._losses.add(epoch + (step + 1) / run.steps_per_epoch, loss)
        now = self._clock()
        if now - self._shown_at < MOMENT_SECONDS or step + 1 == run.steps_per_epoch:
            return
        renews = now - self._looked_at >= max(LEARNED_SECONDS, self._cost / SHARE)
        self._advance(renews, keep=renews)

    def on_validation(self, run: Run, trace: Trace, targets: tuple[Array, ...]) -> None:
        batch = run.objective.right_by_class(trace, targets)
        if batch is not None:
            before = self._counts
            self._counts = batch if before is None else (before[0] + batch[0], before[1] + batch[1])

    def on_epoch(self, run: Run, epoch: Epoch) -> None:
        before = self._metrics.rows if self._metrics is not None else ()
        self._metrics = TrainingRun(run.network.name, (*before, finite(line_of(run, epoch))), _best_epoch(run))
        self._rate, self._rate_since = epoch.images_per_second, (self._clock(), self._examples)
        self._count_classes()
        renews = self._cost_of_all < FREE_SECONDS or self._clock() - self._looked_at >= self._cost / SHARE
        self._advance(renews, keep=True)

    def on_end(self, result: RunResult) -> None:
        if self._looked_for is not self._run.progress:
            self._look()
        if result.stopped:
            self._finish("stopped", "The training was stopped and can be resumed.")
            return
        if self._metrics is not None and result.test is not None:
            numbers = {key: value for key, value in result.test.as_dict().items() if not isinstance(value, list)}
            self._metrics = self._metrics._replace(test=finite(numbers))
        self._finish(
            "finished", f"Test {result.test}, with the weights of epoch {self._run.progress.best_epoch + 1:,}."
        )

    def fail(self) -> None:
        """Shows that the training ended with an error, with what was last seen of it."""
        if self.subject is not None and self._moment.state == "training":
            self._finish("failed", "The training ended with an error, which the terminal shows.")

    @property
    def advanced(self) -> bool:
        """Whether any step was made, so that there is something to replay."""
        return self._examples > self._examples_before

    # What is shown

    @property
    def _examples(self) -> int:
        """The examples that were used so far, over all epochs."""
        return self._run.progress.epoch * len(self._run.train) + self._run.progress.seen

    def _advance(self, renews: bool, keep: bool) -> None:
        """Publishes a moment, with new predictions and kernels if it `renews` them, and may keep it for the replay."""
        if renews:
            self._look()
        self._show()
        if keep:
            self._keep()

    def _look(self) -> None:
        """Predictions and kernels of this moment, and the time that they take."""
        self._looked_at = self._clock()
        run = self._run
        self._looked_for = run.progress
        run.fetch()
        self._learned = Learned(self._samples.predictions(run), kernel_images(run.graph, run.weights))
        self._cost = self._clock() - self._looked_at
        self._cost_of_all += self._cost

    def _show(self, state: State = "training", end: str = "") -> None:
        """Publishes a moment."""
        now, run, used = self._clock(), self._run, self._examples
        since, before = self._rate_since
        if (
            state == "training"
            and now > since
            and used > before
            and (self._rate is None or now - since >= MOMENT_SECONDS)
        ):
            self._rate, self._rate_since = (used - before) / (now - since), (now, used)
        made = used - self._examples_before
        left = (run.recipe.epochs * len(run.train) - used) * (now - self._start) / made if made else None
        self._moment = Moment(
            state,
            run.progress.epoch,
            run.progress.step,
            self._metrics,
            self._losses.points(),
            self._rate,
            resident_memory(),
            now - self._start,
            left,
            self._shown_counts,
            self._learned,
            end,
        )
        self._shown_at = now
        self._publish(self._moment)

    def _keep(self) -> None:
        """Keeps the moment for the replay, where enough were left out since the last."""
        self._left_out += 1
        if self._left_out < self._every:
            return
        self._left_out = 0
        self.kept.append(self._moment)
        if len(self.kept) > MOST:
            self.kept = every_second(self.kept)
            self._every *= 2

    def _finish(self, state: State, end: str) -> None:
        self._show(state, end)
        last = self.kept[-1]
        if (last.epoch, last.step) == (self._moment.epoch, self._moment.step):
            self.kept.pop()
        self.kept.append(self._moment)

    def _count_classes(self) -> None:
        """The accuracy per class of the epoch that has just ended."""
        run, on = self._run, f"{len(self._run.validation):,} validation {self._run.noun}"
        if not self._samples.classes:
            return
        if run.engine.scoring_ranks.size > 1:
            on = f"the first process's share of {on}"
        if not len(run.validation):
            count = max(1, min(COUNTED, len(run.train) // COUNTED_SHARE))
            part = run.train.select(np.arange(count))
            run.objective.evaluate(run.weights, part, lambda trace, targets: self.on_validation(run, trace, targets))
            on = f"the first {count:,} training {run.noun}"
        if self._counts is not None:
            right, total = (tuple(map(int, each)) for each in self._counts)
            self._shown_counts, self._counts = ClassCounts(right, total, on), None

    def _subject(self) -> Subject:
        run, samples = self._run, self._samples
        recipe, parts = run.recipe, "validation" if samples.is_validation else "training"
        note = kernels_note(run.graph, run.weights, len(self._learned.kernels))
        description = (
            f"{run.graph.total_parameters:,} parameters; {len(run.train):,} training {run.noun}, "
            f"{len(run.validation):,} for validation; batches of {recipe.batch:,}."
        )
        return Subject(
            run.network.name,
            description,
            recipe.epochs,
            run.steps_per_epoch,
            run.noun,
            samples.shown,
            f"Predictions for {len(samples)} {parts} {run.noun}",
            samples.classes,
            FALLING,
            (note,) if note else (),
            recipe.stop is not None,
        )


def _best_epoch(run: Run) -> int | None:
    """The best epoch so far, from 1 on."""
    return run.progress.best_epoch + 1 or None
