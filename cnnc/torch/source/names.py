"""Python names for the names of a source file, and text that is safe in generated source.

In: names of layers, blocks and networks, any text. Out: identifiers that are no keywords and hide nothing of PyTorch, each
different from those `taken` before; docstrings and comments that any text fits into.

    attribute_name("class", set())     # "class_"
    class_name("LeNet-5", set())       # "LeNet5"
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Collection

_ATTRIBUTES = """
T_destination add_module append apply bfloat16 buffers call_super_init children compile cpu cuda double
dump_patches eval extend extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half
insert ipu load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters
pop register_backward_hook register_buffer register_forward_hook register_forward_pre_hook
register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook
register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook
register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to to_empty
train training type xpu zero_grad
"""
MODULE_ATTRIBUTES = frozenset(_ATTRIBUTES.split())
"""What nn.Module and nn.Sequential define; a layer of this name would hide it."""

IMPORTED = frozenset(("F", "Sequence", "Tensor", "nn", "torch"))
"""What generated source imports."""

_AMBIGUOUS = frozenset("lOI")  # which linters refuse as names
_BUILTINS = frozenset(dir(builtins))


def attribute_name(name: str, taken: Collection[str]) -> str:
    """The attribute of a module for a layer or block call: its name, with `_` for every dot."""
    return _unique(_identifier(name, "layer"), MODULE_ATTRIBUTES, taken)


def variable_name(name: str, taken: Collection[str]) -> str:
    """The name of a tensor or argument inside a method."""
    return _unique(_identifier(name, "x"), IMPORTED | {"self"} | _AMBIGUOUS | _BUILTINS, taken)


def class_name(name: str, taken: Collection[str]) -> str:
    """The class of a block or network: words joined, each with a capital at its beginning."""
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return _unique(joined if joined[:1].isalpha() else f"Net{joined}", IMPORTED | _BUILTINS, taken, "")


def _identifier(name: str, start: str) -> str:
    """ASCII letters, digits and `_`, not beginning with a digit or `_`, which is what private names begin with."""
    text = re.sub(r"[^A-Za-z0-9_]", "_", name).strip("_")
    return text if text[:1].isalpha() else f"{start}_{text}".rstrip("_")


def _unique(name: str, reserved: Collection[str], taken: Collection[str], separator: str = "_") -> str:
    if keyword.iskeyword(name) or name in reserved:
        name = f"{name}_" if separator else f"{name}Net"
    number, unique = 1, name
    while unique in taken or unique in reserved:
        number += 1
        unique = f"{name}{'' if name.endswith('_') else separator}{number}"
    return unique


def docstring_text(text: str) -> str:
    """Text as it stands in a docstring in triple quotes: control characters, backslashes and quotes that would end it escaped."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text.replace("\\", "\\\\"))
    return shown.replace('"""', r"\"\"\"")


def comment_text(text: str) -> str:
    """Text as it stands in a comment or on one line of a docstring."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
