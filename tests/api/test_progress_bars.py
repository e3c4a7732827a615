"""The bars of notebooks: what they show, how often, and that nothing of them remains."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import cnnc
from cnnc.api import progress_bars
from cnnc.api.progress import TrainingProgress

NETWORK = "input 1x8x8; fc 10; train { data digits; batch 64; epochs 2 }"


class Display:
    """IPython's `display`, and the handle that it returns."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, value: Any, *, display_id: bool) -> Display:
        assert display_id
        self.update(value)
        return self

    def update(self, value: Any) -> None:
        self.shown.append(value._repr_html_())


class MarimoProgress:
    """marimo's `status.progress_bar`."""

    def __init__(self, *, total: int, title: str, remove_on_exit: bool) -> None:
        self.total, self.done, self.texts, self.is_open = total, 0, [title], False
        assert remove_on_exit

    def __enter__(self) -> MarimoProgress:
        self.is_open = True
        return self

    def __exit__(self, *error: object) -> None:
        self.is_open = False

    def update(self, *, increment: int, subtitle: str) -> None:
        self.done += increment
        self.texts.append(subtitle)


def train_with(bar_of: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Trains with this bar, and returns the lines of the epochs."""
    monkeypatch.setattr("cnnc.api.progress.bar_of", bar_of)
    monkeypatch.setattr(progress_bars, "_SECONDS", 0.0)
    lines: list[str] = []
    progress = TrainingProgress(lines.append, lambda warnings: None)
    cnnc.train(cnnc.check(NETWORK), folder / "run", callback=progress, progress=False)
    progress.close()
    return lines


def test_jupyter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    lines = train_with(lambda run: progress_bars.JupyterBar(run, display), tmp_path, monkeypatch)
    assert [line[:9] for line in lines[1:]] == ["epoch 1/2", "epoch 2/2"], "the lines of the epochs stay"
    assert '<progress value="1" max="42"></progress> epoch 1/2  loss ' in display.shown[1]
    assert 'value="42"' in display.shown[-2]
    assert display.shown[-1] == "<div></div>", "nothing remains"


def test_marimo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[MarimoProgress] = []

    def progress_bar(**words: Any) -> MarimoProgress:
        made.append(MarimoProgress(**words))
        return made[0]

    train_with(lambda run: progress_bars.MarimoBar(run, progress_bar), tmp_path, monkeypatch)
    (bar,) = made
    assert (bar.done, bar.total, bar.is_open) == (42, 42, False)
    assert bar.texts[-1].startswith("epoch 2/2  loss ")


def test_a_notebook_is_not_flooded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    display = Display()
    run = cnnc.train(cnnc.check(NETWORK), tmp_path / "run", progress=False).run
    monkeypatch.setattr("cnnc.api.progress_bars.time.monotonic", lambda: 100.0)
    bar = progress_bars.JupyterBar(run, display)
    for step in range(50):
        bar.update(1, 0.5, 100.0 * step)
    assert len(display.shown) == 2, "the empty bar and the first step, as no time passes"
