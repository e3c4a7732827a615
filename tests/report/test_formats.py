"""Formats of diagnostics, and HTML: valid whatever the source contains."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest

from cnnc.diagnostics import CnncError, Diagnostic, Note, Source, Span, render
from cnnc.network import check
from cnnc.report.diagnostics import FORMATS

BROKEN = 'net "<b>&"\ninput 1x8x8\nconv 4 kk=3 # 100%, a:b\npool mx k=2\nfc 10\n'
WARNED = "input 1x8x8\nconv 4 k=3 s=2\nfc 10\n"


def found(text: str, name: str = "net.cnn") -> tuple[Diagnostic, ...]:
    return check(text, name).diagnostics


class Balanced(HTMLParser):
    """Opens and closes every tag in order, and gathers the text."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def text_of(html: str) -> str:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert not parser.open
    return "".join(parser.text)


# --- one line each ---------------------------------------------------------------------------------------------


def test_concise() -> None:
    lines = FORMATS["concise"](found(BROKEN)).splitlines()
    assert lines == [
        "net.cnn:3:8: E201 conv has no argument `kk`",
        "net.cnn:4:6: E203 pool: KIND takes max, avg, l2, lp or weighted, not the word `mx`",
    ]
    with pytest.raises(CnncError) as caught:
        check("input 1x8x8", settings=["nonsense"])
    assert FORMATS["concise"](caught.value.diagnostics).startswith("error: E010 ")


def test_json() -> None:
    first, second = json.loads(FORMATS["json"](found(BROKEN)))
    assert list(first) == [
        *("code", "severity", "file", "line", "column", "end_line", "end_column"),
        *("message", "label", "help", "edits", "related", "calls"),
    ]
    assert (first["code"], first["severity"], first["file"]) == ("E201", "error", "net.cnn")
    assert (first["line"], first["column"], first["help"]) == (3, 8, "did you mean `k`?")
    assert second["line"] == 4


def test_json_carries_edits_other_ranges_and_calls() -> None:
    text = "block a(w) { pool max k=2; conv w kk=3 }\nblock b { a 4 }\ninput 1x8x8\nb\nconv 4 k=3 kernel=5"
    inner, twice = json.loads(FORMATS["json"](found(text)))
    place = {"file": "net.cnn", "line": 1, "column": 35, "end_line": 1, "end_column": 37}
    assert inner["edits"] == [{**place, "text": "k"}]
    assert [(call["line"], call["column"], call["label"]) for call in inner["calls"]] == [
        (4, 1, "block b"),
        (2, 11, "block a"),
    ]
    assert [(n["line"], n["column"], n["end_column"], n["label"]) for n in twice["related"]] == [
        (5, 8, 11, "first given here")
    ]
    assert twice["calls"] == []


def test_sarif_carries_edits_and_other_ranges() -> None:
    document = json.loads(FORMATS["sarif"](found("block a { conv 4 kk=3 }\ninput 1x8x8\na\n")))
    (result,) = document["runs"][0]["results"]
    (fix,) = result["fixes"]
    (replacement,) = fix["artifactChanges"][0]["replacements"]
    assert replacement["deletedRegion"] == {"startLine": 1, "startColumn": 18, "endLine": 1, "endColumn": 20}
    assert replacement["insertedContent"] == {"text": "k"}
    assert [location["message"]["text"] for location in result["relatedLocations"]] == ["block a"]


# --- GitHub ----------------------------------------------------------------------------------------------------


def test_github() -> None:
    lines = FORMATS["github"](found(BROKEN)).splitlines()
    form = r"::(error|warning|notice) (file=[^,:]+,line=\d+,col=\d+,endColumn=\d+,)?title=[EW]\d{3}::.+"
    assert len(lines) == 2
    assert all(re.fullmatch(form, line) for line in lines)
    assert lines[0] == (
        "::error file=net.cnn,line=3,col=8,endColumn=10,title=E201::conv has no argument `kk`%0Ahelp: did you mean `k`?"
    )
    assert FORMATS["github"](found(WARNED)).startswith("::warning file=net.cnn,line=2,")


def test_github_escapes() -> None:
    source = Source("a:b,c%d.cnn", "x\n")
    line = FORMATS["github"]([Diagnostic("E203", "100%\r\n::error::boo", Span(source, 0, 1))])
    assert line == "::error file=a%3Ab%2Cc%25d.cnn,line=1,col=1,endColumn=2,title=E203::100%25%0D%0A::error::boo"
    assert FORMATS["github"]([Diagnostic("E010", "no place")]) == "::error title=E010::no place"


# --- SARIF -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [BROKEN, WARNED, "input 1x8x8\nfc 3\n", "", "("])
def test_sarif(text: str) -> None:
    told = found(text)
    document = json.loads(FORMATS["sarif"](told))
    assert document["version"] == "2.1.0"
    assert document["$schema"].endswith("sarif-2.1.0.json")
    (run,) = document["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "cnnc"
    ids = [rule["id"] for rule in driver["rules"]]
    assert len(ids) == len(set(ids))
    assert len(run["results"]) == len(told)
    for result, diagnostic in zip(run["results"], told, strict=True):
        assert result["ruleId"] in ids
        assert result["level"] in ("error", "warning")
        assert diagnostic.message in result["message"]["text"]
        for location in result.get("locations", ()):
            region = location["physicalLocation"]["region"]
            assert location["physicalLocation"]["artifactLocation"]["uri"] == "net.cnn"
            assert region["startLine"] >= 1
            assert region["endColumn"] > region["startColumn"] >= 1


# --- HTML ------------------------------------------------------------------------------------------------------


def test_the_table_in_a_notebook() -> None:
    html = check('net "<script>alert(1)</script>"\ninput 1x8x8\nconv 4 k=3\n')._repr_html_()
    assert "<script" not in html
    text = text_of(html)
    assert "<script>alert(1)</script>: 40 parameters" in text
    assert html.count("<tr>") == 3
    assert "conv1" in text
    quoted = check('net "a\\" onload=alert(1) b"\ninput 4\nfc 2\n')._repr_html_()
    assert "onload=" not in quoted.replace("&quot; onload=", ""), "a name ends no attribute"


def test_errors_in_a_notebook() -> None:
    network = check(BROKEN.replace("kk", "<i>"))
    html = network._repr_html_()
    assert "<i>" not in html
    assert html.startswith("<pre>")
    assert "<i>" in text_of(html)


def test_control_characters_of_an_untrusted_file_do_not_reach_the_terminal() -> None:
    """They could move the cursor or set colours."""
    told = FORMATS["full"](found('input 1x8x8\nconv 4 k=3 \x1b[31m\x07\nnet "\x9b0m"\n'))
    assert not [c for c in told if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160]


def test_control_characters_of_file_names_do_not_reach_the_terminal() -> None:
    """Those of the file itself, of another file that a note cites, and of one that calls the block."""
    span = Source("a\x1b[31m.cnn", "relu").span(0, 4)
    other = Source("b\u202e.cnn", "block b { relu }; b").span(18, 19)
    told = render(Diagnostic("E106", "twice", span, notes=(Note(other, "first"),), calls=(Note(other, "block b"),)))
    assert "a\N{REPLACEMENT CHARACTER}[31m.cnn:1:1" in told
    assert told.count("b\N{REPLACEMENT CHARACTER}.cnn:1") == 2
    assert not set("\x1b\u202e") & set(told)
