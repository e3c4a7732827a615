"""Options of all commands: every one is described, and those that several commands share mean the same everywhere."""

from __future__ import annotations

import pytest
from typer.main import get_command

from cnnc.cli.app import app
from cnnc.cli.options import parse_sizes
from cnnc.diagnostics import CnncError

COMMANDS = vars(get_command(app([])))["commands"]


def help_of(option: str) -> dict[str, str]:
    """The help of an option in each command that has it."""
    return {
        name: parameter.help
        for name, command in COMMANDS.items()
        for parameter in command.params
        if option in parameter.opts
    }


def test_every_argument_and_option_is_described() -> None:
    helps = {(name, p.name): p.help or "" for name, command in COMMANDS.items() for p in command.params}
    assert [key for key, help in helps.items() if not help] == []
    assert [help for help in helps.values() if not help.endswith(".")] == []


def test_at_says_what_each_command_does_with_the_sizes() -> None:
    purposes = {name: help.partition(":")[0] for name, help in help_of("--at").items()}
    assert purposes == {
        "check": "Check at this size",
        "train": "Train at this size",
        "data": "Resize images to this size",
        "export": "Fix this size in the model",
        "import": "Fix open sizes of the model",
        "unfold": "Show the sum of this output; with --backward the gradients of its largest product.",
        "draw": "The layer, and the position in it, that is drawn; with --style edges its unit",
    }


@pytest.mark.parametrize("option", ["--set", "--data", "--provider"])
def test_shared_options_have_one_help(option: str) -> None:
    assert len(help_of(option)) > 1
    assert len(set(help_of(option).values())) == 1, help_of(option)


def test_sizes_are_parsed() -> None:
    assert parse_sizes(None) == {}
    assert parse_sizes(["H=224,W=200"]) == parse_sizes(["H=224", " W = 200,"]) == {"H": 224, "W": 200}
    with pytest.raises(CnncError) as error:
        parse_sizes(["H"], "--size")
    assert "`--size H=224,W=224`" in str(error.value)
