"""Measures training in a browser, cnnc's step graph beside ConvNetJS: `python -m benchmarks.browser [--nets lenet5 convnetjs]`.

Both train the same network (as many parameters), with the same batch, by SGD with momentum, on random examples, in a page
of its own in a headless browser: cnnc on onnxruntime-web's WebAssembly on one thread, ConvNetJS 0.3.0 in JavaScript. They
take turns for several rounds, each after a warmup. A rate is the median over rounds of the median step. Needs Chromium and chromedriver, or
Firefox; ConvNetJS and, unless another source is there, onnxruntime-web are downloaded with npm.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from benchmarks.nets import NETS, batch_of
from cnnc.cli.web_runtime import has_integrity, npm_package, web_runtime
from cnnc.diagnostics import CnncError
from cnnc.graph.graph import Graph
from cnnc.network import load
from cnnc.view.web.runtime import WebRuntime, data_element, runtime_parts, script_text
from tests.browser.bidi import Browser, missing, open_browser

CONVNETJS, VERSION = "convnetjs", "0.3.0"
INTEGRITY = "sha512-qG6VEbJS8FOQFR6xS0NMfUseR3P6GJ/JfAq2Ff8MrpeF5Y2HVmZI6zcakOYz50f34qq2SMumlUhB7gfmypo8lg=="

STAGES: Mapping[str, list[tuple[int, int]]] = {"lenet5": [(6, 2), (16, 0)], "convnetjs": [(16, 2), (20, 2), (20, 2)]}
"""Filters and padding of the 5x5 convolutions, each followed by ReLU and max pooling."""

HIDDEN: Mapping[str, list[int]] = {"lenet5": [120, 84], "convnetjs": []}
"""Neurons of the hidden dense layers."""

TIMED = """
// After a warmup of as many seconds: browsers compile WebAssembly and JavaScript to faster code while they run it.
async function timed(step, seconds) {
  const warm = performance.now() + 1000 * seconds;
  do await step();
  while (performance.now() < warm);
  const times = [];
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end || times.length < 3) {
    const begun = performance.now();
    await step();
    times.push(performance.now() - begun);
  }
  times.sort((a, b) => a - b);
  return { median: times[times.length >> 1] / 1000, least: times[0] / 1000 };
}
"""

CONVNETJS_SCRIPT = """
function start({ layers, shape: [channels, height, width], batch, classes }) {
  const net = new convnetjs.Net();
  net.makeLayers(layers);
  const options = { method: "sgd", learning_rate: 0.001, momentum: 0.9, l2_decay: 0, batch_size: batch };
  const trainer = new convnetjs.SGDTrainer(net, options);
  const examples = Array.from({ length: batch }, (_, index) => {
    const volume = new convnetjs.Vol(width, height, channels, 0);
    for (let i = 0; i < volume.w.length; i++) volume.w[i] = Math.random();
    return { volume, label: index % classes };
  });
  let loss;
  const step = () => {
    loss = 0;
    for (const { volume, label } of examples) loss += trainer.train(volume, label).cost_loss / batch;
  };
  const parameters = net.getParamsAndGrads().reduce((sum, { params }) => sum + params.length, 0);
  return { step, parameters, loss: () => loss };
}
"""

CNNC_SCRIPT = """
async function start({ shape, batch, classes, weights, slots, input, target, rate }) {
  const runtime = await startRuntime();
  const { session } = await runtime.open(await decodeData("step"));
  const tensor = (data, dims) => new ort.Tensor("float32", data, dims);
  const elements = (dims) => dims.reduce((product, size) => product * size, 1);
  const feeds = { [rate]: tensor(Float32Array.of(0.001), []) };
  const random = (length, scale) => Float32Array.from({ length }, () => scale * (Math.random() - 0.5));
  let parameters = 0;
  for (const [name, dims] of Object.entries(weights)) {
    feeds[name] = tensor(random(elements(dims), 0.1), dims);
    parameters += elements(dims);
  }
  for (const [name, dims] of Object.entries(slots)) feeds[name] = tensor(new Float32Array(elements(dims)), dims);
  feeds[input] = tensor(random(batch * elements(shape), 1), [batch, ...shape]);
  const labels = BigInt64Array.from({ length: batch }, (_, index) => BigInt(index % classes));
  feeds[target] = new ort.Tensor("int64", labels, [batch]);
  const wanted = session.inputNames.filter((name) => !(name in feeds));
  if (wanted.length) throw new Error(`no value given for ${wanted.join(", ")}`);
  let results;
  const step = async () => {
    results = await session.run(feeds);
    for (const name of session.outputNames) if (name.endsWith(".new")) feeds[name.slice(0, -4)] = results[name];
  };
  return { step, parameters, loss: () => results["train.loss"].data[0] };
}
"""


class Contender(NamedTuple):
    """A page that defines `start`, and the argument of that."""

    page: Path
    facts: dict[str, Any]


def convnetjs_layers(name: str, graph: Graph) -> list[dict[str, Any]]:
    """The network in ConvNetJS's form."""
    channels, height, width = graph.inputs[0].type.shape
    layers: list[dict[str, Any]] = [{"type": "input", "out_sx": width, "out_sy": height, "out_depth": channels}]
    for filters, padding in STAGES[name]:
        layers.append({"type": "conv", "sx": 5, "filters": filters, "stride": 1, "pad": padding, "activation": "relu"})
        layers.append({"type": "pool", "sx": 2, "stride": 2})
    layers += [{"type": "fc", "num_neurons": neurons, "activation": "relu"} for neurons in HIDDEN[name]]
    return [*layers, {"type": "softmax", "num_classes": 10}]


def convnetjs_page(name: str, script: str, folder: Path) -> Contender:
    """A page that trains with ConvNetJS."""
    graph = load(NETS / f"{name}.cnn").require_graph()
    facts = {"layers": convnetjs_layers(name, graph), **_facts(name, graph)}
    return Contender(_write(folder / f"{name}-convnetjs.html", "", script, CONVNETJS_SCRIPT), facts)


def cnnc_page(name: str, runtime: WebRuntime, folder: Path) -> Contender:
    """A page that trains with the step graph that `cnnc export --training` writes."""
    from cnnc.onnx.train_step.build import RATE, build_step
    from cnnc.recipe.recipe import require_recipe

    network = load(NETS / f"{name}.cnn")
    graph = network.require_graph()
    step = build_step(graph, require_recipe(network.recipe, name), {})
    shapes = {
        entry.name: [size.dim_value for size in entry.type.tensor_type.shape.dim] for entry in step.model.graph.input
    }
    facts = {
        **_facts(name, graph),
        "weights": {weight: shapes[weight] for weight in step.weights},
        "slots": {slot: shapes[slot] for slot in step.slots},
        "input": step.inputs[0],
        "target": step.targets[0].name,
        "rate": RATE,
    }
    elements = runtime_parts(runtime).elements + data_element("step", step.model.SerializeToString())
    return Contender(_write(folder / f"{name}-cnnc.html", elements, CNNC_SCRIPT), facts)


def _facts(name: str, graph: Graph) -> dict[str, Any]:
    return {"shape": graph.inputs[0].type.shape, "batch": batch_of(name), "classes": 10}


def _write(path: Path, elements: str, *scripts: str) -> Path:
    texts = "".join(f"<script>{script_text(script)}</script>\n" for script in (TIMED, *scripts))
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>{path.stem}</title>\n{elements}{texts}')
    return path


def convnetjs_script(given: Path | None) -> str:
    """The source of ConvNetJS, from its npm package. Raises CnncError."""
    npm = shutil.which("npm")
    if given is None and npm is None:
        sys.exit("npm is not installed; name the file of the npm package with --convnetjs FILE")
    package = given.read_bytes() if given is not None else npm_package(str(npm), CONVNETJS, VERSION)
    if not has_integrity(package, INTEGRITY):
        sys.exit(f"{given or 'what npm downloaded'} is not {CONVNETJS} {VERSION}")
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        member = archive.extractfile("package/build/convnet-min.js")
        assert member is not None
        return member.read().decode()


def measure(browser: Browser, contender: Contender, seconds: float) -> dict[str, float]:
    """Examples per second of a page, by its median and its fastest step, its number of parameters, and its losses."""
    browser.open(contender.page)
    found: dict[str, float] = browser.run(
        "async (facts, seconds) => { const { step, parameters, loss } = await start(facts); await step();"
        " const first = loss(); const { median, least } = await timed(step, seconds);"
        " return { rate: facts.batch / median, best: facts.batch / least, parameters, first, last: loss() }; }",
        contender.facts,
        seconds,
    )
    return found


def compare(browser: Browser, contenders: Mapping[str, Contender], rounds: int, seconds: float) -> dict[str, Any]:
    """The median rate of each contender; they take turns."""
    measured: dict[str, list[dict[str, float]]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, contender in contenders.items():
            print(f"  {contender.page.stem}", file=sys.stderr)
            measured[who].append(measure(browser, contender, seconds))
    if len({found["parameters"] for each in measured.values() for found in each}) != 1:
        raise RuntimeError(f"the networks differ: {measured}")
    return {who: {key: median(found[key] for found in each) for key in each[0]} for who, each in measured.items()}


def table(results: Mapping[str, dict[str, Any]]) -> str:
    """The results as a Markdown table."""
    lines = ["| network | batch | cnnc, examples/s | ConvNetJS, examples/s | times as fast |", "|---|---|---|---|---|"]
    for name, row in results.items():
        ours, theirs = row["cnnc"]["rate"], row["convnetjs"]["rate"]
        lines.append(f"| {name} | {batch_of(name)} | {ours:,.0f} | {theirs:,.0f} | {ours / theirs:.1f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.browser", description=__doc__)
    parser.add_argument("--nets", nargs="+", choices=tuple(STAGES), default=list(STAGES))
    parser.add_argument("--browser", choices=("chromium", "firefox"), default="chromium")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each contender in each round")
    parser.add_argument("--runtime", type=Path, help="folder or npm package file with onnxruntime-web")
    parser.add_argument("--convnetjs", type=Path, help=f"npm package file of {CONVNETJS} {VERSION}")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if missing(options.browser):
        sys.exit(missing(options.browser))
    try:
        runtime = web_runtime(options.runtime, "wasm", lambda line: print(line, file=sys.stderr))
        script = convnetjs_script(options.convnetjs)
    except CnncError as error:
        sys.exit(str(error))
    with TemporaryDirectory(ignore_cleanup_errors=True) as name, open_browser(options.browser, Path(name)) as browser:
        results = {
            net: compare(
                browser,
                {"convnetjs": convnetjs_page(net, script, Path(name)), "cnnc": cnnc_page(net, runtime, Path(name))},
                options.rounds,
                options.seconds,
            )
            for net in options.nets
        }
    print(json.dumps(results) if options.json else table(results))


if __name__ == "__main__":
    main()
