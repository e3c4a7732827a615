"""`Record`: immutable values with named fields, declared like frozen dataclasses.

Why not dataclasses: each of them generates and compiles its methods when it is imported, half a
millisecond a class, which for the classes of this project doubles the time of `cnnc check`. A Record's methods
are written once, here, and read the list of fields; type checkers see a frozen dataclass.
"""

from __future__ import annotations

from inspect import get_annotations
from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """Subclasses annotate their fields; a class attribute is a default.

    Fields named in `quiet_fields` take no part in comparison, hash and repr.
    """

    fields: ClassVar[tuple[str, ...]] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    quiet_fields: ClassVar[tuple[str, ...]] = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        own = [n for n, a in get_annotations(cls).items() if not str(a).startswith("ClassVar")]
        cls.fields = (*(f for f in cls.fields if f not in own), *own)
        cls.defaults = {**cls.defaults, **{n: cls.__dict__[n] for n in own if n in cls.__dict__}}
        cls.__match_args__ = cls.fields  # type: ignore[misc]

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) > len(self.fields):
            raise TypeError(f"{type(self).__name__} has {len(self.fields)} fields, not {len(values)}")
        made = self.__dict__
        made.update(self.defaults)
        made.update(zip(self.fields, values, strict=False))
        made.update(named)
        if len(made) != len(self.fields):
            wrong = [f for f in self.fields if f not in made] + [n for n in made if n not in self.fields]
            raise TypeError(f"{type(self).__name__}: missing or unknown {', '.join(wrong)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is immutable")

    def _key(self) -> tuple[Any, ...]:
        return tuple(self.__dict__[f] for f in self.fields if f not in self.quiet_fields)

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._key() == other._key()

    def __hash__(self) -> int:
        made = self.__dict__.get("_hash")
        if made is None:
            made = self.__dict__["_hash"] = hash((type(self), self._key()))
        return made

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what was worked out of them is not another process's."""
        return {name: self.__dict__[name] for name in self.fields}

    def __repr__(self) -> str:
        shown = (f for f in self.fields if f not in self.quiet_fields)
        return f"{type(self).__name__}({', '.join(f'{f}={self.__dict__[f]!r}' for f in shown)})"

    def replace(self, **changes: Any) -> Self:
        """The same value with other values in some fields."""
        return type(self)(**{**{f: self.__dict__[f] for f in self.fields}, **changes})
