"""Errors of the contest.

Tree::

    SimulatorError
    └── ContestError            a person must act: the message says what is wrong and what to do
        ├── UnknownPolicy       no policy of this name
        ├── PolicyError         a policy ordered what nobody can do
        ├── SweepError          the ranges of a sweep cannot be used
        └── LogError            a truth or belief log is not what it should be
"""

from pathlib import Path

from simulators.errors import SimulatorError


class ContestError(SimulatorError):
    """Root of the contest's errors; the text is for people."""


class UnknownPolicy(ContestError):  # noqa: N818 - what is missing, as the caller says it
    """No policy of this name can be made."""


class PolicyError(ContestError):
    """A policy ordered a crew or a place that the square does not have: a mistake in its code."""


class SweepError(ContestError):
    """The ranges of a sweep cannot be used."""


class LogError(ContestError):
    """A truth or belief log cannot be read: `path` and `line` say where, line 0 is the whole file."""

    def __init__(self, path: Path, line: int, what: str) -> None:
        self.what = what
        super().__init__(f"{path}:{line}: {what}" if line else f"{path}: {what}")
        self.path = path
        self.line = line

    def __reduce__(self) -> tuple[type["LogError"], tuple[Path, int, str]]:
        # A worker process hands it to the one that asked.
        return LogError, (self.path, self.line, self.what)
