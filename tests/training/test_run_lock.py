"""The lock of a run folder, and folders of new runs, within one process; tests/cli/test_run_folders.py has processes."""

from __future__ import annotations

import errno
import json
import os
import platform
import re
import stat
import sys
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest

from cnnc.core import file_lock
from cnnc.diagnostics import CnncError
from cnnc.training import run_folder
from cnnc.training.checkpoint import RUN_FILES
from cnnc.training.loop import start
from cnnc.training.run_folder import new_folder
from cnnc.training.run_lock import LOCK_FILE, locked, remove_abandoned, require_not_taken
from tests.training.conftest import Trainer, tiny


def open_files() -> list[str]:
    """The open files of this process, where the system lists them."""
    return os.listdir("/proc/self/fd") if Path("/proc/self/fd").exists() else []


ELSEWHERE = json.dumps({"process": 5, "host": "node7", "since": "2026-01-02 03:04:05"})


def test_a_second_holder_is_told_who_holds_it_and_how_to_stop_it(tmp_path: Path) -> None:
    with locked(tmp_path, print), pytest.raises(CnncError) as error, locked(tmp_path, print):
        pass
    (diagnostic,) = error.value.diagnostics
    assert (diagnostic.code, diagnostic.status) == ("E907", 6)
    assert f"process {os.getpid()} on " in diagnostic.message
    assert re.search(r" since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d$", diagnostic.message)
    assert f"kill {os.getpid()}" in diagnostic.help or sys.platform == "win32"
    with locked(tmp_path, print):  # free again
        assert (tmp_path / LOCK_FILE).exists()
    assert not (tmp_path / LOCK_FILE).exists()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files of this process in /proc")
def test_a_lock_leaves_no_file_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    with locked(tmp_path, print), pytest.raises(CnncError), locked(tmp_path, print):
        pass
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"process": "x"}', "\x00" * 99, '{"process": 1}', "[" * 5000])
def test_a_lock_file_that_nobody_holds_is_taken_over(tmp_path: Path, text: str) -> None:
    (tmp_path / LOCK_FILE).write_text(text)
    lines: list[str] = []
    with locked(tmp_path, lines.append):
        pass
    assert lines == []


def test_what_a_longer_file_said_does_not_stay_in_it(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text(ELSEWHERE + " " * 999 + "{")
    with locked(tmp_path, lambda line: None):
        assert json.loads((tmp_path / LOCK_FILE).read_text())["process"] == os.getpid()
        with pytest.raises(CnncError, match=f"process {os.getpid()} on "), locked(tmp_path, print):
            pass


def test_a_holder_that_has_not_written_its_name_yet_holds_the_lock(tmp_path: Path) -> None:
    with locked(tmp_path, print):
        (tmp_path / LOCK_FILE).write_text("")
        with pytest.raises(CnncError, match="another process trains the run in ") as error, locked(tmp_path, print):
            pass
        assert (error.value.diagnostics[0].code, error.value.diagnostics[0].help) == ("E907", "wait until it ends")


def test_a_lock_file_that_cannot_be_written_is_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int, size: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    before = open_files()
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", full)
        with pytest.raises(CnncError, match="no space left on device") as error, locked(tmp_path, print):
            pass
    assert error.value.diagnostics[0].code == "E902"
    assert open_files() == before
    with locked(tmp_path, print):
        pass


def test_the_process_number_in_a_file_that_nobody_holds_does_not_matter(tmp_path: Path) -> None:
    """After a restart of the machine another process may have it: here, this one and the first of the system."""
    for process in (os.getpid(), 1):
        with locked(tmp_path, print):
            text = (tmp_path / LOCK_FILE).read_text()
        left_behind = json.dumps({**json.loads(text), "process": process})
        (tmp_path / LOCK_FILE).write_text(left_behind)
    with locked(tmp_path, print):
        pass


def test_a_lock_left_on_another_machine_is_taken_over_and_reported(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).write_text(ELSEWHERE.replace("node7", "no\\u001b[31mde"))
    lines: list[str] = []
    with locked(tmp_path, lines.append):
        pass
    (line,) = lines
    assert line.startswith("note: process 5 on no[31mde began to train ")
    assert "make sure that it no longer runs" in line


@pytest.mark.skipif(sys.platform == "win32", reason="needs flock")
def test_a_file_system_without_locks_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def flock(file: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    lines: list[str] = []
    with locked(tmp_path, lines.append):
        pass
    assert [line.partition(";")[0] for line in lines] == [f"note: the file system of {tmp_path} has no locks"]


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="needs O_NOFOLLOW")
def test_a_lock_file_that_is_a_link_harms_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "mine")
    with pytest.raises(CnncError, match="cannot write"), locked(tmp_path, print):
        pass
    assert (tmp_path / "mine").read_text() == "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="another process deletes the file while it is open")
def test_a_file_that_its_holder_deletes_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We open the file, its holder ends and deletes it, a third process locks a new one: we must not get the old one."""
    real, calls = file_lock._lock, []

    def lock(file: int) -> bool:
        calls.append(file)
        if len(calls) == 1:
            (tmp_path / LOCK_FILE).unlink()
        return real(file)

    monkeypatch.setattr(file_lock, "_lock", lock)
    before = open_files()
    with locked(tmp_path, print):
        assert len(calls) == 2
        with pytest.raises(CnncError, match="is in use"), locked(tmp_path, print):
            pass
    assert open_files() == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs symbolic links and the permissions of POSIX")
def test_a_lock_file_is_that_of_all_who_may_write_and_what_takes_its_position_stays(tmp_path: Path) -> None:
    mask = os.umask(0)
    try:
        with locked(tmp_path, print):
            assert stat.S_IMODE((tmp_path / LOCK_FILE).stat().st_mode) == 0o666
            (tmp_path / LOCK_FILE).unlink()
            (tmp_path / LOCK_FILE).symlink_to(LOCK_FILE)  # which nobody can open
    finally:
        os.umask(mask)
    assert (tmp_path / LOCK_FILE).is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="deletes the file after it is closed")
def test_the_lock_of_a_process_that_waited_for_this_one_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    close = os.close

    def closed(file: int) -> None:
        close(file)
        (tmp_path / LOCK_FILE).write_text(ELSEWHERE)

    file, is_locked = file_lock.acquire(tmp_path / LOCK_FILE)
    assert is_locked
    with monkeypatch.context() as patch:
        patch.setattr(os, "close", closed)
        file_lock.release(file, tmp_path / LOCK_FILE)
    assert (tmp_path / LOCK_FILE).read_text() == ELSEWHERE


def test_a_new_folder_appears_complete(trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever write fails, there is no folder; once there is one, a run can be resumed from it."""
    run = start(tiny(), trainer.data, tmp_path / "runs" / "net")
    for name in ("save", "save_network"):

        def fail(*words: object) -> None:
            raise CnncError.of("E902", f"cannot write {run.folder}/x: the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(run_folder, name, fail)
            run.folder = tmp_path / "runs" / "net"
            with pytest.raises(CnncError, match=r"cannot write .*runs/net/x: the disk"), new_folder(run, print):
                pass
        assert list((tmp_path / "runs").iterdir()) == []
    run.folder = tmp_path / "runs" / "net"
    with new_folder(run, print):
        assert {path.name for path in run.folder.iterdir()} == {"network.cnn", "last.safetensors", LOCK_FILE}
    assert {path.name for path in run.folder.iterdir()} == {"network.cnn", "last.safetensors"}
    assert sys.platform == "win32" or run.folder.stat().st_mode == (tmp_path / "runs").stat().st_mode


def test_numbered_folders_differ_even_if_the_name_is_taken_in_the_last_moment(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = run_folder.free_folder
    taken: list[Path] = []

    def free(folder: Path) -> Path:
        found = real(folder)
        if len(taken) < 2:
            found.mkdir()
            (found / "network.cnn").write_text("of another process")
            taken.append(found)
        return found

    monkeypatch.setattr(run_folder, "free_folder", free)
    run = start(tiny(), trainer.data, tmp_path / "net")
    with new_folder(run, print, numbered=True):
        assert run.folder == tmp_path / "net-3"
    assert [(path / "network.cnn").read_text() for path in taken] == ["of another process"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net", "net-2", "net-3"]


def test_files_of_others_stay_in_a_folder_that_exists(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    run = start(tiny(), trainer.data, tmp_path)
    with new_folder(run, print):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.safetensors", "network.cnn", "notes.txt"]
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CnncError, match="already contains"), new_folder(run, print):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert LOCK_FILE not in RUN_FILES


def test_a_run_whose_folder_was_replaced_does_not_write_into_that_of_another(trainer: Trainer, tmp_path: Path) -> None:
    """`mv runs/a runs/old; cnnc train --run runs/a`, while the first still trains."""
    run = start(tiny(), trainer.data, tmp_path / "a")
    with new_folder(run, print):
        before = (tmp_path / "a" / "last.safetensors").read_bytes()
        (tmp_path / "a").rename(tmp_path / "old")
        (tmp_path / "a").mkdir()
        require_not_taken(tmp_path / "a")  # nobody trains there yet
        (tmp_path / "a" / LOCK_FILE).write_text(ELSEWHERE)
        for write in (run_folder.save_network, lambda run: run_folder.save(run, "last")):
            with pytest.raises(
                CnncError, match="it was moved or deleted, and process 5 on node7 trains there"
            ) as error:
                write(run)
            assert (error.value.diagnostics[0].code, error.value.status) == ("E902", 6)
    assert os.listdir(tmp_path / "a") == [LOCK_FILE], "the lock of the other run stays too"
    assert (tmp_path / "old" / "last.safetensors").read_bytes() == before


def test_what_a_killed_process_began_is_removed_and_what_another_begins_is_not(
    trainer: Trainer, tmp_path: Path
) -> None:
    names = ("killed", "killed_at_once", "killed_while_locking", "begun", "elsewhere", "of_others", "onnx.of_an_export")
    killed, _, locking, begun, elsewhere, others, _ = folders = [tmp_path / f".a.{name}.part" for name in names]
    for folder in folders:
        folder.mkdir()
    (killed / LOCK_FILE).write_text(json.dumps({"process": 5, "host": platform.node(), "since": ""}))
    (killed / "last.safetensors").write_bytes(b"half")
    (locking / LOCK_FILE).write_text("")
    (elsewhere / LOCK_FILE).write_text(ELSEWHERE)
    (others / "notes.txt").write_text("mine")
    with locked(begun, print), new_folder(start(tiny(), trainer.data, tmp_path / "a"), print):
        kept = [".a.begun.part", ".a.elsewhere.part", ".a.of_others.part", ".a.onnx.of_an_export.part", "a"]
        assert sorted(os.listdir(tmp_path)) == kept


@pytest.mark.parametrize("moment", ["made", "opened"])
def test_a_folder_that_another_run_takes_for_abandoned_is_made_again(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """Another process removes what it finds empty, or with a lock that nobody holds, before this one has locked it."""
    taken: list[Path] = []
    make, lock = tempfile.mkdtemp, file_lock._lock

    def made(**words: Any) -> str:
        folder = str(make(**words))
        if not taken:
            taken.append(Path(folder))
            if moment == "made":
                remove_abandoned(Path(folder))
        return folder

    def opened(file: int) -> bool:
        if len(taken) == 1 and moment == "opened":
            taken.append(taken[0])
            remove_abandoned(taken[0])
        return lock(file)

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    monkeypatch.setattr(file_lock, "_lock", opened)
    run = start(tiny(), trainer.data, tmp_path / "a")
    with new_folder(run, print):
        assert not taken[0].exists()
        assert os.listdir(tmp_path) == ["a"]
    assert {path.name for path in run.folder.iterdir()} == {"network.cnn", "last.safetensors"}


def test_a_temporary_folder_whose_lock_another_process_holds_is_left_to_it(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other is about to remove it, and has locked it first."""
    held: list[Path] = []
    make = tempfile.mkdtemp
    with ExitStack() as others:

        def made(**words: Any) -> str:
            folder = str(make(**words))
            if not held:
                held.append(Path(folder))
                others.enter_context(locked(held[0], print))
            return folder

        monkeypatch.setattr(tempfile, "mkdtemp", made)
        with new_folder(start(tiny(), trainer.data, tmp_path / "a"), print):
            assert sorted(os.listdir(tmp_path)) == sorted([held[0].name, "a"])
            assert os.listdir(held[0]) == [LOCK_FILE]


def test_a_temporary_folder_that_cannot_be_locked_is_removed(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[Path] = []

    def lock(folder: Path, report: run_folder.Report) -> AbstractContextManager[None]:
        calls.append(folder)
        if len(calls) == 1:
            raise CnncError.of("E902", f"cannot write {folder}: no space left on device")
        return locked(folder, report)

    monkeypatch.setattr(run_folder, "locked", lock)
    with (
        pytest.raises(CnncError, match="no space left on device"),
        new_folder(start(tiny(), trainer.data, tmp_path / "a"), print),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_a_run_folder_is_named(trainer: Trainer, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("mine")
    run = start(tiny(), trainer.data, tmp_path / "a")
    with pytest.raises(CnncError, match=f"cannot write {tmp_path / 'a'}: file exists") as error, new_folder(run, print):
        pass
    assert error.value.diagnostics[0].code == "E902"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "mine"}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs a system that names open files")
def test_the_name_of_a_new_folder_is_on_the_disk_before_the_training(
    trainer: Trainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    sync, rename = os.fsync, os.rename

    def synced(file: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{file}")).name)
        sync(file)

    def renamed(source: Path, target: Path) -> None:
        calls.append(f"rename {target.name}")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "rename", renamed)
    with new_folder(start(tiny(), trainer.data, tmp_path / "a"), print):
        assert calls[-2:] == ["rename a", tmp_path.name]


@pytest.mark.parametrize("exists", [False, True])
def test_a_run_that_continues_another_one_begins_with_its_best_weights_and_metrics(
    trainer: Trainer, tmp_path: Path, exists: bool
) -> None:
    (tmp_path / "from").mkdir()
    for name in ("metrics.jsonl", "best.safetensors", "test.json"):
        (tmp_path / "from" / name).write_text(name)
    if exists:
        (tmp_path / "a").mkdir()
    run = start(tiny(), trainer.data, tmp_path / "a")
    with new_folder(run, print, origin=tmp_path / "from"):
        copied = {path.name: path.read_text() for path in run.folder.iterdir() if path.suffix in (".jsonl", ".json")}
        assert copied == {"metrics.jsonl": "metrics.jsonl"}
        assert (run.folder / "best.safetensors").read_text() == "best.safetensors"
    with new_folder(start(tiny(), trainer.data, tmp_path / "b"), print, origin=tmp_path / "a" / "none"):
        assert not (tmp_path / "b" / "best.safetensors").exists()
