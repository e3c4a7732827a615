"""What a layer or an argument in the words of another framework was meant to be, as an edit of the source.

In: a call whose layer or key this language does not have. Out: an `Edit`, or a sentence where one line cannot say it. The
words are in synonyms.py.

Example: `Conv2d 3 64 3` becomes `conv 64 k=3`, `conv 8 k=3 act=relu` becomes `conv 8 k=3; relu`.
"""

from __future__ import annotations

import re

from cnnc.diagnostics import Diagnostic, Edit, nearest
from cnnc.language import syntax
from cnnc.language.edits import as_written, did_you_mean, head, rewritten, with_spaces_before, without
from cnnc.language.synonyms import (
    key_synonym,
    layer_of_key,
    layer_sentence,
    layer_synonym,
    layer_template,
    needless_key_help,
)
from cnnc.ops import OPS

_FIELD = re.compile(r"(\w+=)?\{([^}]*)\}")
_FALSE = ("false", "False", "0", "no", "none", "None", "off")


def layer_meant(call: syntax.Call) -> Edit | str:
    """The edit for an unknown layer, or a sentence; "" if its word is not known in other frameworks either."""
    word = call.op.text
    first = call.arguments[0] if call.arguments and call.arguments[0].key is None else None
    if word.lower().rstrip("s") in ("act", "activation", "nonlin", "nonlinearity", "nonlinear") and first is not None:
        activation = activation_named(as_written(first))
        return rewritten(call, activation) if activation else ""
    if word.lower() in ("multiply", "mul") and first is not None and isinstance(first.value, syntax.Number):
        return rewritten(call, f"scale {as_written(first)}")
    sentence = layer_sentence(word)
    if sentence:
        return sentence
    template = layer_template(word)
    if not template:
        return ""
    if "{" not in template and not call.arguments:
        return Edit(call.op.span, template, "did you mean `{}`?")
    if template in ("repeat", "mul", "sub", "concat"):  # their arguments stay
        return Edit(call.op.span, template, "did you mean `{}`?")
    text, name = _filled(template, call), template.partition(" ")[0]
    if text == name + head(call).text[len(word) :]:
        return Edit(call.op.span, name, "did you mean `{}`?")
    return rewritten(call, text)


def _filled(template: str, call: syntax.Call) -> str:
    """The statements of a template with the arguments of a call."""
    values = [as_written(a) for a in call.arguments if a.key is None]
    if template.startswith("conv") and len(values) >= 3 and all(value.isdigit() for value in values[:3]):
        del values[0]  # the input channels
    target = OPS.get(template.partition(" ")[0])
    known = {key for spec in target.arguments for key in spec.keys} if target is not None else set()
    names = {key: spec.name for spec in target.arguments for key in spec.keys} if target is not None else {}
    keyed: dict[str, tuple[str, str]] = {}  # by the name of the argument: the key to write, and the value
    for argument in call.arguments:
        if argument.key is not None:
            key = argument.key.text if argument.key.text in known else key_synonym(argument.key.text, known)
            if key:
                keyed[names[key]] = (key, argument.value.span.text)

    def fill(match: re.Match[str]) -> str:
        *places, default = match[2].split("|")
        for place in places:
            if place.lstrip("-").isdigit():
                if -len(values) <= int(place) < len(values):
                    return f"{match[1] or ''}{values[int(place)]}"
            elif place in keyed:
                return f"{match[1] or ''}{keyed.pop(place)[1]}"
        return f"{match[1] or ''}{default}"

    first, *others = [_FIELD.sub(fill, part) for part in template.split(";")]
    rest = [f"{key}={value}" for name, (key, value) in keyed.items() if f"{name}=" not in first]
    return ";".join([" ".join([first, *rest]), *others])


def activation_named(word: str) -> str:
    """The layer of an activation that other frameworks call `word`; "" if it is not recognized."""
    if word in OPS:
        return word
    return layer_synonym(word) or nearest(word, OPS) or ""


def key_meant(
    argument: syntax.Argument, call: syntax.Call, known: list[str]
) -> tuple[str | None, tuple[Edit, ...], str]:
    """What an unknown key was meant to be: one of the known keys, "" for no argument at all, None if it is not recognized.

    Also the edits that follow from it, and the help where there are none.
    """
    assert argument.key is not None
    key, value = argument.key, argument.value.span.text
    layer = layer_of_key(key.text)
    if layer:
        return "", *_own_layer(layer, argument, call)
    if key.text in ("keep_prob", "keep") and "p" in known and isinstance(argument.value, syntax.Number):
        dropped = Edit(argument.span, f"p={1 - argument.value.value:g}", "write what is dropped: `{}`")
        return "p", (dropped,), ""
    if (
        key.text == "betas"
        and "beta1" in known
        and isinstance(argument.value, syntax.List)
        and len(argument.value.items) == 2
    ):
        first, second = (item.span.text for item in argument.value.items)
        return "beta1", (Edit(argument.span, f"beta1={first} beta2={second}"),), ""
    if key.text in ("trainable", "requires_grad") and "frozen" in known:
        return "frozen", (Edit(argument.span, f"frozen={'true' if value in _FALSE else 'false'}"),), ""
    if key.text == "name" and call.label is None and re.fullmatch(r"\"?[A-Za-z_]\w*\"?", value):
        return (
            "",
            (_call_without(argument, call, f"{value.strip(chr(34))}: ", "", "write a name as a label: `{}`"),),
            "",
        )
    translated = key_synonym(key.text, known)
    if translated == "":
        return "", (without(argument.span, needless_key_help(key.text)),), ""
    near = nearest(key.text, known) if translated is None else translated
    return near, did_you_mean(key.span, near), ""


def _own_layer(layer: str, argument: syntax.Argument, call: syntax.Call) -> tuple[tuple[Edit, ...], str]:
    """The edit that makes a layer of an argument such as `act=relu` or `bn=true`."""
    value = argument.value.span.text
    if value in _FALSE or (layer == "activation" and value == "linear"):
        return (without(argument.span),), ""
    line = {"bn": "bn", "dropout": f"dropout {value}"}.get(layer) or activation_named(value.strip('"'))
    what = {"bn": "batch normalization", "dropout": "dropout"}.get(layer, "an activation")
    if not line:
        return (), f"{what} is a separate layer: write it on the next line, e.g. `relu`"
    if (
        layer == "bn"
        and value.strip('"') not in ("bn", "true", "True", "1", "batch")
        and activation_named(value) in OPS
    ):
        line = activation_named(value)
    return (_call_without(argument, call, "", f"; {line}", f"{what} is a separate layer: `{{}}`"),), ""


def _call_without(argument: syntax.Argument, call: syntax.Call, before: str, after: str, help: str) -> Edit:
    """The call without an argument, and with text before and after it."""
    source, gap = call.span.source.text, with_spaces_before(argument.span)
    text = f"{before}{source[call.span.start : gap.start]}{source[gap.end : call.span.end]}{after}"
    return Edit(call.span, text, help)


def unknown_layer(call: syntax.Call, near: str | None) -> Diagnostic:
    """E111; `near` is the nearest word of the language if other frameworks do not have the word either."""
    meant = layer_meant(call)
    message, span = f"unknown layer `{call.op.text}`", call.op.span
    if isinstance(meant, Edit):
        return Diagnostic("E111", message, span, edits=(meant,))
    edits = did_you_mean(span, near) if not meant else ()
    return Diagnostic("E111", message, span, help=meant or "`cnnc ops` lists the layers", edits=edits)
