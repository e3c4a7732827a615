"""Finding and downloading the files of a data set; no test here uses the network."""

from __future__ import annotations

import hashlib
import http.client
import io
import urllib.error
import urllib.request
from collections.abc import Callable
from email.message import Message
from pathlib import Path

import pytest

from cnnc.data import fetch
from cnnc.diagnostics import CnncError, Exit

CONTENT = {"a.gz": b"the first", "b.gz": b"the second file"}
FILES = fetch.DataFiles(
    "toy",
    tuple(fetch.RemoteFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()),
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


Answer = Callable[[str], io.BytesIO]


@pytest.fixture
def mirrors(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[str]]:
    """Replaces the mirrors by a function; returns the list of the URLs that are requested."""

    def stand_in(answer: Answer) -> list[str]:
        asked: list[str] = []

        def opener(url: str) -> io.BytesIO:
            asked.append(url)
            return answer(url)

        monkeypatch.setattr(fetch, "open_url", opener)
        return asked

    return stand_in


Mirrors = Callable[[Answer], list[str]]


def sound(url: str) -> io.BytesIO:
    return io.BytesIO(CONTENT[url.rpartition("/")[2]])


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


def test_the_first_mirror_suffices(cache: Path, mirrors: Mirrors) -> None:
    asked = mirrors(sound)
    paths = find_or_fetch()
    assert asked == ["https://one.example/toy/a.gz", "https://one.example/toy/b.gz"]
    assert paths == (cache / "toy" / "a.gz", cache / "toy" / "b.gz")
    assert [path.read_bytes() for path in paths] == list(CONTENT.values())
    assert sorted(path.name for path in (cache / "toy").iterdir()) == ["a.gz", "b.gz"]


def test_a_downloaded_file_is_found_again(cache: Path, mirrors: Mirrors) -> None:
    asked = mirrors(sound)
    assert find_or_fetch() == find_or_fetch()
    assert len(asked) == 2


def test_only_missing_files_are_downloaded(cache: Path, mirrors: Mirrors) -> None:
    fill(cache / "toy", "a.gz")
    asked = mirrors(sound)
    find_or_fetch()
    assert asked == ["https://one.example/toy/b.gz"]


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError(OSError(-2, "Name or service not known")),
        urllib.error.HTTPError("https://one.example", 404, "Not Found", Message(), None),
        TimeoutError("timed out"),
        http.client.RemoteDisconnected("closed"),
        http.client.IncompleteRead(b""),
    ],
)
def test_the_second_mirror_is_used_if_the_first_fails(cache: Path, mirrors: Mirrors, failure: Exception) -> None:
    def answer(url: str) -> io.BytesIO:
        if "one.example" in url:
            raise failure
        return sound(url)

    asked = mirrors(answer)
    assert [path.read_bytes() for path in find_or_fetch()] == list(CONTENT.values())
    assert asked == [f"https://{host}.example/toy/{name}" for name in CONTENT for host in ("one", "two")]


def test_a_failure_while_reading_tries_the_next_mirror(cache: Path, mirrors: Mirrors) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            raise ConnectionResetError(104, "Connection reset by peer")

    mirrors(lambda url: Broken() if "one.example" in url else sound(url))
    assert [path.read_bytes() for path in find_or_fetch()] == list(CONTENT.values())


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"the worst", "expected SHA-256 " + FILES.files[0].sha256),
        (b"short", "expected 9 bytes, received 5"),
        (b"the first and more", "expected 9 bytes, received more"),
        (b"", "expected 9 bytes, received 0"),
    ],
)
def test_wrong_content_is_refused_and_leaves_nothing_behind(
    cache: Path, mirrors: Mirrors, data: bytes, text: str
) -> None:
    asked = mirrors(lambda url: io.BytesIO(data))
    error = refused()
    assert error.diagnostics[0].message.count(text) == 2  # once for each mirror
    assert len(asked) == 2
    assert list((cache / "toy").iterdir()) == []


def test_at_most_one_byte_more_than_the_size_is_read(cache: Path, mirrors: Mirrors) -> None:
    sizes: list[int | None] = []

    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            sizes.append(size)
            assert size is not None
            assert size >= 0
            return bytes(size)

    mirrors(lambda url: Endless())
    refused()
    assert sizes == [10, 10]


def test_offline_error_says_what_to_do(cache: Path, mirrors: Mirrors) -> None:
    def offline(url: str) -> io.BytesIO:
        raise urllib.error.URLError(OSError(-3, "Temporary failure in name resolution"))

    mirrors(offline)
    (diagnostic,) = refused().diagnostics
    assert diagnostic.message == (
        "cannot download a.gz (one.example: temporary failure in name resolution; "
        "two.example: temporary failure in name resolution)"
    )
    assert diagnostic.help == (
        "download a.gz, b.gz from https://one.example/toy/ or https://two.example/toy/ "
        f"into {cache / 'toy'}, or into another folder and name it with --data FOLDER "
        "or the environment variable CNNC_DATA"
    )


def test_a_read_only_cache_is_a_write_error(cache: Path, mirrors: Mirrors) -> None:
    cache.write_text("a file where the folder should be")
    mirrors(sound)
    with pytest.raises(CnncError) as caught:
        find_or_fetch()
    assert [d.code for d in caught.value.diagnostics] == ["E902"]


def test_progress_is_reported(cache: Path, mirrors: Mirrors) -> None:
    mirrors(sound)
    lines: list[str] = []
    fetch.find_or_fetch(FILES, None, lines.append)
    assert lines == [
        f"toy is not in {cache / 'toy'}: downloading it",
        "downloading a.gz (9 bytes) from one.example",
        "downloading b.gz (15 bytes) from one.example",
    ]


# ---- the opener


@pytest.mark.parametrize("url", ["http://one.example/a", "ftp://one.example/a", "file:///etc/hostname", "data:,a"])
def test_only_https_is_opened(url: str) -> None:
    with pytest.raises(urllib.error.URLError, match="unknown url type"):
        fetch.open_url(url)


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_a_redirection_away_from_https_is_refused(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    class Response(io.BytesIO):
        code, status, msg = 302, 302, "Found"

        def info(self) -> Message:
            headers = Message()
            headers["Location"] = f"{scheme}://one.example/a"
            return headers

    monkeypatch.setattr(urllib.request.HTTPSHandler, "https_open", lambda self, request: Response())
    with pytest.raises(urllib.error.URLError, match=f"unknown url type: {scheme}"):
        fetch.open_url("https://one.example/a")
