"""Finding the files of a data set, and asking for those that are missing; tests/data/test_download.py downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from cnnc.data import Report, fetch
from cnnc.data.download import DownloadError, RemoteFile
from cnnc.diagnostics import CnncError, Exit

CONTENT = {"a.gz": b"the first", "b.gz": b"the second file"}
FILES = fetch.DataFiles(
    "toy",
    tuple(RemoteFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()),
    ("https://one.example/toy/", "https://two.example/toy/"),
)


def find_or_fetch(folder: Path | None = None) -> tuple[Path, ...]:
    return fetch.find_or_fetch(FILES, folder, lambda line: None)


def refused(folder: Path | None = None) -> CnncError:
    with pytest.raises(CnncError) as caught:
        find_or_fetch(folder)
    assert [d.code for d in caught.value.diagnostics] == ["E603"]
    assert caught.value.status is Exit.DATA
    return caught.value


def fill(folder: Path, *names: str) -> tuple[Path, ...]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = tuple(folder / name for name in names or CONTENT)
    for path in paths:
        path.write_bytes(b"whatever the user has")
    return paths


@pytest.fixture
def downloads(cache: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces the download of a file; the names of those that are downloaded."""
    asked: list[str] = []

    def download(file: RemoteFile, mirrors: Sequence[str], folder: Path, report: Report) -> Path:
        assert tuple(mirrors) == FILES.mirrors
        asked.append(file.name)
        (folder / file.name).write_bytes(CONTENT[file.name])
        return folder / file.name

    monkeypatch.setattr(fetch, "download", download)
    return asked


@pytest.fixture
def no_mirror(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mirror can be reached."""

    def download(*args: object) -> Path:
        raise DownloadError("one.example: no answer in time; two.example: HTTP status 404")

    monkeypatch.setattr(fetch, "download", download)


BY_HAND = (
    f"download a.gz (9 bytes, SHA-256 {FILES.files[0].sha256}); b.gz (15 bytes, SHA-256 {FILES.files[1].sha256}) "
    "from https://one.example/toy/ or https://two.example/toy/ into {cache}, or into another folder with all files of toy "
    "and name it with --data FOLDER or the environment variable CNNC_DATA"
)


# ---- finding


@pytest.mark.parametrize("below", [".", "toy"])
def test_a_given_folder_and_its_subfolder(cache: Path, tmp_path: Path, below: str) -> None:
    paths = fill(tmp_path / "mine" / below)
    assert find_or_fetch(tmp_path / "mine") == paths


def test_decompressed_files_are_found(cache: Path, tmp_path: Path) -> None:
    paths = fill(tmp_path, "a", "b.gz")
    assert find_or_fetch(tmp_path) == paths


def test_a_given_folder_without_the_files_is_an_error(cache: Path, tmp_path: Path) -> None:
    fill(cache / "toy")  # would do, but is not what the user named
    fill(tmp_path / "mine", "a.gz")
    error = refused(tmp_path / "mine")
    text = error.diagnostics[0].message
    assert f"neither {tmp_path / 'mine'} nor {tmp_path / 'mine' / 'toy'}" in text
    assert text.endswith("b.gz missing")
    assert "put a.gz, b.gz (compressed or not)" in error.diagnostics[0].help


def test_files_in_two_folders_are_an_error(cache: Path, tmp_path: Path) -> None:
    fill(tmp_path, "a.gz")
    fill(tmp_path / "toy", "b.gz")
    assert "must be in one folder" in refused(tmp_path).diagnostics[0].message


def test_a_given_path_that_is_not_a_folder(cache: Path, tmp_path: Path) -> None:
    assert f"there is no folder {tmp_path / 'absent'}" in refused(tmp_path / "absent").diagnostics[0].message
    (path,) = fill(tmp_path, "file")
    assert f"{path} is not a folder" in refused(path).diagnostics[0].message


def test_a_folder_with_the_name_of_a_file_is_not_a_file(cache: Path, tmp_path: Path) -> None:
    fill(tmp_path, "a.gz")
    (tmp_path / "b.gz").mkdir()
    assert "b.gz missing" in refused(tmp_path).diagnostics[0].message


@pytest.mark.parametrize("below", [".", "toy"])
def test_the_environment_variable_has_priority_over_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, below: str
) -> None:
    fill(cache / "toy")
    paths = fill(tmp_path / "named" / below)
    monkeypatch.setenv("CNNC_DATA", str(tmp_path / "named"))
    assert find_or_fetch() == paths


def test_the_cache_is_searched_after_the_environment_variable(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = fill(cache / "toy")
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("CNNC_DATA", str(tmp_path / "empty"))
    assert find_or_fetch() == paths


def test_an_environment_variable_that_names_no_folder_is_an_error(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not matter that the cache has the files: the user meant others."""
    fill(cache / "toy")
    (path,) = fill(tmp_path, "file")
    for named, problem in ((tmp_path / "absent", "does not exist"), (path, "is not a folder")):
        monkeypatch.setenv("CNNC_DATA", str(named))
        with pytest.raises(CnncError) as error:
            find_or_fetch()
        assert (error.value.diagnostics[0].code, problem in str(error.value)) == ("E603", True)
        assert f"CNNC_DATA names {named}" in str(error.value)


def test_an_empty_environment_variable_is_ignored(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    paths = fill(cache / "toy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNC_DATA", "")
    assert find_or_fetch() == paths


def test_the_cache_is_in_the_users_cache_folder() -> None:
    folder = fetch.cache_folder("toy")
    assert folder.name == "toy"
    assert "cnnc" in folder.parts


# ---- fetching


def test_missing_files_go_into_the_cache(cache: Path, downloads: list[str]) -> None:
    lines: list[str] = []
    paths = fetch.find_or_fetch(FILES, None, lines.append)
    assert paths == (cache / "toy" / "a.gz", cache / "toy" / "b.gz")
    assert lines == [f"toy is not in {cache / 'toy'}: downloading it"]
    assert find_or_fetch() == paths
    assert downloads == ["a.gz", "b.gz"]


def test_only_missing_files_are_downloaded(cache: Path, downloads: list[str]) -> None:
    fill(cache / "toy", "a.gz")
    find_or_fetch()
    assert downloads == ["b.gz"]


def test_the_error_says_how_to_get_the_files_by_hand(cache: Path, no_mirror: None) -> None:
    (diagnostic,) = refused().diagnostics
    assert diagnostic.message == "cannot download a.gz (one.example: no answer in time; two.example: HTTP status 404)"
    assert diagnostic.help == BY_HAND.format(cache=cache / "toy")


def test_a_read_only_cache_is_a_write_error(cache: Path, downloads: list[str]) -> None:
    cache.write_text("a file where the folder should be")
    with pytest.raises(CnncError) as caught:
        find_or_fetch()
    assert [d.code for d in caught.value.diagnostics] == ["E902"]


# ---- offline


@pytest.mark.parametrize("there", [(), ("a.gz",)])
def test_offline_nothing_is_downloaded(
    cache: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...]
) -> None:
    """The error names what is missing, its size and checksum, where it comes from, and where it goes."""
    monkeypatch.setenv("CNNC_OFFLINE", "1")
    if there:
        fill(cache / "toy", *there)
    (diagnostic,) = refused().diagnostics
    assert diagnostic.message == f"toy is not in {cache / 'toy'}, and nothing is downloaded offline"
    assert ("a.gz (9 bytes" in diagnostic.help) == (not there)
    assert f"b.gz (15 bytes, SHA-256 {FILES.files[1].sha256}) from https://one.example/toy/" in diagnostic.help
    assert f"into {cache / 'toy'}, or into another folder" in diagnostic.help
    assert downloads == []
    assert not there or cache.exists()


def test_the_help_works_offline(cache: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNNC_OFFLINE", "1")
    refused()
    paths = fill(cache / "toy")
    assert find_or_fetch() == paths


@pytest.mark.parametrize(("setting", "allowed"), [("", True), ("0", True), ("1", False), ("yes", None)])
def test_the_values_of_the_variable(
    cache: Path, downloads: list[str], monkeypatch: pytest.MonkeyPatch, setting: str, allowed: bool | None
) -> None:
    monkeypatch.setenv("CNNC_OFFLINE", setting)
    if allowed:
        find_or_fetch()
        return
    with pytest.raises(CnncError) as caught:
        find_or_fetch()
    assert [d.code for d in caught.value.diagnostics] == ["E010" if allowed is None else "E603"]
    assert downloads == []
