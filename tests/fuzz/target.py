"""What is fuzzed: a `Target` makes a case from bytes, and says what must hold for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any, NamedTuple


class Target(NamedTuple):
    """`case` turns the bytes of a fuzzer into an input, and `hold` asserts what must hold for it, `guarded`.

    `hold` returns a word that says how the input ended, "valid" or the code of its error, which the command counts. `seeds`
    are bytes that a fuzzer begins with, `random` draws bytes without a fuzzer, and `longest` is the most bytes.
    """

    help: str
    case: Callable[[bytes], Any]
    hold: Callable[[Any], str]
    seeds: Callable[[], Iterable[bytes]]
    random: Callable[[Random], bytes]
    longest: int = 192


_EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40)


def mutated(data: bytes, random: Random) -> bytes:
    """Bytes with a few changes: bits, bytes and numbers replaced, parts deleted, repeated, moved and inserted."""
    content = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 3, 6))):
        at = random.randrange(len(content) + 1)
        end = min(len(content), at + random.choice((1, 1, 2, 4, 8, 64)))
        match random.randrange(8):
            case 0:
                del content[at:end]
            case 1:
                content[at:at] = content[at:end] * random.choice((1, 1, 2, 8))
            case 2:
                content[at:end] = random.randbytes(end - at)
            case 3:
                content[at:at] = random.randbytes(random.choice((1, 2, 4)))
            case 4:
                content[at:end] = random.choice(_EDGES).to_bytes(8, random.choice(("little", "big")))[: end - at]
            case 5:
                other = random.randrange(len(content) + 1)
                content[at:at] = content[other : other + end - at]
            case 6 if at < len(content):
                content[at] ^= 1 << random.randrange(8)
            case _ if at < len(content):
                content[at] = random.choice(b'\x00\xff\n ,;\t"-.09aA\x80')
    return bytes(content)
