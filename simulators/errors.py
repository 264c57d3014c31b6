"""Errors of the simulators.

Tree::

    SimulatorError              .retryable
    ├── LinkError               an MQTT connection of a node is gone: connect again
    │   └── LinkRefused         the broker said no to these credentials or this subscription
    ├── CrewApiError            the crew interface did not answer as agreed: try again
    │   └── TaskTaken           the task moved on: fetch the list again
    ├── FewDescriptors          this process may not have so many open files; a person must act
    ├── MapError                a replay map does not fit its schema or its files; a person must act
    ├── ReplayError             a replay could not be finished
    └── ScenarioError           a scenario file is wrong: file, line, what, remedy; a person must act
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


class FewDescriptors(SimulatorError):  # noqa: N818 - a state of the machine, not a mistake
    """So many connections need more open files than this process may have.

    Parameters
    ----------
    wanted, allowed
        Open files.
    """

    def __init__(self, wanted: int, allowed: int) -> None:
        super().__init__(
            f"{wanted} open files are needed, one for each connection and some, and this process may have {allowed}: "
            f"raise the hard limit (`ulimit -Hn {wanted}` as root, LimitNOFILE= in a unit of systemd, nofile in "
            "/etc/security/limits.conf), or take fewer devices"
        )
        self.wanted = wanted
        self.allowed = allowed


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


class ScenarioError(SimulatorError):
    """A scenario cannot be used.

    Parameters
    ----------
    path
        The file with the fault, or what was given for one.
    line
        1-based line, when it is known.
    what, remedy
        What is wrong, and what to do about it, each one sentence.
    """

    def __init__(self, path: Path, line: int | None, what: str, remedy: str) -> None:
        where = f"{path}:{line}" if line is not None else str(path)
        super().__init__(f"{where}: {what}. {remedy}")
        self.path = path
        self.line = line
        self.what = what
        self.remedy = remedy
