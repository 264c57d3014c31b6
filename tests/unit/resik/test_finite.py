"""Not a number is no number at the command line, whatever command it is."""

import click
import pytest
from click.testing import CliRunner

from resik.cli import main
from resik.finite import FiniteRange


def float_options(command, words=()):
    """Yield the words and the name of every option of every command that takes a float in a range."""
    context = click.Context(command)
    for option in command.params:
        if isinstance(option.type, click.FloatRange):
            yield words, option
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            yield from float_options(command.get_command(context, name), (*words, name))


OPTIONS = list(float_options(main))


@pytest.mark.parametrize(("words", "option"), OPTIONS, ids=[f"{w[-1]} {o.opts[0]}" for w, o in OPTIONS])
@pytest.mark.parametrize("text", ["nan", "inf"])
def test_every_float_of_every_command_is_finite(words, option, text):
    """Each refuses nan and inf with exit code 2 and its own name, before anything starts."""
    result = CliRunner().invoke(main, [*words, option.opts[0], text])
    assert result.exit_code == 2, result.output
    assert option.opts[0].lstrip("-").split("-")[0] in result.output
    assert not isinstance(result.exception, ValueError)


def test_the_options_of_the_simulator_are_among_them():
    """The walk over the commands finds what it is meant to find."""
    found = {(words[-1], option.opts[0]) for words, option in OPTIONS}
    assert {("load", "--rate"), ("load", "--seconds"), ("simulate", "--speed"), ("demo", "--for")} <= found


def test_numbers_in_range_pass():
    """What is finite and in range comes through as a float."""
    kind = FiniteRange(0, 10)
    assert kind.convert("2.5", None, None) == 2.5
    with pytest.raises(click.BadParameter):
        kind.convert("11", None, None)
