"""Errors of the simulators.

Tree::

    SimulatorError              .retryable
    ├── LinkError               an MQTT connection of a node is gone: connect again
    │   └── LinkRefused         the broker said no to these credentials or this subscription
    ├── CrewApiError            the crew interface did not answer as agreed: try again
    │   └── TaskTaken           the task moved on: fetch the list again
    ├── MapError                a replay map does not fit its schema or its files; a person must act
    └── ReplayError             a replay could not be finished
"""

from pathlib import Path


class SimulatorError(Exception):
    """Root of everything that the simulators raise on purpose."""

    retryable = False
    retry_after_s: float | None = None


class LinkError(SimulatorError):
    """The link is gone or the broker broke the protocol; a new link can be tried after a pause."""

    retryable = True


class LinkRefused(LinkError):  # noqa: N818 - what the broker decided, not a mistake of the caller
    """The broker refused the connection or the subscription; `reason` says why in its own terms."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CrewApiError(SimulatorError):
    """The crew interface did not answer as agreed; trying again later is always right."""

    retryable = True


class TaskTaken(CrewApiError):  # noqa: N818 - a state of the task, not a mistake
    """The task has moved on (409): fetch the list again."""


class MapError(SimulatorError):
    """A replay map, or a file that it describes, cannot be used.

    Parameters
    ----------
    file
        Map or data file with the fault.
    line
        1-based line when known.
    key
        Key of the map, such as "fields.fill_pct.column"; None for a fault of the data file itself.
    what, remedy
        What is wrong and what to do, each one sentence.
    """

    def __init__(self, file: Path, line: int | None, key: str | None, what: str, remedy: str) -> None:
        where = f"{file}:{line}" if line is not None else str(file)
        super().__init__(f"{where}: {key + ': ' if key else ''}{what}. {remedy}")
        self.file = file
        self.line = line
        self.key = key


class ReplayError(SimulatorError):
    """A replay could not be finished; the text says how far it came."""
