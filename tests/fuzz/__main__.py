"""Fuzzes one target, guided by coverage where atheris is installed.

    python -m tests.fuzz source --runs 100000             guided by coverage
    python -m tests.fuzz source --runs 100000 --blind     without atheris: random inputs, more of them in the same time
    python -m tests.fuzz source --show 3                  prints inputs

Prints what was run, how the inputs ended, and each finding once: the exception, where it was raised, and the input as Python
writes it, which is a row for tests/fuzz/findings.py. A finding does not end the run; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import shutil
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, suppress
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.targets import MODULES, target_named

REPORT_EVERY = 5000
MOST_FINDINGS = 50


def main() -> int:
    arguments = _arguments()
    os.environ.setdefault("CNNC_THREADS", "1")
    folder = Path(tempfile.mkdtemp(prefix="cnnc-fuzz-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    tempfile.tempdir = os.environ["TMPDIR"] = os.environ["XDG_CACHE_HOME"] = str(folder)
    try:
        with nullcontext() if arguments.blind or arguments.show else _instrumented():
            target = target_named(arguments.target)
            for seed in target.seeds():  # so that all modules that it needs are imported
                with suppress(BaseException):
                    target.hold(target.case(seed))
        if arguments.show:
            for number in range(arguments.show):
                _print(repr(target.case(target.random(Random(f"{arguments.seed} {number}")))))
            return 0
        run = _Run(target, arguments, folder)
        return run.blind() if arguments.blind else run.guided()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=MODULES)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--blind", action="store_true", help="random inputs, not guided by coverage")
    parser.add_argument("--show", type=int, default=0, metavar="N", help="print N inputs instead")
    return parser.parse_args()


@contextmanager
def _instrumented() -> Iterator[None]:
    """Modules of cnnc that the body imports report coverage: which branches were taken. To trace what is compared as well would take twice as long."""
    from atheris.import_hook import HookManager

    with HookManager({"cnnc"}, set(), False, False), Path(os.devnull).open("w") as nowhere, redirect_stderr(nowhere):
        yield


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class _Run:
    """Counts what happens to the inputs of a target."""

    def __init__(self, target: Any, arguments: argparse.Namespace, folder: Path) -> None:
        from tests.fuzz.guard import watch

        self.target = target
        self.runs: int = arguments.runs
        self.seed: int = arguments.seed
        self.folder = folder
        self.done = 0
        self.endings: Counter[str] = Counter()
        self.findings: set[str] = set()
        self.slowest = (0.0, "")
        self.coverage = ""
        self.begin = self.now()
        _print(f"{arguments.target}: {target.help}")
        watch(folder / "stderr", str(folder))

    def now(self) -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def blind(self) -> int:
        for number in range(self.runs):
            self.one(self.target.random(Random(f"{self.seed} {number}")))
        return int(bool(self.findings))

    def guided(self) -> int:
        import atheris

        corpus, found = self.folder / "corpus", self.folder / "found"
        corpus.mkdir()
        for number, seed in enumerate(self.target.seeds()):
            (corpus / str(number)).write_bytes(seed)
        process = os.fork()  # the fuzzer ends its process without a return
        if process:
            _, status = os.waitpid(process, 0)
            return os.waitstatus_to_exitcode(status) or int(found.exists())

        def one(data: bytes) -> None:
            said = re.findall(r"cov: (\d+)", (self.folder / "stderr").read_text(errors="replace"))
            self.coverage = f", {said[-1]} branches covered" if said else self.coverage
            self.one(data)
            if self.findings:
                found.touch()

        self.begin = self.now()
        options = ["-len_control=0", f"-max_len={self.target.longest}", "-rss_limit_mb=4096", "-timeout=60"]
        atheris.Setup([sys.argv[0], *options, f"-runs={self.runs}", f"-seed={self.seed}", str(corpus)], one)
        atheris.Fuzz()
        raise AssertionError

    def one(self, data: bytes) -> None:
        case: Any = data
        begin = time.process_time()
        try:
            case = self.target.case(data)
            self.endings[self.target.hold(case)] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.found(error, case)
        taken = time.process_time() - begin
        if taken > self.slowest[0]:
            self.slowest = (taken, f"{case!r:.1000}")
        self.done += 1
        if self.done % REPORT_EVERY == 0 or self.done == self.runs:
            self.report()
            gc.collect()

    def found(self, error: BaseException, case: Any) -> None:
        self.endings["finding"] += 1
        frames = list(traceback.extract_tb(error.__traceback__))
        frames = [f for f in frames if "/cnnc/" in f.filename] or frames
        places = [f"{Path(f.filename).name}:{f.lineno}" for f in frames]
        key = f"{type(error).__name__} at {places[-1]}"
        if key not in self.findings and len(self.findings) < MOST_FINDINGS:
            self.findings.add(key)
            _print(f"FINDING {key}: {error!s:.300}\n    {' '.join(places[-4:])}\n    {case!r:.4000}")

    def report(self) -> None:
        wall, cpu = (now - begin for now, begin in zip(self.now(), self.begin, strict=True))
        endings = ", ".join(f"{name} {count}" for name, count in self.endings.most_common(14))
        _print(
            f"{self.done} runs, {len(self.findings)} findings, {self.endings['valid'] / self.done:.1%} valid{self.coverage}, {wall:.0f} s,"
            f" {cpu:.0f} s of CPU, {self.done / cpu:.0f} per second of CPU; slowest {self.slowest[0]:.2f} s:"
            f" {self.slowest[1]:.300}\n  {endings}"
        )


if __name__ == "__main__":
    sys.exit(main())
