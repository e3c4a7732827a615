"""For any source, `check` soon returns a network or diagnostics and raises no exception but CnncError.

pytest tests/language/test_fuzz.py -m slow -n 2     100,000 sources
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from types import FrameType

import pytest

from cnnc.diagnostics import CnncError, Source, render
from cnnc.language.format import format_text
from cnnc.network import Network, check
from tests.language.programs import MODELS, bare, comments, program, tree

SECONDS = 20  # a hundred times longer than the slowest source
SHARDS = 40
A_SHARD = 2_500

TEXTS = [path.read_text(encoding="utf-8") for path in MODELS]
VOCABULARY = r"""
    { } ( ) [ ] ; : , = + - * / // % ** . x # " ' \ - -1 !! @ $ & | < > ~ ` ^ ? "a" "\u0000" "\ud800" "../x.cnn"
    net let from output block repeat include expect budget train in c_in as true false share input conv fc
    conv_transpose local pool max avg global_pool unpool upsample bn lrn relu softmax dropout flatten reshape pad
    crop slice select embed add sub mul maximum concat bilinear identity filter sobel_x normalize maxout
    k= s= p= d= groups= bias= same valid half full causal init= he share= dtype=int64 axis= mean= std=
    data digits loss cross_entropy optimizer sgd lr= schedule cosine batch epochs seed metric accuracy
    0 1 2 3 5 64 1.5 1e2 1e999 1e308G .5 64k 256KiB 3x5 1x28x28 3xHxW HxW 0x0 999999999999 1..2 3x5n 7k5
    min( max( floor( ceil( round( 2**60 9**9**9 1/0 n a b conv1 relu1 s.* s.0 a.b.c H W é ٣ 漢
"""
WORDS = [*VOCABULARY.split(), "\n", "\r\n", "\t", "\ufeff", "\x00", "\x1b", "\u2028", "9" * 50, "1" * 5000]
LETTERS = 'ab xXHk0123456789.eE+-*/%(){}[]<>=,:;#"\\ \t\r\n_é\x00\ufeff'


# --- sources -----------------------------------------------------------------------------------------------


def text(random: Random) -> str:
    """A source that someone could type or a damaged file could contain."""
    kind = random.randrange(10)
    if kind < 3:
        return noise(random, kind)
    base = program(random) if kind == 3 else random.choice(TEXTS)
    return mutated_characters(base, random) if kind < 6 else mutated_words(base, random)


def noise(random: Random, kind: int) -> str:
    """Letters, decoded bytes, or words of the language in any order."""
    if kind == 0:
        return "".join(random.choices(LETTERS, k=random.randrange(200)))
    if kind == 1:
        return random.randbytes(random.randrange(200)).decode(random.choice(("latin-1", "utf-16-le")), errors="replace")
    return " ".join(random.choices(WORDS, k=random.randrange(60)))


def mutated_characters(text: str, random: Random) -> str:
    characters = list(text)
    for _ in range(random.randrange(1, 8)):
        _mutate(characters, random, LETTERS)
    return "".join(characters)


def mutated_words(text: str, random: Random) -> str:
    words = re.findall(r"[ \t]+|\w+|\S|\n", text)
    for _ in range(random.randrange(1, 8)):
        _mutate(words, random, WORDS)
    return "".join(words)


def _mutate(parts: list[str], random: Random, more: str | list[str]) -> None:
    """Deletes, repeats, swaps, replaces or inserts parts."""
    if not parts:
        return
    first, second = random.randrange(len(parts)), random.randrange(len(parts))
    match random.randrange(6):
        case 0:
            del parts[first]
        case 1:
            parts[first:first] = parts[first : first + random.randrange(1, 20)]
        case 2:
            parts[first], parts[second] = parts[second], parts[first]
        case 3:
            del parts[first : first + random.randrange(1, 20)]
        case 4:
            parts[first] = random.choice(more)
        case _:
            parts.insert(first, random.choice(more))


# --- properties -------------------------------------------------------------------------------------------


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raises TimeoutError after this CPU time, which a busy machine does not change, on systems with SIGPROF."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"no answer after {seconds} seconds of CPU time")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def assert_checks(text: str) -> None:
    try:
        with time_limit(SECONDS):
            assert_sound(check(text))
            assert_formats(text)
    except Exception as error:
        raise AssertionError(f"{type(error).__name__}: {error}\nthe source: {text!r}") from error


def assert_sound(network: Network) -> None:
    """There is a graph or an error, and every diagnostic can be rendered and has a valid span."""
    errors = [d for d in network.diagnostics if d.severity == "error"]
    assert (network.graph is None) == bool(errors)
    for diagnostic in network.diagnostics[:20]:
        assert re.fullmatch(r"[EW][0-9]{3}", diagnostic.code)
        assert diagnostic.code[1] not in "789", "not an error of the source"
        assert "\x1b" not in render(diagnostic)
        json.dumps(diagnostic.as_dict()).encode()
        if diagnostic.span is not None:
            source, start, end = diagnostic.span
            assert 0 <= start <= end <= len(source.text)


def assert_formats(text: str) -> None:
    try:
        formatted = format_text(Source("<test>", text))
    except CnncError:
        return
    assert bare(tree(formatted)) == bare(tree(text))
    assert comments(formatted) == comments(text)
    assert format_text(Source("<test>", formatted)) == formatted


# --- tests -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_100_sources() -> None:
    for seed in range(100):
        assert_checks(text(Random(f"few {seed}")))


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_100_000_sources(shard: int) -> None:
    for seed in range(shard * A_SHARD, (shard + 1) * A_SHARD):
        assert_checks(text(Random(f"many {seed}")))


def test_the_assertions_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(text: str) -> Network:
        raise KeyError(text)

    monkeypatch.setattr("tests.language.test_fuzz.check", broken)
    with pytest.raises(AssertionError, match="KeyError"):
        assert_checks("relu")


@pytest.mark.long
def test_the_sources_cover_all_families_of_errors() -> None:
    """Some sources are valid networks, and others have errors of each family."""
    missing = {"none", "E0", "E1", "E2", "E3", "E4"}
    for seed in range(400):
        network = check(text(Random(f"kinds {seed}")))
        missing -= {d.code[:2] for d in network.diagnostics} or {"none"}
        if not missing:
            break
    assert missing == set()
