"""Pages of `cnnc demo` in Chromium and Firefox: opened from a file, without a network."""

from __future__ import annotations

import base64
import gzip
import io
import json
import math
import unicodedata
from collections.abc import Callable
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cnnc.data import load
from cnnc.data.text import encode, split_words
from cnnc.onnx.run.model_layers import model_layers, observed_tail
from cnnc.onnx.run.session import Session
from tests.browser.bidi import Browser
from tests.browser.conftest import given_runtime
from tests.cli.conftest import run

TOLERANCE = 1e-4
"""The most that a probability may deviate from that of `cnnc predict`."""

Demo = Callable[..., Path]

IDLE = "() => document.body.dataset.runs && !document.body.hasAttribute('aria-busy')"
FAILED = "document.getElementById('status').classList.contains('bad')"


@pytest.fixture(scope="session")
def demo(exported: Path, web_files: object) -> Demo:
    """Writes the page of a run or model in the folder `exported`, once."""
    written: dict[str, Path] = {}

    def page(source: str, *words: str) -> Path:
        if source not in written:
            written[source] = exported / f"demo-{source.replace('/', '-')}.html"
            runtime = ("--runtime", str(given_runtime())) if given_runtime() is not None else ()
            done = run("demo", source, "-o", written[source], *runtime, *words, cwd=exported)
            assert done.returncode == 0, done.stderr
        return written[source]

    return page


def opened(browser: Browser, page: Path) -> None:
    """Opens a page and waits until it has run, and checked, its examples."""
    browser.open(page)
    ready = f"() => ({IDLE})() && document.querySelector('#status').dataset.checked || {FAILED}"
    browser.wait_for(ready)
    count = browser.run("() => document.querySelectorAll('.example').length")
    browser.wait_for("(count) => Number(document.querySelector('#status').dataset.checked) >= count", count)
    assert not browser.run(f"() => {FAILED}"), status(browser)
    assert browser.messages == []


def status(browser: Browser) -> str:
    text: str = browser.run("() => document.getElementById('status').textContent")
    return text


def answer(browser: Browser) -> str:
    browser.wait_for(IDLE)
    text: str = browser.run("() => document.querySelector('.answer').textContent")
    return text


def set_text(browser: Browser, selector: str, text: str) -> None:
    browser.run(
        "(selector, text) => { const e = document.querySelector(selector); e.value = text;"
        " e.dispatchEvent(new Event('input', { bubbles: true })); }",
        selector,
        text,
    )


def shown_probabilities(browser: Browser) -> dict[str, float]:
    """The bars of a classifier: percentages by class."""
    rows = browser.run(
        "() => [...document.querySelectorAll('.bars tr')].map((r) => [...r.cells].map((c) => c.textContent))"
    )
    return {name: float(text.removesuffix(" %")) / 100 for name, _, text in rows}


# --- what a page says about itself


@pytest.mark.parametrize(
    "source",
    ["digits", "digits_int8", "digits_fp16", "pictures", "words", "pairs", "waves", "maps", "coder", "several"],
)
def test_a_page_agrees_with_onnxruntime_on_its_examples(browser: Browser, demo: Demo, source: str) -> None:
    opened(browser, demo(f"{source}.onnx"))
    found = browser.run("() => ({ ...document.getElementById('status').dataset })")
    count = 6 if source in ("words", "pairs", "waves", "maps", "several") else 20
    assert f"{count} examples, " in status(browser)
    assert int(found["checked"]) == count
    assert int(found["wrong"]) == 0
    assert float(found["deviation"]) < TOLERANCE


@pytest.mark.parametrize("model", ["digits", "digits_int8", "digits_fp16"])
def test_the_examples_of_digits_are_answered_as_by_predict(
    browser: Browser, demo: Demo, exported: Path, model: str
) -> None:
    """Also what is shown for each of the 20 examples."""
    opened(browser, demo(f"{model}.onnx"))
    test = load("digits").test
    chosen = np.arange(20) * len(test) // 20
    np.save(exported / "examples.npy", test.images[chosen])
    done = run("predict", f"{model}.onnx", "examples.npy", "--json", "--top", "10", cwd=exported)
    for number, entry in enumerate(json.loads(done.stdout)):
        browser.run("(n) => document.querySelectorAll('.example')[n].click()", number)
        expected = {guess["class"]: guess["probability"] for guess in entry["top"]}
        assert answer(browser).startswith(f"{entry['top'][0]['class']}, ")
        shown = shown_probabilities(browser)
        assert shown.keys() == expected.keys()
        assert all(abs(shown[name] - expected[name]) < 0.0005 + TOLERANCE for name in shown)


def test_a_page_says_so_if_it_deviates(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    """One stored number of an output changed by 0.3."""
    html = demo("digits.onnx").read_text()
    data = json.loads(html.split('id="data">')[1].split("</script>")[0])
    start = html.index(">", html.index('id="blob-examples"')) + 1
    content = bytearray(gzip.decompress(base64.b64decode(html[start : html.index("<", start)])))
    offset = data["examples"]["outputs"][0]["offset"] + 4 * 33
    value = np.frombuffer(content, np.float32, 1, offset) + np.float32(0.3)
    content[offset : offset + 4] = value.tobytes()
    packed = base64.b64encode(gzip.compress(bytes(content))).decode()
    (tmp_path / "changed.html").write_text(html[:start] + packed + html[html.index("<", start) :])
    browser.open(tmp_path / "changed.html")
    browser.wait_for(f"() => ({IDLE})() && {FAILED}")
    browser.wait_for("() => document.querySelector('#status').dataset.checked === '20'")
    assert "20 examples, largest deviation 3e-1" in status(browser)
    assert answer(browser)  # it can be used all the same


def test_a_page_without_a_worker_computes_itself(browser: Browser, demo: Demo, tmp_path: Path) -> None:
    """Where a browser gives a page from a file no worker, or its script fails."""
    html = demo("digits.onnx").read_text()
    first = "serve(new ModelTasks());"
    assert html.count(first) == 1
    (tmp_path / "page.html").write_text(html.replace(first, "throw new Error('no worker');"))
    browser.open(tmp_path / "page.html")
    browser.wait_for("() => document.querySelector('#status').dataset.checked === '20'")
    assert "20 examples, largest deviation " in status(browser)
    assert answer(browser)


# --- inputs

DRAWN = {
    0: [[(140, 50), (90, 80), (70, 140), (90, 210), (140, 235), (190, 210), (210, 140), (190, 80), (140, 50)]],
    1: [[(140, 45), (140, 235)]],
    2: [[(80, 90), (110, 55), (160, 50), (195, 80), (185, 125), (130, 180), (75, 230), (210, 230)]],
    3: [[(80, 65), (140, 45), (190, 75), (175, 120), (130, 138), (185, 155), (200, 200), (150, 235), (80, 220)]],
    5: [[(195, 50), (95, 50), (90, 125), (150, 115), (200, 155), (190, 210), (130, 235), (80, 215)]],
    7: [[(75, 55), (205, 55), (150, 140), (120, 235)]],
}
"""Strokes of digits on the pad of 280 x 280 pixels."""


def draw(browser: Browser, strokes: list[list[tuple[int, int]]], scale: float = 1, left: int = 0) -> None:
    for stroke in strokes:
        points = [(left + scale * x, scale * y) for x, y in stroke]
        dense = [
            (a[0] + (b[0] - a[0]) * i / 4, a[1] + (b[1] - a[1]) * i / 4) for a, b in pairwise(points) for i in range(4)
        ]
        browser.draw([*dense, points[-1]], ".pad")


def test_drawings_are_recognised(browser: Browser, demo: Demo) -> None:
    """By the pointer, wherever on the pad and however large."""
    opened(browser, demo("digits.onnx"))
    right = 0
    for digit, strokes in DRAWN.items():
        for scale, left in ((1, 0), (0.5, 120)):
            browser.run("() => [...document.querySelectorAll('button')].find((b) => b.textContent === 'Clear').click()")
            draw(browser, strokes, scale, left)
            right += answer(browser).startswith(f"{digit},")
    assert right >= 11  # of 12: this network was trained for 3 epochs


def test_the_pen_works_by_keys(browser: Browser, demo: Demo) -> None:
    opened(browser, demo("digits.onnx"))
    browser.run("() => { document.querySelector('.pad').focus(); }")
    up, down, space = "\ue013", "\ue015", " "
    browser.run("() => [...document.querySelectorAll('button')].find((b) => b.textContent === 'Clear').click()")
    browser.run("() => { document.querySelector('.pad').focus(); }")
    browser.press(*[up] * 9, space, *[down] * 18, space)
    assert answer(browser).startswith("1,")


def test_an_image_is_prepared_as_predict_does(browser: Browser, demo: Demo, exported: Path, tmp_path: Path) -> None:
    """A large colour PNG, resized and made grey: the same probabilities as `cnnc predict`."""
    pillow = pytest.importorskip("PIL.Image")
    digit = load("digits").test.images[3, 0]
    grey = np.asarray(pillow.fromarray(digit).resize((61, 47), pillow.Resampling.BICUBIC))
    image = np.stack([grey, 255 - grey // 2, grey // 3], -1)
    pillow.fromarray(image).save(tmp_path / "digit.png")
    opened(browser, demo("digits.onnx"))
    browser.set_files("input[type=file]", tmp_path / "digit.png")
    browser.wait_for("() => document.querySelector('#inputs .note[role=status]').textContent")
    answer(browser)
    shown = shown_probabilities(browser)
    done = run("predict", "digits.onnx", tmp_path / "digit.png", "--json", "--top", "10", cwd=exported)
    expected = {guess["class"]: guess["probability"] for guess in json.loads(done.stdout)[0]["top"]}
    assert all(abs(shown[name] - expected[name]) < 0.0005 + TOLERANCE for name in expected)
    assert "digit.png: resized from 61×47 to 8×8" in browser.run("() => document.body.textContent")


def test_a_sentence_is_classified_as_by_predict(browser: Browser, demo: Demo, exported: Path) -> None:
    opened(browser, demo("words.onnx"))
    for sentence in ("A funny film that shines.", "dull, slow & cold: that film DRAGS", "unknown words only"):
        set_text(browser, "textarea", sentence)
        answer(browser)
        done = run("predict", "words.onnx", "--text", sentence, "--json", cwd=exported)
        expected = {guess["class"]: guess["probability"] for guess in json.loads(done.stdout)[0]["top"]}
        shown = shown_probabilities(browser)
        assert all(abs(shown[name] - expected[name]) < 0.0005 + TOLERANCE for name in expected)
    assert "not in the vocabulary: unknown, words, only" in browser.run("() => document.body.textContent")


def test_a_series_is_pasted_chosen_and_drawn(browser: Browser, demo: Demo, exported: Path, tmp_path: Path) -> None:
    opened(browser, demo("waves.onnx"))
    wave = np.sin(np.arange(24) * 0.9 + 1).astype(np.float32)
    np.save(tmp_path / "wave.npy", wave[None])
    (tmp_path / "wave.csv").write_text("fast," + ",".join(f"{v:.6f}" for v in wave) + "\n")
    done = run("predict", "waves.onnx", tmp_path / "wave.npy", "--json", cwd=exported)
    expected = {guess["class"]: guess["probability"] for guess in json.loads(done.stdout)[0]["top"]}

    def agrees() -> bool:
        answer(browser)
        shown = shown_probabilities(browser)
        return all(abs(shown[name] - expected[name]) < 0.0006 for name in expected)

    set_text(browser, "textarea", " ".join(map(str, wave)))
    assert agrees()
    for name in ("wave.npy", "wave.csv"):
        browser.run("() => [...document.querySelectorAll('button')].find((b) => b.textContent === 'Flat').click()")
        assert not agrees()
        runs = browser.run("() => Number(document.body.dataset.runs)")
        browser.set_files("input[type=file]", tmp_path / name)
        browser.wait_for("(before) => Number(document.body.dataset.runs) > before", runs)  # the file is read meanwhile
        assert agrees()
    before = shown_probabilities(browser)
    browser.draw([(20, 180), (80, 20), (200, 20)], ".plot")
    answer(browser)
    assert shown_probabilities(browser) != before
    set_text(browser, "textarea", "1, 2, three")
    assert "expected numbers, found “three”" in browser.run("() => document.getElementById('inputs').textContent")


def test_several_inputs_and_outputs(browser: Browser, demo: Demo) -> None:
    """A control for each input, an image, numbers and classes as outputs; a slider changes them."""
    opened(browser, demo("several.onnx"))
    outputs = "() => [...document.querySelectorAll('.output')].map((o) => o.dataset.output)"
    assert browser.run(outputs) == ["pixels", "sums", "kind"]
    assert browser.run("() => document.querySelectorAll('.control').length") == 2
    assert browser.run("() => document.querySelectorAll('.slider input[type=range]').length") == 4
    assert browser.run("() => document.querySelector('.output canvas').width") == 8
    before = answer(browser)
    set_text(browser, ".slider input[type=number]", "5")
    assert answer(browser) != before
    assert browser.run("() => document.querySelector('.slider input[type=range]').value") != "5"  # beyond its end


def test_an_autoencoder_and_a_segmentation_show_images(browser: Browser, demo: Demo) -> None:
    opened(browser, demo("coder.onnx"))
    pixels = "() => { const c = document.querySelector('.output canvas'); return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data].filter((_, i) => i % 4 === 0); }"
    first = browser.run(pixels)
    assert len(first) == 64
    browser.run("() => document.querySelectorAll('.example')[3].click()")
    answer(browser)
    assert browser.run(pixels) != first
    browser.messages.clear()
    opened(browser, demo("maps.onnx"))
    assert browser.run("() => document.querySelectorAll('.legend li').length") in (1, 2, 3)
    shares = browser.run("() => [...document.querySelectorAll('.legend li')].map((e) => e.textContent)")
    assert abs(sum(float(text.split()[-2]) for text in shares) - 100) < 0.3


# --- layers


def test_every_layer_is_shown_and_a_unit_explained(browser: Browser, demo: Demo) -> None:
    """Feature maps of the size of their layer; a click on a unit of a convolution shows window, kernel and sum."""
    opened(browser, demo("run"))
    names = browser.run("() => [...document.querySelectorAll('#layers .card h3')].map((h) => h.textContent)")
    assert names == ["input1", "bn1", "relu1", "bn2", "relu2", "pool1", "bn3", "relu3", "fc1", "softmax1"]
    table = browser.run("() => [...document.querySelectorAll('#layers tfoot td')].map((c) => c.textContent)")
    assert table[-1] == "913,408"
    for number, operator in ((1, "Conv"), (5, "MaxPool"), (8, "Gemm")):
        card = f"#layer-{number}"
        browser.run("(card) => document.querySelector(card).scrollIntoView()", card)
        browser.wait_for("(card) => document.querySelector(`${card} canvas`).width > 1", card)
        browser.run(
            "(card) => { const c = document.querySelector(`${card} canvas`), b = c.getBoundingClientRect();"
            " c.dispatchEvent(new MouseEvent('click', { clientX: b.left + 5, clientY: b.top + 5, bubbles: true })); }",
            card,
        )
        text = browser.wait_for("(card) => document.querySelector(`${card} .unit`).textContent", card)
        here, there = text.split("computed here ")[1].replace("−", "-").split(", by onnxruntime ")
        assert math.isclose(float(here), float(there), rel_tol=1e-4, abs_tol=1e-5), (operator, text)
    assert browser.run("() => document.querySelectorAll('.unit:not(:empty)').length") == 1


def test_units_are_chosen_by_keys_and_numbers(browser: Browser, demo: Demo) -> None:
    opened(browser, demo("run"))
    browser.run("() => { const c = document.querySelector('#layer-1 canvas'); c.scrollIntoView(); c.focus(); }")
    browser.wait_for("() => document.querySelector('#layer-1 canvas').width > 1")
    title = "() => document.querySelector('#layer-1 h4')?.textContent"
    browser.press("\ue014")
    browser.wait_for(title)
    browser.press("\ue014", "\ue015", "\ue00f")  # right, down, page down
    browser.wait_for(f"() => ({title})().includes('channel 1, row 1, column 1')")
    browser.run(
        "() => { const b = document.querySelector('#layer-1 input[data-axis=\"0\"]'); b.value = 99;"
        " b.dispatchEvent(new Event('change')); }"
    )
    browser.wait_for(f"() => ({title})().includes('channel 31, row 1, column 1')")


# --- for everyone


@pytest.mark.parametrize("source", ["digits.onnx", "words.onnx", "waves.onnx", "several.onnx", "maps.onnx"])
def test_a_page_fits_a_phone(browser: Browser, demo: Demo, source: str) -> None:
    """Nothing but tables, windows and the row of examples is wider than the page; buttons are large enough for fingers."""
    browser.set_size(360, 640)
    opened(browser, demo(source))
    assert browser.run("() => document.documentElement.scrollWidth <= innerWidth")
    heights = "() => [...document.querySelectorAll('#inputs button')].map((b) => b.getBoundingClientRect().height)"
    assert min(browser.run(heights), default=38) >= 38


@pytest.mark.parametrize("source", ["digits.onnx", "words.onnx", "waves.onnx", "several.onnx", "any.cnn"])
def test_every_control_has_a_name(browser: Browser, demo: Demo, exported: Path, source: str) -> None:
    """Of what can be reached by keys, and of each canvas that is not decoration; ids are unique."""
    write_any(exported)
    opened(browser, demo(source))
    nameless = """() => [...document.querySelectorAll('button, input, select, textarea, canvas, [tabindex="0"]')]
      .filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-hidden') || e.labels?.length
        || (e.tagName === 'BUTTON' && e.textContent.trim()))).map((e) => e.outerHTML.slice(0, 80))"""
    assert browser.run(nameless) == []
    twice = "() => { const ids = [...document.querySelectorAll('[id]')].map((e) => e.id); return ids.length - new Set(ids).size; }"
    assert browser.run(twice) == 0
    levels = browser.run("() => [...document.querySelectorAll('h1, h2, h3, h4')].map((e) => Number(e.tagName[1]))")
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


# --- untrusted and foreign models


def write_any(folder: Path) -> None:
    """A network of symbolic sizes, any.cnn."""
    source = "input 3xHxW\nconv 4 k=3 s=2 p=1\nrelu\nconv 2 k=3 p=1\nglobal_pool avg\nfc 3\nsoftmax\n"
    (folder / "any.cnn").write_text(source)


def save_model(
    path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, tuple[int, list[Any]]], outputs: dict[str, list[Any]]
) -> None:
    weights = {"w": np.linspace(-1, 1, 18, dtype=np.float32).reshape(3, 6), "b": np.ones(3, np.float32)}
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


HOSTILE = [
    "<img src=x onerror=\"document.title='hacked'\">",
    "</script><script>document.title='hacked'</script>",
    "\"'&quot;\u2028\u2029<!--",
]


def test_hostile_names_stay_text(browser: Browser, demo: Demo, exported: Path) -> None:
    source, scores, output = HOSTILE
    nodes = [
        helper.make_node("Gemm", [source, "w", "b"], [scores], transB=1),
        helper.make_node("Softmax", [scores], [output], axis=1),
    ]
    path = exported / "hostile.onnx"
    save_model(path, nodes, {source: (TensorProto.FLOAT, ["N", 6])}, {output: ["N", 3]})
    model = onnx.load(path)
    facts = {"name": HOSTILE[1], "classes": HOSTILE, "outputs": {output: {"kind": "classes", "named": True}}}
    helper.set_model_props(model, {"cnnc.facts": json.dumps(facts)})
    onnx.save(model, path)
    opened(browser, demo("hostile.onnx"))
    assert browser.run("() => document.title") == HOSTILE[1]
    assert browser.run("() => document.querySelectorAll('img').length") == 0
    assert browser.run("() => [...document.querySelectorAll('.bars th')].map((e) => e.textContent)") == HOSTILE
    names = browser.run("() => [...document.querySelectorAll('#layers .card h3')].map((e) => e.textContent)")
    assert names == HOSTILE
    browser.run("() => document.querySelector('#layer-1').scrollIntoView()")
    browser.wait_for("() => document.querySelector('#layer-1 canvas').width > 1")
    browser.run(
        "() => document.querySelector('#layer-1 canvas').dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter' }))"
    )
    assert scores in browser.wait_for("() => document.querySelector('#layer-1 h4')?.textContent")
    assert browser.run("() => document.title") == HOSTILE[1]


def test_a_foreign_model_with_a_fixed_batch(browser: Browser, demo: Demo, exported: Path) -> None:
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"], transB=1), helper.make_node("Tanh", ["y"], ["z"])]
    save_model(exported / "fixed.onnx", nodes, {"x": (TensorProto.FLOAT, [4, 6])}, {"z": [4, 3]})
    opened(browser, demo("fixed.onnx"))
    assert "3 random inputs, " in status(browser)
    assert browser.run("() => document.querySelectorAll('.output .bars tr').length") == 3


def test_a_page_of_symbolic_sizes_takes_an_image_of_any(
    browser: Browser, demo: Demo, exported: Path, tmp_path: Path
) -> None:
    pillow = pytest.importorskip("PIL.Image")
    write_any(exported)
    opened(browser, demo("any.cnn"))
    pillow.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(tmp_path / "image.png")
    browser.set_files("input[type=file]", tmp_path / "image.png")
    browser.wait_for("() => document.querySelector('#inputs .note[role=status]').textContent === 'image.png'")
    answer(browser)
    assert browser.run("() => document.querySelector('#layers td.right').textContent") == "3×20×30"


# --- parts of the scripts


def static(*names: str) -> str:
    """Scripts of the page as the body of a function."""
    return "\n".join(files("cnnc.view.demo").joinpath("static", f"{name}.js").read_text() for name in names)


ODD_TEXTS = [
    "It's good.",
    "Don’t 'quote' it''s a'b'c ' '' a' 'b",
    "naïve CAFÉ Straße İstanbul ΣΟΦΟΣ ΑΣ. ﬁn",
    "x²+y₂ ½ Ⅷ ٣ 一二三 日本語テキスト",
    "under_score -- em—dash … ellipsis…",
    "tab\tnew\nline\x1c\x1f\x85\u2028\ufeffbom\u200bzero",
    "e\u0301 combining a\u0308 \u094d नमस्ते ก็",
    "emoji 😀👩‍👩‍👧 🇩🇪 #hash @at $5.00 100% a&b",
    "ǅ ŉ ß ẞ Ǆ Ω K Å \u00aa\u00ba \u2160",
    "",
    "   ",
    "a\u00a0b\u1680c\u2003d\u3000e\u180ef",
]


def test_sentences_are_split_as_in_python(browser: Browser) -> None:
    """All characters too, up to those that this Python's version of Unicode does not know."""
    known = [chr(n) for n in range(0x20000) if unicodedata.category(chr(n)) not in ("Cn", "Cs")]
    texts = [*ODD_TEXTS, *("".join(known[n : n + 64]) for n in range(0, len(known), 64))]
    found = browser.run(
        "(source, texts) => texts.map(new Function(`${source}; return splitWords;`)())", static("words"), texts
    )
    for text, words in zip(texts, found, strict=True):
        assert words == list(split_words(text)), ascii(text)
    numbers = {"a": 2, "b": 3}
    source = static("words")
    encoded = browser.run(
        "(source, words, known) => new Function(`${source}; return encodeWords;`)()(words, new Map(known), 5)",
        source,
        ["b", "zebra", "a"],
        list(numbers.items()),
    )
    assert encoded == encode([("b", "zebra", "a")], numbers, 5)[0].tolist()


@pytest.mark.parametrize(
    ("size", "target"), [((47, 61), (28, 28)), ((5, 7), (8, 8)), ((300, 200), (10, 3)), ((8, 8), (8, 20))]
)
def test_images_are_resized_as_by_pillow(browser: Browser, size: tuple[int, int], target: tuple[int, int]) -> None:
    """Byte for byte, in colour and in grey."""
    from cnnc.data.image_file import decode_image

    pillow = pytest.importorskip("PIL.Image")
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    stream = io.BytesIO()
    pillow.fromarray(image).save(stream, "PNG")
    for channels in (1, 3):
        expected = decode_image(stream.getvalue(), (channels, *target)).pixels
        found = browser.run(
            "(source, image, channels, height, width) => { const f = new Function(`${source}; return (image, channels, height, width) =>"
            " [...planes(resized(channels === 1 ? grey(image) : image, width, height))];`)(); image.pixels = Uint8Array.from(image.pixels);"
            " return f(image, channels, height, width); }",
            static("elements", "images"),
            {"width": size[1], "height": size[0], "channels": 3, "pixels": image.ravel().tolist()},
            channels,
            *target,
        )
        assert found == expected.ravel().tolist()


def test_float16_is_read_and_written_as_by_numpy(browser: Browser) -> None:
    numbers = np.random.default_rng(0).standard_normal(500) * 10.0 ** np.arange(-250, 250).clip(-10, 5).repeat(1)[:500]
    numbers = np.concatenate([numbers, [0, 65504, 65519.9, 65520, 1e9, 6e-8, 2.9e-8, 3e-8, 1 + 2**-11, 1 + 3 * 2**-11]])
    with np.errstate(over="ignore"):
        halves = numbers.astype(np.float16).view(np.uint16)
    source = static("bytes")
    found = browser.run("(s, n) => n.map(new Function(`${s}; return numberToHalf;`)())", source, numbers.tolist())
    assert found == halves.tolist()
    every = list(range(0x7C00))
    read = browser.run("(s, n) => n.map(new Function(`${s}; return halfToNumber;`)())", source, every)
    assert read == np.array(every, np.uint16).view(np.float16).astype(float).tolist()


LAYERS = {
    "convolutions": """
input 4x9x10
conv 6 k=3 s=2 p=1 bias=false
conv 6 k=3x2 d=2 groups=2 p=2
conv 4 k=1
conv_transpose 6 k=3 s=2 p=1
conv_transpose 4 k=2 groups=2
conv 3 k=3 p=same s=2
""",
    "pools": """
input 4x9x10
pool max k=3 s=2 p=1
relu
pool avg k=3 s=1 p=1 count_pad=true
sigmoid
pool avg k=2 s=2 ceil=true
tanh
leaky_relu
elu
softplus
global_pool avg
flatten
fc 5
log_softmax
""",
    "series": "input 2x30\nconv 4 k=5 p=2 s=2\nrelu\npool max k=2\nconv 3 k=3\nglobal_pool max\n",
    "volumes": "input 1x4x6x6\nconv 2 k=2x3x3 p=1\npool max k=1x2x2\nconv 2 k=3 p=1\nglobal_pool avg\n",
    "joined": """
input 4x6x6
start: conv 4 k=3 p=1
a: conv 4 k=1
from start
b: relu
add a b
lrn
sum: identity
from sum
c: conv 2 k=1
concat sum c
fc 6
fc 4
softmax
""",
    "moved": """
input 8x6x8
relu6
prelu
selu
pad 1
depth_to_space 2
space_to_depth 2
upsample 2
crop 9x9
channel_shuffle 4
slice 1 7
scale 3
instance_norm
abs
layer_norm
flatten
fc 7
start: fc 8
maxout 2
left: affine
from start
right: silu
bilinear left right out=3
""",
}


@pytest.mark.parametrize("name", LAYERS)
def test_units_come_out_as_in_onnxruntime(browser: Browser, tmp_path: Path, name: str) -> None:
    """Every layer, three units of each: what the page computes from the layer's inputs and weights."""
    path = write_model(tmp_path, LAYERS[name])
    model = onnx.load(path)
    layers = model_layers(model)
    session = Session(path.read_bytes() + observed_tail(model, layers), name, "cpu", optimize=False)
    random = np.random.default_rng(1)
    feeds = {k: random.standard_normal((1, *(s.fixed or ()))).astype(np.float32) for k, s in session.inputs.items()}
    tensors: dict[str, NDArray[Any]] = dict(zip(session.outputs, session.run(feeds), strict=True)) | feeds
    tensors |= {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    constants = {name for layer in layers for name in layer.constants}
    data = {
        name: {"numbers": t.ravel().tolist(), "dims": list(t.shape if name in constants else t.shape[1:])}
        for name, t in tensors.items()
    }
    asked: list[tuple[dict[str, Any], list[int]]] = []
    expected: list[float] = []
    for layer in layers:
        output = tensors[layer.name][0]
        for _ in range(3):
            index = [int(random.integers(size)) for size in output.shape]
            described = {**layer._asdict(), "attributes": dict(layer.attributes), "dims": list(output.shape)}
            asked.append((described, index))
            expected.append(float(output[tuple(index)]))
    found = browser.run(
        "(source, data, asked) => { const f = new Function(`${source}; return explainUnit;`)();"
        " return asked.map(([layer, index]) => { const e = f(layer, index, data); return [e.result, e.says ?? e.kind]; }); }",
        static("elements", "indices", "arithmetic"),
        data,
        asked,
    )
    for (asked_layer, index), (result, says), value in zip(asked, found, expected, strict=True):
        assert result is not None, (asked_layer["operator"], says)
        assert math.isclose(result, value, rel_tol=1e-4, abs_tol=1e-5), (asked_layer["operator"], index, says)


def test_what_is_not_taken_apart_is_said(browser: Browser) -> None:
    layer = {
        "name": "y",
        "operator": "LSTM",
        "inputs": ["x", "w", ""],
        "constants": ["w"],
        "attributes": {},
        "dims": [2],
    }
    found = browser.run(
        "(source, layer) => new Function(`${source}; return explainUnit;`)()(layer, [0], { x: { numbers: [1], dims: [1] }, w: { numbers: [1], dims: [1] } })",
        static("elements", "indices", "arithmetic"),
        layer,
    )
    assert found["result"] is None
    assert found["says"] == "LSTM of x; this page does not take it apart."


def write_model(folder: Path, source: str) -> Path:
    from cnnc.network import check
    from cnnc.onnx.emit.verify import random_weights
    from cnnc.onnx.export import export

    network = check(source)
    export(network, random_weights(network.require_graph(), 0), folder / "model.onnx")
    return folder / "model.onnx"


def test_sliders_have_the_names_of_the_columns_of_the_table(browser: Browser, tmp_path: Path) -> None:
    names = ["length", "<b>width</b>", "weight & sign"]
    rows = [f"{n % 2},{n}.5,{n * 2},{n + 7}" for n in range(40)]
    (tmp_path / "beans.csv").write_text("\n".join([",".join(["kind", *names]), *rows]) + "\n")
    source = 'input 3\nfc 2\ntrain { data series "beans.csv" label=kind test=0.2; epochs 1 }\n'
    (tmp_path / "beans.cnn").write_text(source)
    runtime = ("--runtime", str(given_runtime())) if given_runtime() is not None else ()
    for words in (
        ("train", "beans.cnn"),
        ("export", "runs/beans"),
        ("demo", "beans.onnx", "-o", "beans.html", *runtime),
    ):
        done = run(*words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    opened(browser, tmp_path / "beans.html")
    shown = browser.run(
        "() => [...document.querySelectorAll('.slider label, .slider .field')].map((e) => e.textContent)"
    )
    assert [name for name in names if any(name in text for text in shown)] == names, shown
    assert browser.run("() => document.querySelectorAll('.slider b').length") == 0
