"""The benchmark of training in a browser compares equal networks, and its page trains."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.browser import STAGES, cnnc_page, convnetjs_layers, measure
from benchmarks.nets import NETS
from cnnc.network import load
from cnnc.view.web.runtime import WebRuntime
from tests.browser.bidi import Browser


@pytest.mark.parametrize("name", STAGES)
def test_convnetjs_has_as_many_parameters(name: str) -> None:
    graph = load(NETS / f"{name}.cnn").require_graph()
    first, *layers = convnetjs_layers(name, graph)
    channels, size = first["out_depth"], first["out_sx"]
    total = 0
    for layer in layers:
        if layer["type"] == "conv":
            total += layer["filters"] * (channels * layer["sx"] ** 2 + 1)
            channels, size = layer["filters"], size + 2 * layer["pad"] - layer["sx"] + 1
        elif layer["type"] == "pool":
            size //= 2
        else:
            neurons = layer.get("num_neurons", layer.get("num_classes"))
            total += neurons * (channels * size**2 + 1)
            channels, size = neurons, 1
    assert total == graph.total_parameters


@pytest.mark.parametrize("name", STAGES)
def test_the_page_trains(browser: Browser, web_files: WebRuntime, tmp_path: Path, name: str) -> None:
    found = measure(browser, cnnc_page(name, web_files, tmp_path), 0.01)
    assert found["parameters"] == load(NETS / f"{name}.cnn").require_graph().total_parameters
    assert 0 < found["rate"] <= found["best"]
    assert found["last"] < found["first"]
    assert browser.messages == []
