"""`Record`: immutable objects with named fields, declared like frozen dataclasses.

Example: `class Point(Record): x: int; y: int = 0`, then `Point(1) == Point(x=1, y=0)`.

Dataclasses generate and compile their methods at import, half a millisecond per class, which would double the time of
`cnnc check`. The methods of Record are written once, here, and read the list of fields; type checkers see a frozen
dataclass.
"""

from __future__ import annotations

from inspect import get_annotations
from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Subclasses annotate their fields; a class attribute is the default of its field.

    Comparison, hash and repr ignore the fields named in `quiet_fields`.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    quiet_fields: ClassVar[tuple[str, ...]] = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        names = [n for n, a in get_annotations(cls).items() if not str(a).startswith("ClassVar")]
        cls.fields = (*(f for f in cls.fields if f not in names), *names)
        cls.defaults = {**cls.defaults, **{n: cls.__dict__[n] for n in names if n in cls.__dict__}}
        cls.__match_args__ = cls.fields  # type: ignore[misc]

    def __init__(self, *values: Any, **named: Any) -> None:
        state = self.__dict__
        if len(values) == len(self.fields) and not named:
            state.update(zip(self.fields, values, strict=True))
            return
        if len(values) > len(self.fields):
            raise TypeError(f"{type(self).__name__} has {len(self.fields)} fields, not {len(values)}")
        state.update(self.defaults)
        state.update(zip(self.fields, values, strict=False))
        state.update(named)
        if len(state) != len(self.fields):
            wrong = [f for f in self.fields if f not in state] + [n for n in state if n not in self.fields]
            raise TypeError(f"{type(self).__name__}: missing or unknown {', '.join(wrong)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def _key(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[f] for f in self.fields if f not in self.quiet_fields)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        value = self.__dict__.get("_hash")
        if value is None:
            value = self.__dict__["_hash"] = hash((type(self), self._key()))
        return value

    def __getstate__(self) -> dict[str, Any]:
        """Only the fields: cached values, such as the hash, are not valid in another process."""
        return {name: self.__dict__[name] for name in self.fields}

    def __repr__(self) -> str:
        shown = (f for f in self.fields if f not in self.quiet_fields)
        return f"{type(self).__name__}({', '.join(f'{f}={self.__dict__[f]!r}' for f in shown)})"

    def replace(self, **changes: Any) -> Self:
        """A copy with other values in the named fields."""
        return type(self)(**{**{f: self.__dict__[f] for f in self.fields}, **changes})
