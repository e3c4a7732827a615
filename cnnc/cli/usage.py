"""Mistakes on the command line, and what was probably meant: `--epochs 3` is `--set train.epochs=3`.

In: an error of the parser of the command line, or a file of the wrong kind. Out: CnncError E010, whose help works as it
stands. Commands and options that people bring from other programs are understood by meaning, then by spelling.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import join, quote
from typing import TYPE_CHECKING, Any

from cnnc.cli.app import COMMANDS
from cnnc.cli.console import print_diagnostics
from cnnc.diagnostics import CnncError, nearest
from cnnc.language.synonyms import train_setting
from cnnc.recipe.statements import Data

if TYPE_CHECKING:
    from cnnc.network import Network

_COMMANDS = {
    "benchmark": "bench",
    "compile": "export",
    "convert": "export",
    "create": "new",
    "dataset": "data",
    "describe": "info",
    "evaluate": "eval",
    "fit": "train",
    "format": "fmt",
    "graph": "draw",
    "help": "--help",
    "infer": "predict",
    "init": "new",
    "layers": "ops",
    "lint": "check",
    "plot": "draw",
    "quantize": "export --int8",
    "resume": "train --resume",
    "run": "predict",
    "score": "eval",
    "show": "info",
    "summary": "check",
    "test": "eval",
    "validate": "check",
    "version": "--version",
    "visualize": "draw",
}
"""What commands of other programs are called here."""


def _each(options: str, meant: str) -> dict[str, str]:
    return dict.fromkeys(options.split(), meant)


_OUT = "--output --output-file --output-path --save --save-as --to"
_RUN = "--run --checkpoint --ckpt --model --weights --from --load"
_OPTIONS: dict[str, dict[str, str]] = {
    "check": _each("--batch-size", "--batch VALUE") | _each("--size --shape", "--at VALUE") | _each("-v", "--explain"),
    "train": {
        **_each(f"{_OUT} -o --out --output-dir --save-dir --run-dir --log-dir", "--run VALUE"),
        **_each("--checkpoint --ckpt --from --load --restore --continue", "--resume VALUE"),
        **_each("--pretrained --init --finetune", "--weights VALUE"),
        **_each("--data-dir --data-path --dataset-dir", "--data VALUE"),
        **_each("--onnx --export-to", "--export VALUE"),
        **_each("--size --shape", "--at VALUE"),
        **_each("--name", "--run runs/VALUE"),
        **_each("--tensorboard", "--log tensorboard"),
        **_each("-e", "--set train.epochs=VALUE"),
        **_each("-b", "--set train.batch=VALUE"),
        **_each("--threads --workers --num-workers --jobs -j", "CNNC_THREADS=VALUE REST"),
        **_each("--gpu --gpus --cuda --verbose -v --quiet -q --progress", "REST"),
    },
    "export": {
        **_each(_OUT, "--out VALUE"),
        **_each(_RUN, "cnnc export VALUE"),
        **_each("--float16 --half --f16", "--fp16"),
        **_each("--quantize --quantized", "--int8"),
        **_each("--best --format", "REST"),
        **_each("--size --shape", "--at VALUE"),
    },
    "import": _each(_OUT, "--out VALUE") | _each("--size --shape", "--at VALUE"),
    "predict": {
        **_each(f"{_OUT} -o", "--out VALUE"),
        **_each("--image --images --file --files", "VALUE"),
        **_each("-k --topk --top-k", "--top VALUE"),
        **_each("--sentence", "--text VALUE"),
    },
    "eval": {
        **_each(_RUN, "cnnc eval VALUE"),
        **_each("--dataset --data-set", "--on VALUE"),
        **_each("--data-dir --data-path", "--data VALUE"),
    },
    "draw": {**_each(_OUT, "--out VALUE"), **_each("--fold --level", "--depth VALUE")},
    "filter": {
        **_each(_OUT, "--out VALUE"),
        **_each("--filter --kernel -k", "VALUE"),
        **_each("--patch --match", "--template VALUE"),
        **_each("--padding", "--pad VALUE"),
    },
    "unfold": {
        **_each("--padding", "--pad VALUE"),
        **_each("--filter --weights -w", "--kernel VALUE"),
        **_each("--kernel-size --pool-size", "--size VALUE"),
        **_each("--position --output --index", "--at VALUE"),
        **_each("--weight", "--weight-at VALUE"),
        **_each("--element", "--input-at VALUE"),
        **_each("--class --target", "--label VALUE"),
        **_each("--sentence", "--text VALUE"),
        **_each("--data-dir --data-path", "--data VALUE"),
        **_each("--transpose --deconv", "--transposed"),
        **_each("--grad --gradients", "--backward"),
        **_each("--convolve --turn", "--flip"),
        **_each("--wrap --periodic", "--circular"),
    },
    "bench": {
        **_each("--at --shape", "--size VALUE"),
        **_each("--time --duration", "--seconds VALUE"),
        **_each("--batch-size", "--batch VALUE"),
    },
}
"""What options of other programs, and of other commands, are called here. VALUE is the value that was typed, REST the
command without the option."""


def usage_error(error: Any, words: Sequence[str]) -> CnncError:
    """E010 for an error of the parser; `words` are those after `cnnc`."""
    command = words[0] if words and words[0] in COMMANDS else ""
    name = f"cnnc {command}".rstrip()
    message: str = error.format_message().strip().rstrip(".")
    help = ""
    if hasattr(error, "possibilities") and error.option_name.startswith("-"):
        message = f"{name} has no option {error.option_name}"
        help = _help_of_option(command, error.option_name, words, error.ctx)
    elif not command and words:
        message, help = f"there is no command `{words[0]}`", _help_of_command(words[0], words[1:])
    elif getattr(error, "option_name", "") == "--resume":
        help = _help_of_resume(words)
    elif command == "train":
        help = _help_of_settings(words)
    elif command in ("export", "import"):
        help = _help_of_second_file(words)
    help = help or f"`{name} --help` shows how it is used"
    return CnncError.of("E010", f"{message[:1].lower()}{message[1:]}", help=help)


def _help_of_command(word: str, rest: Sequence[str]) -> str:
    suffix = Path(word).suffix
    if suffix in (".cnn", ".onnx"):
        return f"write `{join(['cnnc', 'check' if suffix == '.cnn' else 'info', word, *rest])}`"
    if word == "help" and rest and rest[0] in COMMANDS:
        return f"write `cnnc {rest[0]} --help`"
    meant = _COMMANDS.get(word.lower()) or nearest(word, COMMANDS)
    if word == "convert" and any(name.endswith(".onnx") for name in rest):
        meant = "import"
    if word == "run" and any(name.endswith(".cnn") for name in rest):
        meant = "train"
    return f"write `{f'cnnc {meant} {join(rest)}'.rstrip()}`" if meant else ""


def _setting_of_option(command: str, name: str) -> str:
    """What `--set` of this command calls an argument of a train statement or of `data`; "" if unknown."""
    if command not in ("check", "train", "data"):
        return ""
    setting = train_setting(name) if command != "data" else ""
    return setting or (f"train.data.{name}" if name in {spec.name for spec in Data.arguments} else "")


def _help_of_option(command: str, option: str, words: Sequence[str], context: Any) -> str:
    value, rest = _without(option, words)
    meant = _OPTIONS.get(command, {}).get(option, "")
    setting = _setting_of_option(command, option.lstrip("-").replace("-", "_"))
    if not meant and setting:
        meant = f"--set {setting}=VALUE"
    if meant:
        return f"write `{meant.replace('REST', join(['cnnc', *rest])).replace('VALUE', quote(value) if value else 'VALUE')}`"
    known = [known for parameter in context.command.params for known in parameter.opts] if context is not None else []
    near = nearest(option.lstrip("-"), [known.lstrip("-") for known in known if known.startswith("--")])
    if near:
        return f"did you mean `--{near}`?"
    if value and "--set" in known:
        return f"a `let` of the file is set with `--set {option.lstrip('-').replace('-', '_')}={quote(value)}`"
    return ""


def _without(option: str, words: Sequence[str]) -> tuple[str, list[str]]:
    """The value of an option, "" if it has none, and the other words."""
    for index, word in enumerate(words):
        if word.startswith(f"{option}="):
            return word.partition("=")[2], [*words[:index], *words[index + 1 :]]
        if word == option:
            following = words[index + 1] if index + 1 < len(words) else ""
            has_value = bool(following) and not following.startswith("--") and not following.endswith(".cnn")
            return following if has_value else "", [*words[:index], *words[index + 1 + has_value :]]
    return "", list(words)


def _help_of_settings(words: Sequence[str]) -> str:
    """For `train x.cnn epochs=3` and `--set train.epochs 3`; "" for other commands."""
    for before, word, after in zip(words, words[1:], [*words[2:], ""], strict=False):
        name, equals, value = word.partition("=")
        if before == "--set" and not equals and after and not after.startswith("-"):
            return f"write `--set {quote(f'{name}={after}')}`"
        if equals and not word.startswith("-") and not before.startswith("-"):
            return f"write `--set {quote(f'{train_setting(name) or name}={value}')}`"
    return ""


def _help_of_resume(words: Sequence[str]) -> str:
    """For `train RUN --resume`; "" without a run."""
    run = next((word for word in words[1:] if _is_run(Path(word))), "")
    rest = [word for word in words[1:] if word not in (run, "--resume")]
    return f"write `{join(['cnnc', 'train', '--resume', run, *rest])}`" if run else ""


def _help_of_second_file(words: Sequence[str]) -> str:
    """For `export RUN x.onnx` and `import x.onnx NET.cnn`; "" for other commands."""
    suffix = {"export": ".onnx", "import": ".cnn"}[words[0]]
    outputs = [
        n for n, word in enumerate(words) if n > 1 and word.endswith(suffix) and not words[n - 1].startswith("-")
    ]
    if len(outputs) != 1 or {"-o", "--out"} & set(words):
        return ""
    return f"write `{join(['cnnc', *words[: outputs[0]], '-o', *words[outputs[0] :]])}`"


def require_one_source(file: Path | None, resume: Path | None) -> None:
    """Raises CnncError E010 for both a network file and a run, or neither."""
    if (file is None) != (resume is None):
        return
    help = "write `cnnc train NET.cnn`; `cnnc new NET` writes a network to start with"
    if file is not None:
        rest = [word for word in sys.argv[1:] if Path(word) != file]
        help = f"the run holds its network: write `{join(['cnnc', *rest])}`"
    raise CnncError.of("E010", "train takes either a network FILE or --resume RUN", help=help)


def _is_run(path: Path) -> bool:
    return path.is_dir() and any((path / name).is_file() for name in ("last.safetensors", "best.safetensors"))


def require_source(path: Path, command: str) -> None:
    """Raises CnncError E010 if the file of `check` or `train` is a run folder, a checkpoint or a model."""
    is_run = _is_run(path)
    suffix = path.suffix.lower()
    if not is_run and suffix not in (".safetensors", ".onnx"):
        return
    network = (path if is_run else path.parent) / "network.cnn"
    if suffix == ".onnx" and not is_run:
        help = join(["cnnc", "info" if command == "check" else "import", str(path)])
    elif command == "train":
        help = join(["cnnc", *(w for word in sys.argv[1:] for w in (["--resume"] * (Path(word) == path) + [word]))])
    else:
        help = join(["cnnc", command, str(network)]) if network.is_file() else ""
    kind = "a run folder" if is_run else {".onnx": "a model", ".safetensors": "a checkpoint"}[suffix]
    raise CnncError.of("E010", f"{path} is {kind}, not a network file", help=f"write `{help}`" if help else "")


def with_published_network(error: CnncError, path: Path) -> CnncError:
    """The error of reading a network file; if it is missing and has the name of a published network, with help."""
    from cnnc.models import published_networks

    if path.exists() or path.suffix != ".cnn" or path.stem not in published_networks():
        return error
    help = f"`cnnc new -t {path.stem}` writes the published network"
    return CnncError(error.diagnostics[0]._replace(help=help))


def load_network(file: Path, settings: Sequence[str] | None, sizes: Mapping[str, int]) -> Network:
    """The network of a file, whose warnings are printed. Raises CnncError with its errors."""
    from cnnc.network import load

    try:
        network = load(file, settings or [], sizes)
    except CnncError as error:
        raise with_published_network(error, file) from None
    network.require_graph()
    print_diagnostics(network.diagnostics)
    return network
