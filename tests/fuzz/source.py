"""Sources of networks: `check` returns a graph or diagnostics about places of the source, and the formatter changes no meaning."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from zlib import crc32

from cnnc.diagnostics import CnncError, Source
from cnnc.language.format import format_text
from cnnc.language.parse import parse
from cnnc.network import Network, check
from tests.fuzz.choices import Choices
from tests.fuzz.guard import guarded
from tests.fuzz.networks import network_text
from tests.fuzz.target import Target
from tests.language.programs import bare, program
from tests.language.test_fuzz import assert_sound, mutated_characters, mutated_words, noise

PLAIN = 4
"""A first byte below this one begins a source that the fuzzer writes itself."""


def source_of(data: bytes) -> str:
    """A source: in three of four cases a network that is likely valid."""
    if data and data[0] < PLAIN:
        return data[1:].decode("utf-8", errors="replace")
    return random_source(Choices(data))


def random_source(random: Random) -> str:
    """A network, likely valid or damaged, or a text of another kind."""
    kind = random.randrange(16)
    if kind < 13:
        return network_text(random)
    if kind == 13:
        return noise(random, random.randrange(3)) if random.random() < 0.7 else program(random)
    return (mutated_characters if kind == 14 else mutated_words)(network_text(random), random)


def hold(source: str) -> str:
    """Checks and formats a source; its edits are tried in every eighth case."""
    with guarded():
        network = check(source, try_edits=crc32(source.encode(errors="replace")) % 8 == 0)
        assert_sound(network)
        assert_round_trip(source, network)
    errors = [d.code for d in network.diagnostics if d.severity == "error"]
    return errors[0] if errors else "valid"


def assert_round_trip(text: str, network: Network) -> None:
    """Formatting keeps the tree and the comments, and formatting again changes nothing; so does what `check` accepts."""
    try:
        formatted = format_text(Source("<test>", text))
    except CnncError:
        assert not network.ok
        return
    if formatted == text:
        return
    (before, _), (after, errors) = parse(Source("<test>", text)), parse(Source("<test>", formatted))
    assert not errors
    assert bare(before) == bare(after)
    assert [c.text.rstrip() for c in before.comments] == [c.text.rstrip() for c in after.comments]
    assert format_text(Source("<test>", formatted)) == formatted


def _seeds() -> Iterable[bytes]:
    from tests.op_cases import CASES

    for case in CASES[::40]:
        yield b"\x00" + case.text.encode()
    for seed in range(200):
        yield _random(Random(f"seed {seed}"))


def _random(random: Random) -> bytes:
    return bytes([random.randrange(PLAIN, 256)]) + random.randbytes(60)


SOURCE = Target("sources of networks: check and format", source_of, hold, _seeds, _random)
