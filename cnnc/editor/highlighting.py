"""Highlighting for editors that colour by patterns, made from the language itself.

In: the terminals of grammar/cnn.lark, and the tables of layers, statements and words. Out: a TextMate grammar (VS Code, GitHub,
Sublime Text), a Vim syntax file, an Emacs mode. Nothing here defines a word of the language: a new layer is highlighted
because it is in the table of layers.

Example: `textmate()` is the text of cnn.tmLanguage.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

from cnnc.language.expressions import RESERVED_VALUES
from cnnc.language.parse import grammar_text
from cnnc.language.resolve import LANGUAGE_STATEMENTS
from cnnc.ops import OPS
from cnnc.recipe.declaration import TRAIN_STATEMENTS

STATEMENTS = tuple(LANGUAGE_STATEMENTS)
LAYERS = tuple(sorted(OPS))
TRAIN = tuple(TRAIN_STATEMENTS)
CONSTANTS = tuple(RESERVED_VALUES)


def words() -> tuple[str, ...]:
    """The words that arguments take, such as `same` and `max`, and the kinds of train statements."""
    classes = [*OPS.values(), *(cls for kinds in TRAIN_STATEMENTS.values() for cls in kinds.values())]
    taken = {word for cls in classes for spec in cls.arguments for word in spec.kind.words}
    kinds = {kind for group in TRAIN_STATEMENTS.values() for kind in group if kind}
    return tuple(sorted(taken | kinds))


@cache
def terminals() -> Mapping[str, str]:
    """The regular expressions of the grammar's terminals, by name."""
    return dict(re.findall(r"^([A-Z_]+)(?:\.-?\d+)?: /(.*)/$", grammar_text(), re.MULTILINE))


FUNCTIONS = tuple(re.findall(r"[a-z]+", terminals()["FUNCTION"]))


def _any(options: Iterable[str]) -> str:
    return "|".join(sorted(options, key=lambda word: (-len(word), word)))


# --- TextMate ------------------------------------------------------------------------------------------------


def textmate() -> str:
    """The TextMate grammar as JSON."""
    named = terminals()
    name = named["NAME"]
    head = rf"(?:(?:^|(?<=[;{{}}]))\s*)(?:([A-Za-z_][A-Za-z0-9_]*)\s*(:)\s*)?({name})"
    ops = [
        {"match": rf"(?<![\w.])(?:{_any(STATEMENTS)})(?![\w.])", "name": "keyword.control.cnn"},
        {"match": rf"(?<![\w.])(?:{_any(LAYERS)})(?![\w.])", "name": "support.function.layer.cnn"},
        {"match": rf"(?<![\w.])(?:{_any(TRAIN)})(?![\w.])", "name": "keyword.other.train.cnn"},
        {"match": name, "name": "entity.name.function.cnn"},
    ]
    values = [
        {"include": "#comment"},
        {"include": "#string"},
        {"match": rf"\b({_any(FUNCTIONS)})(?=\()", "name": "support.function.builtin.cnn"},
        {
            "match": rf"({name})\s*(=)",
            "captures": {"1": {"name": "variable.parameter.cnn"}, "2": {"name": "keyword.operator.assignment.cnn"}},
        },
        {"match": rf"(?<![\w.]){named['EXTENT']}", "name": "constant.numeric.shape.cnn"},
        {"match": rf"(?<![\w.]){named['NUMBER']}", "name": "constant.numeric.cnn"},
        {"match": rf"(?<![\w.])(?:{_any(CONSTANTS)})(?![\w.])", "name": "constant.language.cnn"},
        {"match": rf"(?<![\w.])(?:{_any(words())})(?![\w.])", "name": "support.constant.cnn"},
        {"match": name, "name": "variable.other.cnn"},
        {"match": named["BAD_NUMBER"], "name": "invalid.illegal.cnn"},
        {"match": r"\*\*|//|[*/%+-]", "name": "keyword.operator.arithmetic.cnn"},
        {"include": "#brackets"},
    ]
    grammar: dict[str, Any] = {
        "name": "cnnc network",
        "scopeName": "source.cnn",
        "fileTypes": ["cnn"],
        "patterns": [
            {"include": "#comment"},
            {"include": "#let"},
            {"include": "#block"},
            {"include": "#statement"},
            *values,
        ],
        "repository": {
            "comment": {"match": named["COMMENT"], "name": "comment.line.number-sign.cnn"},
            "string": {
                "patterns": [
                    {"match": named["STRING"], "name": "string.quoted.double.cnn"},
                    {"match": named["BAD_STRING"], "name": "invalid.illegal.unclosed-string.cnn"},
                ]
            },
            "let": {
                "match": rf"(?:^|(?<=[;{{}}]))\s*(let)\s+({name})",
                "captures": {"1": {"name": "keyword.control.cnn"}, "2": {"name": "variable.other.constant.cnn"}},
            },
            "block": {
                "match": rf"(?:^|(?<=[;{{}}]))\s*(block)\s+({name})",
                "captures": {
                    "1": {"name": "keyword.control.cnn"},
                    "2": {"name": "entity.name.function.definition.cnn"},
                },
            },
            "statement": {
                "match": head,
                "captures": {
                    "1": {"name": "entity.name.label.cnn"},
                    "2": {"name": "punctuation.separator.label.cnn"},
                    "3": {"patterns": ops},
                },
            },
            "brackets": {
                "patterns": [
                    {"begin": begin, "end": end, "patterns": [{"include": "#values"}]}
                    for begin, end in ((r"\[", r"\]"), (r"\(", r"\)"))
                ]
            },
            "values": {"patterns": values},
        },
    }
    return json.dumps(grammar, indent=2, ensure_ascii=False) + "\n"


# --- Vim and Emacs ---------------------------------------------------------------------------------------------


def vim() -> str:
    """The Vim syntax file."""
    name = r"[A-Za-z_][A-Za-z0-9_.*]*"
    return "\n".join(
        [
            '" Vim syntax of networks for cnnc, written by `cnnc lsp --syntax vim`',
            "if exists('b:current_syntax') | finish | endif",
            "syntax case match",
            rf"syntax match cnnWord /\<{name}/ contained",
            rf"syntax match cnnBlockCall /\%(^\|[;{{}}]\)\s*\%({name}\s*:\s*\)\?\zs{name}/",
            rf"syntax match cnnKey /\<{name}\ze\s*=/",
            r"syntax match cnnLabel /\%(^\|[;{}]\)\s*\zs[A-Za-z_]\w*\ze\s*:/",
            f"syntax keyword cnnStatement {' '.join(STATEMENTS)}",
            f"syntax match cnnLayer /{_head(name)}\\%({_vim_any(LAYERS)}\\)\\>/",
            f"syntax match cnnTrain /{_head(name)}\\%({_vim_any(TRAIN)}\\)\\>/",
            f"syntax keyword cnnConstant {' '.join(CONSTANTS)}",
            f"syntax match cnnArgumentWord /[ =]\\zs\\%({_vim_any(words())}\\)\\>\\ze\\%([^=:]\\|$\\)/",
            r"syntax match cnnNumber /\%(\w\|\.\)\@1<!\%(\d\+\%(\.\d*\)\?\|\.\d\+\)\%([eE][+-]\?\d\+\)\?\%([KMG]iB\|[kMG]\)\?\%(\w\|\.\)\@!/",
            r"syntax match cnnShape /\%(\w\|\.\)\@1<!\%(\d\+\|[A-Z][A-Z0-9_]*\)\%(x\%(\d\+\|[A-Z][A-Z0-9_]*\)\)\+\%(\w\|\.\)\@!/",
            r'syntax region cnnString start=/"/ skip=/\\./ end=/"/ oneline',
            "syntax match cnnComment /#.*/ contains=@Spell",
            *(f"highlight default link {group} {to}" for group, to in _VIM_GROUPS.items()),
            "setlocal commentstring=#\\ %s comments=:# shiftwidth=2 expandtab",
            "let b:current_syntax = 'cnn'",
            "",
        ]
    )


_VIM_GROUPS = {
    "cnnStatement": "Keyword",
    "cnnLayer": "Type",
    "cnnTrain": "Statement",
    "cnnBlockCall": "Function",
    "cnnLabel": "Label",
    "cnnKey": "Identifier",
    "cnnConstant": "Constant",
    "cnnArgumentWord": "Special",
    "cnnNumber": "Number",
    "cnnShape": "Number",
    "cnnString": "String",
    "cnnComment": "Comment",
}


def _head(name: str) -> str:
    """What precedes the first word of a statement, as a Vim pattern."""
    return rf"\%(^\|[;{{}}]\)\s*\%({name}\s*:\s*\)\?\zs"


def _vim_any(options: Iterable[str]) -> str:
    return _any(options).replace("|", r"\|")


def emacs() -> str:
    """The Emacs mode, with the language server for Eglot."""

    def regexp(options: Iterable[str], before: str = r"\\_<", after: str = r"\\_>") -> str:
        joined = _any(options).replace("|", r"\\|")
        return f'"{before}\\\\({joined}\\\\){after}"'

    head = r"\\(?:^\\|[;{}]\\)[ \t]*\\(?:[A-Za-z_][A-Za-z0-9_]*[ \t]*:[ \t]*\\)?"
    return "\n".join(
        [
            ";;; cnn-mode.el --- networks for cnnc, written by `cnnc lsp --syntax emacs`  -*- lexical-binding: t -*-",
            "",
            "(defvar cnn-mode-syntax-table",
            "  (let ((table (make-syntax-table)))",
            '    (modify-syntax-entry ?# "<" table)',
            '    (modify-syntax-entry ?\\n ">" table)',
            '    (modify-syntax-entry ?_ "_" table)',
            "    table))",
            "",
            "(defvar cnn-mode-font-lock",
            "  '(",
            f"    ({regexp(STATEMENTS, head)} 1 font-lock-keyword-face)",
            f"    ({regexp(LAYERS, head)} 1 font-lock-type-face)",
            f"    ({regexp(TRAIN, head)} 1 font-lock-builtin-face)",
            '    ("\\\\_<\\\\([A-Za-z_][A-Za-z0-9_]*\\\\)[ \\t]*=" 1 font-lock-variable-name-face)',
            '    ("\\\\(?:^\\\\|[;{}]\\\\)[ \\t]*\\\\([A-Za-z_][A-Za-z0-9_]*\\\\)[ \\t]*:" 1 font-lock-function-name-face)',
            f"    ({regexp(CONSTANTS)} 1 font-lock-constant-face)",
            f"    ({regexp(words())} 1 font-lock-constant-face)))",
            "",
            '(define-derived-mode cnn-mode prog-mode "cnn"',
            '  "Networks for cnnc."',
            '  (setq-local comment-start "# ")',
            "  (setq-local font-lock-defaults '(cnn-mode-font-lock)))",
            "",
            "(add-to-list 'auto-mode-alist '(\"\\\\.cnn\\\\'\" . cnn-mode))",
            "(with-eval-after-load 'eglot",
            '  (add-to-list \'eglot-server-programs \'(cnn-mode "cnnc" "lsp")))',
            "",
            "(provide 'cnn-mode)",
            ";;; cnn-mode.el ends here",
            "",
        ]
    )


SYNTAXES: Mapping[str, Callable[[], str]] = {"textmate": textmate, "vim": vim, "emacs": emacs}
"""The files that `cnnc lsp --syntax` prints."""
