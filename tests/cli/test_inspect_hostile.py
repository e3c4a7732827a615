"""`cnnc inspect`: names of classes, layers, words and files stay text in every part of the report; many classes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from cnnc.api.inspect.data import Inspection
from cnnc.api.inspect.options import InspectOptions
from cnnc.api.inspect.report import _parts, document_of
from cnnc.cli.inspect_files import write_document
from cnnc.data.dataset import Dataset, Split
from cnnc.network import Network, check
from cnnc.training.trained import TrainedNetwork, untrained
from tests.cli.conftest import run

BAD = (
    "<script>alert(1)</script>",
    "\"'&amp;<img src=http://a.example/x onerror=alert(1)>",
    "\u202e\u2066evil\u2069",
    "n" * 200,
)


class Reader(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def read(path: Path) -> Reader:
    """The page, after checks that it runs and loads nothing."""
    page = path.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(page)
    assert not reader.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base"}
    assert not [a for a in reader.attributes if a[0].startswith("on") or (a[0] == "style" and "url" in a[1])]
    links = [value for name, value in reader.attributes if name in ("href", "src", "xlink:href", "action", "data")]
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    assert not re.search(r"@import|url\((?!#)", page)
    assert not re.search("[\u202a-\u202e\u2066-\u2069\x00-\x08\x0b\x0c\x0e-\x1f]", page)
    return reader


SOURCE = """net Bad
input 1x10x10
c: conv 3 k=3
r: relu
p: pool max k=2
f: fc 4
s: softmax
train { data npz "none.npz"; epochs 1 }
"""


def renamed(network: Network, names: dict[str, str]) -> TrainedNetwork:
    """The untrained network with other names of its layers."""
    trained = untrained(network)
    graph = trained.graph
    nodes = tuple(n.replace(name=names[n.name], inputs=tuple(names[i] for i in n.inputs)) for n in graph.nodes)
    graph = graph.replace(name=BAD[0], nodes=nodes, outputs=tuple(names[name] for name in graph.outputs))
    weights = {
        f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": array for key, array in trained.weights.items()
    }
    return TrainedNetwork(network.replace(name=BAD[0], graph=graph), weights, (), BAD[0], BAD)


@pytest.mark.long
def test_names_stay_text_in_every_part(tmp_path: Path) -> None:
    network = check(SOURCE)
    names = {node.name: f"{node.name}{BAD[i % 4]}" for i, node in enumerate(network.require_graph().nodes)}
    subject = renamed(network, names)
    random = np.random.default_rng(0)
    split = Split((random.random((30, 1, 10, 10), np.float32),), (random.integers(0, 4, 30),))
    options = InspectOptions(
        Path(BAD[0]),
        example=0,
        maximize=(names["f"],),
        deconv=(names["c"],),
        why=True,
        mistakes=True,
        shift="0..2",
    )
    inspection = Inspection(options, subject, Dataset(BAD[1], BAD, split, split))
    sections = [section for part in _parts(options) for section in part(inspection)]
    assert [section.name for section in sections] == [
        "kernels",
        "maps",
        "why",
        "maximize",
        "deconv",
        "mistakes",
        "shift",
        "histograms",
    ]
    out = tmp_path / "x.html"
    document = document_of(subject, Path(BAD[0]), sections)
    write_document(document, Path(BAD[0]), out, tmp_path / "files", False)
    text = "".join(read(out).texts)
    assert BAD[0] in text
    assert "<img src=http://a.example/x onerror=alert(1)>" in text
    files = list((tmp_path / "files").iterdir())
    assert len(files) >= 8
    for path in files:
        assert re.fullmatch(r"[\w.=()-]+\.svg", path.name, re.ASCII)
        drawn = ElementTree.fromstring(path.read_text(encoding="utf-8"))
        links = [v for e in drawn.iter() for k, v in e.attrib.items() if k.rpartition("}")[2] in ("href", "src")]
        assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
        assert not [e for e in drawn.iter() if e.tag.rpartition("}")[2] in ("script", "img", "foreignObject")]
        assert not re.search(r"@import|url\((?!#)", path.read_text(encoding="utf-8"))


def test_hostile_labels_of_a_file_stay_text(tmp_path: Path) -> None:
    labels = [BAD[0], "\"quoted\" & 'more' <b>", "שלום", "w" * 200]
    t = np.arange(24)
    with (tmp_path / "s.tsv").open("w", encoding="utf-8") as file:
        for i in range(80):
            wave = np.sin(t * (0.2 + 0.3 * (i % 4)) + i)
            file.write("\t".join([labels[i % 4], *(f"{v:.3f}" for v in wave)]) + "\n")
    (tmp_path / "n.cnn").write_text(
        "net N\ninput 1x24\nconv 4 k=5\nrelu\nglobal_pool max\nfc 4\nsoftmax\n"
        'train { data series "s.tsv" test=0.5; epochs 1 }\n'
    )
    words = ("--example", "0", "--why", "--maximize", "fc1", "--deconv", "conv1", "--mistakes", "--shift", "0..2")
    done = run("inspect", "n.cnn", *words, "-o", "x.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    text = "".join(read(tmp_path / "x.html").texts)
    for label in labels[:3]:
        assert label in text


def test_forty_classes_list_their_largest_confusions(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    x, y = random.random((200, 1, 8, 8), np.float32), random.integers(0, 40, 200)
    np.savez(tmp_path / "d.npz", x=x, y=y, x_test=x[:120], y_test=y[:120])
    (tmp_path / "n.cnn").write_text(
        'net N\ninput 1x8x8\nconv 8 k=3\nrelu\nfc 40\nsoftmax\ntrain { data npz "d.npz"; epochs 1 }\n'
    )
    done = run("inspect", "n.cnn", "--mistakes", "--json", "-o", "x.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)["mistakes"]
    assert len(result["confusion"]) == 40
    assert sum(map(sum, result["confusion"])) == result["total"] == 120
    wrong = [(n, i, j) for i, row in enumerate(result["confusion"]) for j, n in enumerate(row) if i != j and n]
    text = "".join(read(tmp_path / "x.html").texts)
    assert f"The largest confusions: 30 of {len(wrong):,}" in text
    n, i, j = max(wrong, key=lambda each: (each[0], -each[1], -each[2]))
    page = (tmp_path / "x.html").read_text()
    first = re.search(r"<h3>The largest confusions.*?<tbody>\n<tr>(.*?)</tr>", page, re.DOTALL)
    assert first
    assert re.findall(r"<td[^>]*>([^<]*)</td>", first[1])[:3] == [str(i), str(j), str(n)]
    assert len(re.findall(r"<tr>", page[page.index("Recall, precision and F1") :].partition("</table>")[0])) == 41


def test_mistakes_of_a_network_of_words_show_the_sentences(deployed: Path, tmp_path: Path) -> None:
    done = run(
        "inspect", deployed / "words.cnn", "--mistakes", "--json", "-o", "x.html", "--data", deployed, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    listed = json.loads(done.stdout)["mistakes"]["mistakes"]
    assert listed  # the network is not trained
    page = (tmp_path / "x.html").read_text()
    table = page[page.index("The most confident wrong answers") :].partition("</table>")[0]
    rows = re.findall(r"<tr>(.*?)</tr>", table)[1:]
    assert len(rows) == len(listed)
    for row, answer in zip(rows, listed, strict=True):
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
        assert cells[0] == str(answer["example"])
        assert {cells[1], cells[3]} == {"neg", "pos"}
        assert set(cells[5].split()) <= {"a", "fine", "warm", "funny", "film", "that", "shines", "dull", "cold", "slow", "drags"} | {"."}  # fmt: skip
        assert "&lt;pad&gt;" not in cells[5]


@pytest.mark.parametrize("text", ["<script>alert(1)</script> fine film", '" onmouseover=alert(1) x="'])
def test_a_hostile_sentence_stays_text(deployed: Path, tmp_path: Path, text: str) -> None:
    words = ("--text", text, "--why", "--data", deployed)
    done = run("inspect", deployed / "words", *words, "-o", "x.html", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert text in "".join(read(tmp_path / "x.html").texts)
