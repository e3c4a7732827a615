"""The highlighters agree with the compiler: its terminals, its layers, its statements."""

from __future__ import annotations

import json
import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from pygments.token import Comment, Error, Keyword, Name, Number, String, Token, _TokenType

from cnnc.diagnostics import Source
from cnnc.editor.completion import _EXPECTED
from cnnc.editor.describe import STATEMENTS
from cnnc.editor.highlighting import FUNCTIONS, LAYERS, SYNTAXES, TRAIN, textmate, vim, words
from cnnc.editor.pygments_lexer import CnnLexer
from cnnc.language.assertions import BUDGETS, TOTALS
from cnnc.language.parse import tokenize
from cnnc.language.resolve import LANGUAGE_STATEMENTS
from cnnc.ops import OPS
from tests.commands import environment, run_in_process
from tests.language.programs import MODELS

KINDS = {"NUMBER": Number, "EXTENT": Number, "STRING": String, "COMMENT": Comment, "LET": Keyword, "BLOCK": Keyword}


def types_at(text: str) -> list[_TokenType]:
    """The type of each character."""
    types: list[_TokenType] = []
    for _, type_, value in CnnLexer().get_tokens_unprocessed(text):
        types += [type_] * len(value)
    return types


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_pygments_has_the_tokens_of_the_compiler(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    types = types_at(text)
    assert len(types) == len(text)
    assert Error not in types
    for token in tokenize(Source("", text)):
        if token.type in KINDS:
            assert all(t in KINDS[token.type] for t in types[token.span.start : token.span.end]), token


def test_pygments_colours_by_what_a_word_is() -> None:
    text = "a: conv w k=3 p=same\nstage 3\ntrain {\n  data digits\n}\nlet x = 2*w\n"
    found = {value: type_ for type_, value in CnnLexer().get_tokens(text)}
    assert found["a"] is Name.Label
    assert found["conv"] is Name.Builtin
    assert found["w"] is Name.Variable
    assert found["k"] is Name.Attribute
    assert found["same"] is Name.Constant
    assert found["stage"] is Name.Function
    assert found["data"] is Keyword.Reserved
    assert Token.Error not in found.values()


@pytest.mark.parametrize("text", ['conv "a', "3y..4", "a: b: c", "[ ( {", "]", "@", "é", "block", "let =", "\r"])
def test_pygments_takes_any_text(text: str) -> None:
    assert "".join(value for _, _, value in CnnLexer().get_tokens_unprocessed(text)) == text


def test_pygments_finds_the_lexer() -> None:
    found = [e.value for e in entry_points(group="pygments.lexers") if e.name == "cnn"]
    if not found:
        pytest.skip("the installed cnnc is older than this lexer")
    assert found == ["cnnc.editor.pygments_lexer:CnnLexer"]


def test_every_layer_and_word_is_in_each_syntax() -> None:
    for syntax in (textmate(), vim(), SYNTAXES["emacs"]()):
        known = set(re.findall(r"\w+", syntax.replace("\\\\|", " ").replace("\\|", " ").replace("|", " ")))
        assert {*OPS, *LAYERS, *TRAIN} <= known
        assert {word for word in words() if word.isidentifier()} <= known


def test_textmate_patterns_are_the_terminals_of_the_grammar() -> None:
    grammar = json.loads(textmate())
    names = {p["name"]: p["match"] for p in grammar["repository"]["values"]["patterns"] if "name" in p}
    number = re.compile(names["constant.numeric.cnn"])
    extent = re.compile(names["constant.numeric.shape.cnn"])
    for path in MODELS:
        text = path.read_text(encoding="utf-8")
        for token in tokenize(Source("", text)):
            for kind, pattern in (("NUMBER", number), ("EXTENT", extent)):
                match = pattern.match(text, token.span.start)
                if token.type == kind:
                    assert match is not None
                    assert match.end() == token.span.end


@pytest.mark.parametrize("name", sorted(SYNTAXES))
def test_the_command_prints_a_syntax(name: str, tmp_path: Path) -> None:
    done = run_in_process(["lsp", "--syntax", name], tmp_path, environment())
    assert done.returncode == 0
    assert done.stdout == SYNTAXES[name]()


def test_every_statement_and_its_keys_are_described() -> None:
    assert set(STATEMENTS) == set(LANGUAGE_STATEMENTS)
    assert set(_EXPECTED["expect"]) == set(TOTALS)
    assert set(_EXPECTED["budget"]) == set(BUDGETS)
    assert FUNCTIONS == ("min", "max", "floor", "ceil", "round")
