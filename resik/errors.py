"""Errors of the command and the local stack.

Tree::

    StackError(.exit_code)     something that stops the whole stack, said in one sentence
    └── MissingPart            an optional part is not installed
"""


class StackError(Exception):
    """The stack cannot start or go on. The text is one sentence for the person at the terminal."""

    exit_code = 2


class MissingPart(StackError):  # noqa: N818 - a state of the installation
    """A part that this command needs is not installed."""
