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
    """A truth or belief log cannot be read or written.

    Parameters
    ----------
    path
        The file.
    line
        Which of its lines; 0 is the whole file.
    what, remedy
        What is wrong, and what to do about it, each one sentence.
    """

    def __init__(self, path: Path, line: int, what: str, remedy: str) -> None:
        self.where = f"{path}:{line}" if line else str(path)
        super().__init__(f"{self.where}: {what}. {remedy}")
        self.path = path
        self.line = line
        self.what = what
        self.remedy = remedy

    def __reduce__(self) -> tuple[type["LogError"], tuple[Path, int, str, str]]:
        # A worker process hands it to the one that asked.
        return LogError, (self.path, self.line, self.what, self.remedy)
