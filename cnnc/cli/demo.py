"""`cnnc demo`: a page that runs or trains a network in the browser, from a file and without a network connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cnnc.api.subject import is_model
from cnnc.cli.console import print_json, print_result, print_status
from cnnc.cli.demo_limits import EXAMPLES, MAX_MODEL_BYTES, SLOW_MACS, TRAINING_EXAMPLES
from cnnc.cli.options import DATA, MAX_MEMORY, MAX_PARAMETERS, OFFLINE, RUNTIME, SETTINGS, WEBGPU, json_option
from cnnc.cli.outputs import FORCE, Output, require_outputs
from cnnc.core.files import real_path
from cnnc.diagnostics import CnncError

if TYPE_CHECKING:
    from cnnc.cli.demo_examples import DemoExamples
    from cnnc.onnx.run.session import Session


def demo(
    source: Annotated[
        Path, typer.Argument(metavar="MODEL|RUN", help="An exported model, a run, a checkpoint, or a network file.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            metavar="FILE",
            help="The page (.html). Default: NAME-demo.html here, with --training NAME-learn.html.",
        ),
    ] = None,
    training: Annotated[
        bool,
        typer.Option(
            "--training", help="Write a page that trains the network on embedded examples, instead of one that runs it."
        ),
    ] = False,
    examples: Annotated[
        int | None,
        typer.Option(
            "--examples",
            metavar="N",
            min=0,
            help=f"Embed N examples of the test set, on which the page checks itself. Default: {EXAMPLES} if the data are there. "
            f"With --training: N training examples, by default {TRAINING_EXAMPLES:,}, and test examples.",
        ),
    ] = None,
    data: DATA = None,
    offline: OFFLINE = False,
    last: Annotated[bool, typer.Option("--last", help="Take the last weights of the run instead of the best.")] = False,
    settings: SETTINGS = None,
    runtime: RUNTIME = None,
    webgpu: WEBGPU = False,
    json: Annotated[bool, json_option("what was written as a JSON object")] = False,
    force: FORCE = False,
    max_memory: MAX_MEMORY = None,
    max_params: MAX_PARAMETERS = None,
) -> None:
    """Write one self-contained page that runs a model in the browser: draw, drop or type an input and see every layer."""
    if is_model(source):
        if last or settings or training:
            option = "--training" if training else "--last" if last else "--set"
            raise CnncError.of(
                "E010", f"{source} is a model: {option} does not apply to it", help=f"leave {option} out"
            )
    elif settings and source.suffix != ".cnn":
        raise CnncError.of("E010", "--set applies to a network FILE; a run keeps the settings it was trained with")
    out = out if out is not None else Path(f"{real_path(source).stem}-{'learn' if training else 'demo'}.html")
    require_outputs([source], [Output(out, "-o", "html")], force)
    say = print_status if json else print_result
    if training:
        from cnnc.cli.demo_training import write_training

        result = write_training(
            source,
            out,
            last=last,
            settings=settings or [],
            count=examples,
            folder=data,
            runtime=runtime,
            webgpu=webgpu,
        )
        if json:
            print_json(result)
        say(f"wrote {out}: {result['bytes']:,} bytes, {_training_text(result)}")
        return
    with _model_of(source, last, settings or [], data) as model:
        result = _write(source, model, out, examples, data, runtime, webgpu)
    if json:
        print_json(result)
    say(f"wrote {out}: {result['bytes']:,} bytes, {_examples_text(result['examples'])}")


def _training_text(result: dict[str, Any]) -> str:
    train, test = result["training_examples"], result["test_examples"]
    return f"{train:,} training and {test:,} test examples in {result['data_bytes']:,} bytes; {result['weights']}"


def _examples_text(count: int) -> str:
    return f"{count} example{'s' if count != 1 else ''}" if count else "no examples"


@contextmanager
def _model_of(source: Path, last: bool, settings: list[str], data: Path | None) -> Iterator[Path]:
    """The model file: the source, or one that is exported from it for as long as it is read."""
    if is_model(source):
        yield source
        return
    from cnnc.cli.export import export_file, export_run
    from cnnc.onnx.export import Options

    with TemporaryDirectory(prefix="cnnc-") as folder:
        model = Path(folder) / "model.onnx"
        if source.suffix == ".cnn" and not source.is_dir():
            export_file(source, model, settings, {}, Options(), (), data)
        else:
            export_run(source, model, last=last, data=data)
        yield model


def _write(
    source: Path, model: Path, out: Path, count: int | None, data: Path | None, runtime: Path | None, webgpu: bool
) -> dict[str, Any]:
    """Writes the page of a model; the result is what `--json` prints."""
    from cnnc.cli.demo_model import demo_page
    from cnnc.cli.web_runtime import web_runtime
    from cnnc.core.files import write_atomic
    from cnnc.onnx.run.model_content import model_content
    from cnnc.onnx.run.session import open_model
    from cnnc.view.demo.page import demo_html

    name = str(source)
    session = open_model(model, "cpu")
    if not session.inputs:
        raise CnncError.of("E609", f"{name} has no input")
    content = model_content(model, name, MAX_MODEL_BYTES)
    embedded = _examples(source, session, count, data)
    macs = session.facts.macs or 0
    if macs > SLOW_MACS:
        print_status(f"{name} takes {macs:,} multiply-adds: in a browser one input takes seconds to minutes")
    files = web_runtime(runtime, "webgpu" if webgpu else "wasm", print_status)
    page = demo_page(session, model, content, source, embedded, files)
    html = demo_html(page).encode()
    write_atomic(out, html)
    return {
        "file": str(out),
        "bytes": len(html),
        "model_bytes": len(content),
        "examples": embedded.total if embedded is not None and not embedded.random else 0,
        "layers": sum(layer["shown"] for layer in page.data["layers"]),
        "runtime": f"onnxruntime-web {files.version}",
        "build": files.build,
    }


def _examples(source: Path, session: Session, count: int | None, data: Path | None) -> DemoExamples | None:
    """The examples to embed. Only with --examples is it an error if there are none."""
    from cnnc.cli.demo_examples import random_examples, read_examples
    from cnnc.cli.demo_model import start_sizes
    from cnnc.onnx.run.predictions import model_inputs

    if count == 0:
        return None
    try:
        return read_examples(source, session, count or EXAMPLES, data, download=count is not None)
    except CnncError as error:
        if count is not None:
            raise
        print_status(f"random inputs instead of examples: {error.diagnostics[0].message}")
    specs = model_inputs(session)
    try:
        return random_examples(session, specs, {spec.name: start_sizes(spec, session.facts) for spec in specs})
    except CnncError as error:  # such as sizes that the model does not take
        if error.diagnostics[0].code != "E604":
            raise
        print_status(f"nothing to check the page on: {error.diagnostics[0].message}")
        return None
