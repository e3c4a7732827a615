"""The example networks: each checks without diagnostics, has the published totals, and is formatted as `cnnc fmt` does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cnnc.diagnostics import Source
from cnnc.language.format import format_text
from cnnc.network import Network, check
from cnnc.report.json import as_dict
from tests.model_files import FILES, LARGE, SMALL, TRAINED, network_of
from tests.paths import MODELS

# Parameters, and multiply-adds where they are published: torchvision's tables for its networks (AlexNet, GoogLeNet,
# ResNet, SqueezeNet, VGG), the papers for LeNet-5 ("60,000 trainable free parameters") and MobileNet ("569 million
# mult-adds, 4.2 million parameters"), PyTorch's example for DCGAN. The others are counted layer by layer.
PUBLISHED: dict[str, tuple[int, int | None]] = {
    "alexnet": (61_100_840, 714_188_480),
    "alexnet_2012": (60_965_224, 724_406_816),
    "allcnn_c": (1_369_738, 270_798_336),
    "autoencoder": (217_729, 908_352),
    "allconv_cifar10": (87_010, 18_094_080),
    "autoencoder_digits": (15_449, 59_648),
    "autoencoder_l1": (219_377, 908_352),
    "autoencoder_unpool": (28_497, 689_920),
    "c3d": (79_991_015, 38_548_959_232),
    "convnetjs_cifar10": (22_466, 3_920_000),
    "dcgan_generator": (3_576_704, None),
    "digits": (38_442, 913_408),
    "googlenet": (6_624_904, 1_498_376_192),
    "keywords": (3_640, 4_665_248),
    "lenet5": (61_706, 416_520),
    "lenet5_1998": (60_000, None),
    "mobilenet_v1": (4_231_976, 568_740_352),
    "mobilenet_cifar10": (274_250, 10_245_120),
    "motion": (42_328, 9_732_352),
    "nin": (7_595_176, None),
    "pooling_cifar10": (60_946, 15_439_872),
    "resnet18": (11_689_512, 1_814_073_344),
    "resnet50": (25_557_032, 4_089_184_256),
    "segmentation": (205_647, 43_462_656),
    "segmentation_digits": (32_207, 2_918_400),
    "smoothing": (16, 4_096),
    "squeezenet": (1_248_424, 818_924_576),
    "text_ranker": (961_106, 510_803),
    "textcnn": (5_990_702, 19_020_600),
    "unet": (31_030_658, None),
    "vgg16": (138_357_544, 15_470_264_320),
    "waves": (6_068, 280_704),
}

every_model = pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])


def test_the_table_names_every_model() -> None:
    assert set(PUBLISHED) == {path.stem for path in FILES}


def test_what_the_marks_of_tests_rely_on() -> None:
    graphs = {path.stem: network_of(path).require_graph() for path in FILES}
    small = {name for name, g in graphs.items() if g.total_macs < 2 * 10**7 and g.total_parameters < 2 * 10**6}
    assert small == SMALL
    assert {name for name, graph in graphs.items() if graph.total_parameters > 12_000_000} == LARGE
    assert [path for path in FILES if network_of(path).recipe is not None] == TRAINED
    assert len(TRAINED) >= 8


@every_model
def test_it_checks_without_diagnostics(path: Path) -> None:
    network = network_of(path)
    assert network.diagnostics == ()
    assert network.ok


@every_model
def test_its_totals_are_the_published_ones(path: Path) -> None:
    graph = network_of(path).require_graph()
    params, macs = PUBLISHED[path.stem]
    assert graph.total_parameters == params
    assert macs is None or graph.total_macs == macs


@every_model
def test_it_expects_its_own_totals(path: Path) -> None:
    """A reader sees the number in the file, and a change of the network without it is an error."""
    text = path.read_text(encoding="utf-8")
    (params,) = re.findall(r"^expect .*\bparams=(\d+)", text, re.MULTILINE)
    assert int(params) == PUBLISHED[path.stem][0]
    wrong = text.replace(f"params={params}", f"params={int(params) + 1}")
    assert [d.code for d in check(wrong).diagnostics] == ["E402"]


@every_model
def test_its_first_comment_says_what_it_is(path: Path) -> None:
    """`cnnc new --list` shows the first line, and the entries `Source:` and `Data:`."""
    comment, _, rest = path.read_text(encoding="utf-8").partition("\nnet ")
    lines = comment.splitlines()
    assert all(line.startswith("# ") for line in lines)
    assert re.fullmatch(r"# .{20,110}\.", lines[0])
    keys = [line[2:].partition(":")[0] for line in lines if re.match(r"# (Source|Data): ", line)]
    assert keys == sorted(keys, reverse=True), "the source first, then the command that makes the data"
    commands = [line.removeprefix("# Data: ") for line in lines if line.startswith("# Data: ")]
    made = re.findall(r'data \w+ "made/', rest)
    assert len(commands) == len(made)
    for command in commands:
        script = re.fullmatch(r"python -m cnnc\.models\.scripts\.(\w+)( --[a-z-]+ [\w/]+)*", command)
        assert script is not None
        assert (MODELS / "scripts" / f"{script[1]}.py").is_file()


@every_model
def test_it_stands_alone(path: Path) -> None:
    """`cnnc new` writes one file: a network with `include` would be written without what it includes."""
    assert not re.search(r"^\s*include\b", path.read_text(encoding="utf-8"), re.MULTILINE)


@every_model
def test_it_is_formatted_as_fmt_does(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert format_text(Source(str(path), text)) == text


# --- the output of `--json` ---------------------------------------------------------------------------------------

KEYS: dict[str, type | tuple[type, ...]] = {
    "file": str,
    "name": str,
    "ok": bool,
    "params": int,
    "buffers": int,
    "macs": int,
    "memory": dict,
    "sizes": list,
    "inputs": list,
    "outputs": list,
    "layers": list,
    "diagnostics": list,
}
MEMORY = {"weights", "peak", "peak_at", "training", "batch"}
LAYER: dict[str, type | tuple[type, ...]] = {
    "name": str,
    "op": str,
    "arguments": str,
    "shape": list,
    "params": int,
    "buffers": int,
    "macs": int,
    "bytes": int,
    "field": list,
    "field_step": list,
    "field_first": list,
    "line": int,
}


def json_of(network: Network) -> dict[str, Any]:
    summary = network.summary() if network.ok else None
    return as_dict(network.source.name, network.name, network.graph, summary, network.survey, network.diagnostics)


@every_model
def test_the_json_of_a_model(path: Path) -> None:
    data = json_of(network_of(path))
    assert list(data) == list(KEYS)
    for key, kind in KEYS.items():
        assert isinstance(data[key], kind), key
    assert set(data["memory"]) == MEMORY
    for layer in data["layers"]:
        assert list(layer) == list(LAYER)
        for key, kind in LAYER.items():
            assert isinstance(layer[key], kind), key
        assert len(layer["field"]) == len(layer["field_step"]) == len(layer["field_first"])
        assert all(isinstance(size, int) and size > 0 for size in layer["shape"])
    assert sum(layer["params"] for layer in data["layers"]) == data["params"]
    assert sum(layer["buffers"] for layer in data["layers"]) == data["buffers"]
    assert sum(layer["macs"] for layer in data["layers"]) == data["macs"]
    assert data["memory"]["weights"] == 4 * (data["params"] + data["buffers"])
    assert data["memory"]["peak_at"] in {layer["name"] for layer in data["layers"]}
    for end in (*data["inputs"], *data["outputs"]):
        (layer,) = [layer for layer in data["layers"] if layer["name"] == end["name"]]
        assert layer["shape"] == end["shape"]
