"""Files are written completely or not at all; devices and pipes are never replaced by files."""

from __future__ import annotations

import ast
import contextlib
import errno
import os
import socket
import stat
from pathlib import Path

import pytest

from cnnc.core import files
from cnnc.core.files import (
    atomic_replacement,
    atomic_replacements,
    decode_utf8,
    first_line,
    make_folder,
    open_file,
    open_unbuffered,
    read_bytes,
    read_start,
    remove_temporary_files,
    require_memory,
    require_readable,
    require_writable,
    safe_name,
    with_suffix,
    write_atomic,
)
from cnnc.diagnostics import CnncError, Exit
from tests.paths import PACKAGE
from tests.syntax_trees import nodes_in


def code(error: CnncError) -> str:
    assert error.status is Exit.RESOURCES
    (diagnostic,) = error.diagnostics
    return diagnostic.code


def test_writing_and_reading_back(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"first", b"", b"second" * 1000):
        write_atomic(path, data)
        assert read_bytes(path, 9999) == data
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    for new, expected in ((0, 0o666), (0o027, 0o640)):
        (tmp_path / "x").unlink(missing_ok=True)
        mask = os.umask(new)
        try:
            write_atomic(tmp_path / "x", b"")
        finally:
            os.umask(mask)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == expected
    (tmp_path / "x").chmod(0o600)
    write_atomic(tmp_path / "x", b"new")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_asking_for_the_umask_opens_no_file_of_another_thread_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system tells the mask only where another one is set, which holds for all threads until it is set back."""
    real, masks = os.umask, list[int]()

    def umask(mask: int) -> int:
        masks.append(mask)
        return real(mask)

    before = real(0o022)
    try:
        monkeypatch.setattr(os, "umask", umask)
        assert files.umask() == 0o022
        assert real(0o022) == 0o022, "it is set back"
    finally:
        real(before)
    assert all(mask & 0o022 == 0o022 for mask in masks)


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_a_failed_write_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def write() -> None:
        with atomic_replacement(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(CnncError if isinstance(error, OSError) else type(error)):
        write()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_paths_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "x", tmp_path / "folder", tmp_path / "nowhere" / "x", tmp_path / ("n" * 300)):
        with pytest.raises(CnncError) as caught:
            write_atomic(path, b"data")
        assert code(caught.value) == "E902"
    with pytest.raises(CnncError) as caught:
        make_folder(tmp_path / "file")
    assert code(caught.value) == "E902"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
    assert (tmp_path / "file").read_bytes() == b"mine"


def test_content_is_on_the_disk_before_the_name_and_the_name_before_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut at any moment there is the old file or the whole new one."""
    calls: list[str] = []
    real_sync, real_replace = os.fsync, os.replace

    def sync(file: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(file).st_mode) else "content")
        real_sync(file)

    def replace(source: Path, target: Path) -> None:
        calls.append(f"name {target.name}")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    write_atomic(tmp_path / "x", b"data")
    assert calls == ["content", "name x", "folder"] or os.name == "nt"
    calls.clear()
    with atomic_replacements(tmp_path / "x", tmp_path / "y") as temporaries:
        for path in temporaries:
            path.write_bytes(b"new")
    assert calls == ["content", "content", "name x", "folder", "name y", "folder"] or os.name == "nt"
    calls.clear()
    make_folder(tmp_path / "a" / "b")
    assert calls == ["folder", "folder"] or os.name == "nt"


def test_of_several_files_none_is_replaced_where_one_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"before")
    synced: list[int] = []

    def sync(file: int) -> None:
        synced.append(file)
        if len(synced) == 2:
            raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", sync)

    def write() -> None:
        with atomic_replacements(tmp_path / "x", tmp_path / "y") as temporaries:
            for path in temporaries:
                path.write_bytes(b"after")

    with pytest.raises(CnncError, match=r"cannot write .*y: input/output error") as caught:
        write()
    assert code(caught.value) == "E902"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"x": b"before"}


@pytest.mark.parametrize(("number", "is_told"), [(errno.EINVAL, False), (errno.EIO, True)])
def test_a_folder_that_cannot_be_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, is_told: bool
) -> None:
    """Some network file systems cannot at all; a disk that fails is an error."""

    def sync(file: int) -> None:
        if stat.S_ISDIR(os.fstat(file).st_mode):
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(CnncError) if is_told else contextlib.nullcontext():
        write_atomic(tmp_path / "x", b"data")
    assert files.read_bytes(tmp_path / "x", 9) == b"data"


def test_a_long_name_is_a_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250)
    write_atomic(path, b"data")
    assert path.read_bytes() == b"data"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_bytes(b"before")
    (tmp_path / "link").symlink_to(Path("there") / "x")
    write_atomic(tmp_path / "link", b"after")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "x").read_bytes() == b"after"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    """Like a device: `-o /dev/null` of a root user must not replace it by a file."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(path, b"data")
    assert os.read(reader, 9) == b"data"
    assert os.read(reader, 9) == b"", "nobody holds the pipe open"
    os.close(reader)
    assert stat.S_ISFIFO(path.stat().st_mode)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_what_is_not_a_regular_file_is_neither_read_nor_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.chdir(tmp_path):
        listening.bind("socket")
    places = {"pipe": tmp_path / "pipe", "device": Path(os.devnull), "socket": tmp_path / "socket"}
    for kind, path in places.items():
        for read in (lambda path: read_bytes(path, 9), read_start, require_readable):
            with pytest.raises(CnncError, match=f"it is a {kind}, not a regular file") as caught:
                read(path)
            assert code(caught.value) == "E901"
    with pytest.raises(CnncError, match="no program reads the pipe") as caught:
        write_atomic(tmp_path / "pipe", b"data")
    assert code(caught.value) == "E902"


def test_a_pipe_of_the_shell_is_read_within_the_limit() -> None:
    for limit, expected in ((5, b"12345"), (4, None)):
        reading, writing = os.pipe()
        os.write(writing, b"12345")
        os.close(writing)
        path = Path(f"/dev/fd/{reading}")
        for opened in (open_file, open_unbuffered):
            with pytest.raises(OSError, match="it is a pipe"):
                opened(path)  # only where the caller says so
        if expected is not None:
            assert read_bytes(path, limit) == expected
        else:
            with pytest.raises(CnncError, match="larger than 4 bytes"):
                read_bytes(path, limit)
        os.close(reading)


def test_a_large_file_is_refused_before_memory_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(100 << 30)
    with pytest.raises(CnncError) as caught:
        read_bytes(tmp_path / "sparse", 1 << 30)
    assert code(caught.value) == "E903"
    monkeypatch.setattr("cnnc.core.process_memory.free_memory", lambda: 3 << 30)
    with pytest.raises(CnncError, match=r"needs 100\.0 GiB of memory; 3\.0 GiB are free") as caught:
        read_bytes(tmp_path / "sparse", 1 << 40)
    assert code(caught.value) == "E904"


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(CnncError) as caught:
        read_bytes(tmp_path / "x", 4)
    assert code(caught.value) == "E903"
    for path in (tmp_path, tmp_path / "none", tmp_path / "x" / "y"):
        with pytest.raises(CnncError) as caught:
            read_bytes(path, 9)
        assert code(caught.value) == "E901"


def test_remove_temporary_files_deletes_only_those_of_that_file(tmp_path: Path) -> None:
    for name in (".x.abc.part", ".y.abc.part", "x", "x.part", ".x.abc"):
        (tmp_path / name).touch()
    remove_temporary_files(tmp_path / "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".x.abc", ".y.abc.part", "x", "x.part"]
    remove_temporary_files(tmp_path / "nowhere" / "x")


def test_a_disk_is_never_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-o /dev/sda` of a root user."""
    (tmp_path / "sda").write_bytes(b"all that I have")
    monkeypatch.setattr(files, "_mode", lambda path: stat.S_IFBLK | 0o660)
    with pytest.raises(CnncError, match="it is a disk") as caught:
        write_atomic(tmp_path / "sda", b"a model")
    assert code(caught.value) == "E902"
    assert (tmp_path / "sda").read_bytes() == b"all that I have"


def test_a_place_that_cannot_hold_a_file_is_named_before_the_work(tmp_path: Path) -> None:
    require_writable(tmp_path / "x")
    for path, problem in ((tmp_path, "it is a folder"), (tmp_path / "no" / "x", f"there is no folder {tmp_path}/no")):
        with pytest.raises(CnncError, match=f"cannot write {path}: {problem}") as caught:
            require_writable(path, "name another")
        assert code(caught.value) == "E902"
        assert caught.value.diagnostics[0].help == "name another"


def test_memory_is_compared_from_64_mib_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cnnc.core.process_memory.free_memory", lambda: 1)
    require_memory((1 << 26) - 1, "x")
    with pytest.raises(CnncError, match=r"x needs 0\.1 GiB of memory; 0\.0 GiB are free"):
        require_memory(1 << 26, "x")
    monkeypatch.setattr("cnnc.core.process_memory.free_memory", lambda: 1 << 30)
    require_memory(1 << 30, "x")
    with pytest.raises(CnncError):
        require_memory((1 << 30) + 1, "x")
    monkeypatch.setattr("cnnc.core.process_memory.free_memory", lambda: 0)  # unknown
    require_memory(1 << 50, "x")


def test_a_limit_holds_when_a_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    with open_file(tmp_path / "x", 5) as file:
        assert os.get_blocking(file.fileno())
        assert file.read() == b"12345"
    with pytest.raises(OSError, match="it is larger than 4 bytes"):
        open_file(tmp_path / "x", 4)
    with pytest.raises(OSError, match="its name contains a zero byte"):
        open_file(tmp_path / "x\0y")
    assert [len(read_start(tmp_path / "x", size)) for size in (0, 3, 9)] == [0, 3, 5]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files of this process in /proc")
def test_a_file_that_is_refused_is_closed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    before = os.listdir("/proc/self/fd")
    for path in (tmp_path, tmp_path / "x", Path(os.devnull)):
        with pytest.raises(OSError, match=r"directory|larger|device"):
            open_file(path, 4)
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the open files of this process in /proc")
def test_a_file_that_is_written_leaves_no_file_open(tmp_path: Path) -> None:
    before = os.listdir("/proc/self/fd")
    make_folder(tmp_path / "a" / "b")
    write_atomic(tmp_path / "a" / "b" / "x", b"data")
    assert os.listdir("/proc/self/fd") == before


def test_a_file_that_is_not_utf_8_is_named_with_the_line() -> None:
    assert decode_utf8("\ufeffα\n".encode(), "x.cnn") == "α\n"
    for data, place in (
        (b"\xff", "x.cnn:1: the file is not UTF-8 (byte 0)"),
        (b"a\nb\n\xff\n", "x.cnn:3: the file is not UTF-8 (byte 4)"),
    ):
        with pytest.raises(CnncError) as caught:
            decode_utf8(data, "x.cnn")
        assert caught.value.diagnostics[0].message == place


def test_names_for_files_and_messages() -> None:
    assert safe_name("../a b/\x1bé+.txt") == "___a_b__é+.txt"
    assert safe_name("") == "_"
    assert len(safe_name("n" * 300)) == 100
    assert [str(with_suffix(Path(path), ".svg")) for path in ("a/b.cnn", ".", "/")] == [
        "a/b.svg",
        "NAME.svg",
        "/NAME.svg",
    ]
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("n" * 300)) == "n" * 200
    assert first_line(ValueError()) == "ValueError"


WRITES_ITSELF = {
    "cli/demo_training": "into a temporary folder",
    "cli/lsp": "to standard output",
    "core/files": "what the others use",
    "core/process_memory": "to the system",
    "data/decoded_cache": "a file that it gives its name with rename_synced",
    "data/download": "a file that it gives its name with rename_synced",
    "onnx/emit/staging": "into a temporary folder",
    "onnx/importer/importer": "a temporary file of atomic_replacements",
    "onnx/quantize/int8": "into a temporary folder",
    "onnx/run/predictions": "a temporary file of atomic_replacement",
    "onnx/train_step/export": "temporary files of atomic_replacements",
}
"""The modules that write a file by themselves, and where."""


def test_no_other_module_writes_a_file_by_itself() -> None:
    """Use `write_atomic` or `atomic_replacement`: a reader, a full disk or a power cut must never meet half of a file."""
    nodes = nodes_in(PACKAGE, r"open\(|write_(text|bytes)|copyfile|copy2|savetxt")
    writes = {path for path, node in nodes if isinstance(node, ast.Call) and _writes(node)}
    assert {path.relative_to(PACKAGE).with_suffix("").as_posix() for path in writes} == WRITES_ITSELF.keys()


def _writes(call: ast.Call) -> bool:
    """Whether a call opens a file for writing, or writes one: `path.open("wb")`, `os.fdopen(file, "wb")`, `path.write_text`."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    modes = [a.value for a in call.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    opens = name in ("open", "fdopen") and any(
        mode[:1] in ("w", "a", "x") or "+" in mode for mode in modes if len(mode) < 4
    )
    return opens or name in ("write_text", "write_bytes", "savetxt", "copyfile", "copy2")
