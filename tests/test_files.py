"""A file is written completely or not at all, and a folder or device is never replaced by a file."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from cnnc.core.files import make_folder, read_bytes, replacing, sweep, write_atomic
from cnnc.diagnostics import CnncError, Exit


def code(error: CnncError) -> str:
    assert error.status is Exit.RESOURCES
    (diagnostic,) = error.diagnostics
    return diagnostic.code


def test_written_whole(tmp_path: Path) -> None:
    path = tmp_path / "x"
    for data in (b"first", b"", b"second" * 1000):
        write_atomic(path, data)
        assert read_bytes(path) == data
    assert list(tmp_path.iterdir()) == [path]


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        write_atomic(tmp_path / "x", b"")
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
    (tmp_path / "x").chmod(0o600)
    write_atomic(tmp_path / "x", b"new")
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o600


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_nothing_is_left_of_a_write_that_failed(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise error

    with pytest.raises(CnncError if isinstance(error, OSError) else type(error)):
        write()
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
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
    """As a device would: a root user's `-o /dev/null` must not put a file in its place."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append(path.read_bytes()))
    reader.start()
    write_atomic(path, b"data")
    reader.join(10)
    assert got == [b"data"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_reading(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    assert read_bytes(tmp_path / "x", 5) == b"12345"
    with pytest.raises(CnncError) as caught:
        read_bytes(tmp_path / "x", 4)
    assert code(caught.value) == "E903"
    for path in (tmp_path, tmp_path / "none", tmp_path / "x" / "y"):
        with pytest.raises(CnncError) as caught:
            read_bytes(path)
        assert code(caught.value) == "E901"


def test_sweep_takes_only_what_is_left_of_that_file(tmp_path: Path) -> None:
    for name in (".x.abc.part", ".y.abc.part", "x", "x.part", ".x.abc"):
        (tmp_path / name).touch()
    sweep(tmp_path / "x")
    assert sorted(p.name for p in tmp_path.iterdir()) == [".x.abc", ".y.abc.part", "x", "x.part"]
    sweep(tmp_path / "nowhere" / "x")
