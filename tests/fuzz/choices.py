"""A random generator whose choices are the bytes of a fuzzer's input.

So every generator of the tests can be guided by coverage: a fuzzer that changes a byte changes one choice.
"""

from __future__ import annotations

from random import Random
from zlib import crc32


class Choices(Random):
    """Takes each choice from the bytes; once they are used up, from a generator whose seed is their checksum."""

    def __init__(self, data: bytes) -> None:
        super().__init__(crc32(data))
        self.data = data
        self.used = 0

    def getrandbits(self, k: int, /) -> int:
        size = (k + 7) // 8
        taken = self.data[self.used : self.used + size]
        if len(taken) < size:
            return super().getrandbits(k)
        self.used += size
        return int.from_bytes(taken) & ((1 << k) - 1)

    def random(self) -> float:
        return self.getrandbits(16) / 65536 if self.used < len(self.data) else super().random()
