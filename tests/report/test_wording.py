"""What cnnc says is plain technical English: no sentence uses a phrase for which the field has a better word.

Checked are all string literals and docstrings of the package (help, messages, explanations), the templates and the
pages of docs/, README and CONTRIBUTING. Comments in the code are not read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tests.paths import DOCS, MODELS, PACKAGE, ROOT
from tests.syntax_trees import tree_of

INSTEAD = {
    r"\b(a|an|one|each|every) [a-z]+ an? (line|layer|channel|axis|epoch|step|image|picture|sample|file|row|class|second)\b": (
        "`one layer per line`, `per channel`"
    ),
    r"(?<![Tt]here )\bis no (?!longer|larger|more|less)": "`is not a ...`",
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\bparted by\b": "separated by",
    r"\b(go|goes|going) on with\b": "resume",
    r"\bstrangers?\b": "an untrusted file",
    r"\bdefect of cnnc\b": "internal error (please report it)",
    r"\bvalues? (of [^.]* )?at once\b": "peak activation memory",
    r"\bhardly meant\b": "probably unintended",
    r"\bline of descent\b": "branch, chain of layers",
    r"\bis put upon\b": "the layer's input",
    r"\bworker process[^.]* is gone\b": "training worker process died",
    r"\bnothing is fed to\b": "no value given for input x",
    r"\bcloses a circle\b": "circular include",
    r"\bto the (same|last) bits?\b": "bit-identical",
    r"\bnetwork's text\b|\btext of (the|a) network\b": "source",
    r"\bclaims?\b|(?<!`)\bcontracts?\b(?!\.)": "assertion",
    r"(?<![`^])\bpictures?\b(?![`:$]| \(an image\))": "image",  # `picture` is a value in the metadata of models
    r"\bso many\b": "N",
}
DRAWN = r"picture of the packages|packages? picture|this picture|`?<!-- packages|^cnnc/view/|^cnnc/(cli|api)/(draw|inspect|picture)|`view`"
"""Pictures that cnnc draws, not images that a network sees."""


def strings() -> Iterator[tuple[str, str]]:
    """Every text that is checked, with where it stands."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "picture":
                yield f"{path.relative_to(ROOT)}:{node.lineno}", node.value
    pages = [
        *DOCS.rglob("*.md"),
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *PACKAGE.rglob("*.toml"),
        *MODELS.glob("*.cnn"),
    ]
    for path in sorted(pages):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            yield f"{path.relative_to(ROOT)}:{number}", line


def places(phrase: str, texts: list[tuple[str, str]]) -> list[str]:
    """Where the texts use a phrase, with what stands around it."""
    hits = [
        f"{place}: ...{text[max(0, m.start() - 40) : m.end() + 40]}..."
        for place, text in texts
        for m in re.finditer(phrase, text)
    ]
    return [hit for hit in hits if not re.search(DRAWN, hit)] if INSTEAD[phrase] == "image" else hits


def test_no_sentence_uses_a_phrase_for_which_there_is_a_better_word() -> None:
    texts = [(place, re.sub(r"\s+", " ", text)) for place, text in strings()]
    hits = [f"say {better} instead: {hit}" for phrase, better in INSTEAD.items() for hit in places(phrase, texts)]
    assert not hits, "\n".join(hits)


def test_the_phrases_are_found() -> None:
    """Else the test above would pass on anything."""
    sentence = "A layer a line: it is no number, hardly meant, and mended by a defect of cnnc to the same bits."
    found = [phrase for phrase in INSTEAD if re.search(phrase, sentence, re.IGNORECASE)]
    assert len(found) == 6
