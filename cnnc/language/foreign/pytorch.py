"""PyTorch: `nn.Sequential`, modules with a `forward` that is a chain of calls, and single layers.

In: the text. Out: the layers in the order in which they are applied, up to the first that has no translation, such as a sum.
"""

from __future__ import annotations

import ast
import re
from typing import Any

from cnnc.language.foreign import layers
from cnnc.language.foreign.layers import Lines, Translation, Untranslated
from cnnc.language.foreign.python import arguments, constants, name_of, parse, value_of

LINE = re.compile(
    r"(?m)^[^#\n]*?(?P<at>\b(?:import torch\b|from torch\b|torch\.nn\b|(?:nn|F)\.(?:[A-Z]\w+|relu|max_pool2d|log_softmax)"
    r"|class \w+\((?:nn\.)?Module\)|(?:Conv|MaxPool|BatchNorm|AvgPool|ConvTranspose)[123]d\(|super\(.*\)\.__init__\(\)"
    r"|def forward\(self\b|self\.\w+\(x\)))[^\n]*"
)
_CONV = "in_channels out_channels kernel_size stride padding dilation groups bias"
_TRANSPOSE = "in_channels out_channels kernel_size stride padding output_padding groups bias dilation"
_POOL = "kernel_size stride padding"


def translate(text: str) -> Lines:
    """The statements of the network."""
    return _Network(parse(text)).lines()


class _Network:
    """The modules that a program defines, and the translation of the last one."""

    def __init__(self, program: list[ast.stmt]) -> None:
        self.names = constants(program)
        self.modules: dict[str, ast.expr] = {}  # `conv1` of `self.conv1 = ...`
        self.translation = Translation()
        forward = self.collect(program)
        try:
            if forward is not None:
                self.run(forward)
            else:
                self.add_chain(program)
        except Untranslated:
            self.translation.cut = True

    def lines(self) -> Lines:
        return self.translation.lines()

    def collect(self, program: list[ast.stmt]) -> ast.FunctionDef | None:
        """Enters the modules of the last class with a `forward`, and returns that."""
        forward = None
        for statement in program:
            if isinstance(statement, ast.ClassDef):
                functions = {f.name: f for f in statement.body if isinstance(f, ast.FunctionDef)}
                if "forward" in functions:
                    forward = functions["forward"]
                    init = functions.get("__init__")
                    self.modules = dict(_assignments(init.body)) if init is not None else {}
                    self.names = {**self.names, **_defaults(init)} if init is not None else self.names
        return forward

    def run(self, forward: ast.FunctionDef) -> None:
        """Translates a `forward` whose statements are a chain."""
        tensor = forward.args.args[1].arg if len(forward.args.args) > 1 else "x"
        for statement in forward.body:
            if isinstance(statement, ast.Return) and statement.value is not None:
                self.apply(statement.value, tensor)
                return
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # its documentation
            if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
                raise Untranslated("a statement")
            self.apply(statement.value, tensor)
            tensor = statement.targets[0].id

    def apply(self, node: ast.expr, tensor: str) -> None:
        """Translates an expression that is applied to the tensor, the innermost call first."""
        if isinstance(node, ast.Name) and node.id == tensor:
            return
        if not isinstance(node, ast.Call):
            raise Untranslated("an expression")
        function = node.func
        if isinstance(function, ast.Attribute) and name_of(function.value) == "self":
            self.apply(node.args[0], tensor) if node.args else None
            self.add(self.modules.get(function.attr))
        elif isinstance(function, ast.Attribute) and function.attr in (
            "view",
            "reshape",
            "flatten",
            "relu",
            "sigmoid",
            "tanh",
        ):
            of_tensor = name_of(function.value) not in ("torch", "F", "functional")
            self.apply(function.value if of_tensor else node.args[0], tensor)
            self.add_function(function.attr, node)
        elif node.args:
            self.apply(node.args[0], tensor)
            self.add_function(name_of(function), node)
        else:
            raise Untranslated("a call")

    def add_chain(self, program: list[ast.stmt]) -> None:
        """Translates the first `nn.Sequential`, or else all layers that the program names, in order."""
        calls = [n for statement in program for n in _calls_in_order(statement)]
        sequential = next((c for c in calls if name_of(c.func) == "Sequential"), None)
        for call in [sequential] if sequential is not None else calls:
            if name_of(call.func)[:1].isupper():
                self.add(call)

    def add(self, node: ast.expr | None) -> None:
        """Adds the lines of a module."""
        if not isinstance(node, ast.Call):
            raise Untranslated("a module")
        name = name_of(node.func)
        if name in ("Sequential", "OrderedDict"):
            for item in node.args:
                items = item.elts if isinstance(item, ast.List) else [item]
                for inner in items:
                    self.add(inner.elts[1] if isinstance(inner, ast.Tuple) and len(inner.elts) == 2 else inner)
            return
        parameters = _CONV if name.startswith("Conv") else ""
        parameters = _TRANSPOSE if name.startswith("ConvTranspose") else parameters
        parameters = parameters or _PARAMETERS.get(re.sub(r"[123]d$", "", name), "")
        given = arguments(node, parameters, self.names)
        rank = int(name[-2]) if re.search(r"[123]d$", name) else 0
        if not self.translation.statements and "in_channels" in given:
            self.translation.add(layers.input_shape(layers.whole(given["in_channels"]), *[None] * rank))
        if not self.translation.statements and "in_features" in given:
            self.translation.add(f"input {layers.whole(given['in_features'])}")
        self.translation.add(*_lines(re.sub(r"[123]d$", "", name), given))

    def add_function(self, name: str, call: ast.Call) -> None:
        """Adds the lines of a function such as `F.max_pool2d(x, 2)`."""
        if name in ("view", "reshape", "flatten"):
            self.translation.add("flatten")
            return
        rest = ast.Call(call.func, call.args[1:], call.keywords)
        kind = {"max_pool": "MaxPool", "avg_pool": "AvgPool", "adaptive_avg_pool": "AdaptiveAvgPool"}.get(name[:-2])
        module = kind or {"dropout": "Dropout", "dropout2d": "Dropout", "interpolate": "Upsample"}.get(name)
        if module is not None:
            self.translation.add(*_lines(module, arguments(rest, _PARAMETERS.get(module, ""), self.names)))
        else:
            given = arguments(rest, "negative_slope", self.names) if name == "leaky_relu" else {}
            self.translation.add(*_lines(name, given))


_PARAMETERS = {
    "Linear": "in_features out_features bias",
    "LazyLinear": "out_features bias",
    "LazyConv": "out_channels kernel_size stride padding dilation groups bias",
    "BatchNorm": "num_features",
    "MaxPool": _POOL,
    "AvgPool": _POOL,
    "AdaptiveAvgPool": "output_size",
    "AdaptiveMaxPool": "output_size",
    "Dropout": "p",
    "LeakyReLU": "negative_slope",
    "Upsample": "size scale_factor mode",
    "ZeroPad": "padding",
    "GroupNorm": "num_groups num_channels",
}


def _lines(name: str, given: dict[str, Any]) -> list[str]:
    """The statements of a module or function of this name. Raises Untranslated."""
    if name in ("Conv", "ConvTranspose", "LazyConv"):
        if given.get("padding_mode", "zeros") != "zeros" or given.get("output_padding", 0) != 0:
            raise Untranslated(name)
        op = "conv_transpose" if name == "ConvTranspose" else "conv"
        out, k, s, p, d, groups, bias = (given.get(key, default) for key, default in _CONV_DEFAULTS.items())
        return [layers.conv(out, k, s, p, d, groups, bool(bias), op)]
    if name in ("Linear", "LazyLinear"):
        return [f"fc {layers.whole(given.get('out_features'))}{'' if given.get('bias', True) else ' bias=false'}"]
    if name in ("MaxPool", "AvgPool"):
        p, ceil = given.get("padding", 0), given.get("ceil_mode", False)
        line = layers.pool(name[:3].lower(), given.get("kernel_size"), given.get("stride"), p, ceil)
        return [line + (" count_pad=true" if name == "AvgPool" and layers.axes(p) != "0" else "")]
    if name in ("AdaptiveAvgPool", "AdaptiveMaxPool") and layers.axes(given.get("output_size")) == "1":
        return [f"global_pool {name[8:11].lower()}"]
    if name == "BatchNorm":
        return ["bn"]
    if name in ("Dropout", "dropout"):
        return [layers.dropout(given.get("p"))]
    if name == "Upsample" and isinstance(given.get("scale_factor"), int) and given.get("mode", "nearest") == "nearest":
        return [f"upsample {given['scale_factor']}"]
    if name == "Flatten":
        return ["flatten"]
    if name == "Identity":
        return []
    if name in ("LeakyReLU", "leaky_relu"):
        slope = given.get("negative_slope", 0.01)
        return ["leaky_relu" if slope == 0.01 else f"leaky_relu {layers.number(slope)}"]
    return layers.activation(name)


_CONV_DEFAULTS = {
    "out_channels": None,
    "kernel_size": None,
    "stride": 1,
    "padding": 0,
    "dilation": 1,
    "groups": 1,
    "bias": True,
}


def _assignments(body: list[ast.stmt]) -> list[tuple[str, ast.expr]]:
    """The names and values of `self.NAME = VALUE`."""
    assignments = [s for s in body if isinstance(s, ast.Assign)]
    return [(s.targets[0].attr, s.value) for s in assignments if isinstance(s.targets[0], ast.Attribute)]


def _defaults(function: ast.FunctionDef) -> dict[str, Any]:
    """The defaults of a function's parameters, e.g. `num_classes=10`."""
    names = [a.arg for a in function.args.args][len(function.args.args) - len(function.args.defaults) :]
    values = {}
    for name, node in zip(names, function.args.defaults, strict=True):
        try:
            values[name] = value_of(node)
        except Untranslated:
            continue
    return values


def _calls_in_order(statement: ast.stmt) -> list[ast.Call]:
    """The calls of a statement that are not arguments of another layer, in source order."""
    found: list[ast.Call] = []
    pending: list[ast.AST] = [statement]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Call) and name_of(node.func)[:1].isupper():
            found.append(node)
        else:
            pending += reversed(list(ast.iter_child_nodes(node)))
    return found
