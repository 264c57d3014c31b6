"""Errors of the shared vocabulary.

Tree::

    SquareError
    ├── SettingsError       a configuration key or value is wrong; a person must act
    ├── SiteError           a site folder is wrong: file, line, what, remedy
    └── BrokerError         .retryable
        ├── BrokerUnavailable   nobody answers, or the connection is gone: try again
        │   └── BrokerGarbled   what came is no MQTT; the connection was given up: try again
        └── BrokerRefused       the broker said no to these credentials
"""

from pathlib import Path


class SquareError(Exception):
    """Root of everything that the shared packages raise on purpose."""


class SettingsError(SquareError):
    """A setting is unknown, missing or out of bounds. The text is one sentence for the operator."""


class SiteError(SquareError):
    """A site folder cannot be used.

    Parameters
    ----------
    file : Path
        The file with the fault.
    line : int | None
        1-based line, when it is known.
    what : str
        What is wrong.
    remedy : str
        What to do about it.
    """

    def __init__(self, file: Path, line: int | None, what: str, remedy: str) -> None:
        where = f"{file}:{line}" if line is not None else str(file)
        super().__init__(f"{where}: {what}. {remedy}")
        self.file = file
        self.line = line
        self.what = what
        self.remedy = remedy


class BrokerError(SquareError):
    """The MQTT broker did not do what was asked; ``retryable`` says whether waiting can help."""

    retryable = False
    retry_after_s: float | None = None


class BrokerUnavailable(BrokerError):  # noqa: N818 - a state of the broker, not a mistake of the caller
    """No connection at the moment: keep the message and try again."""

    retryable = True


class BrokerGarbled(BrokerUnavailable):
    """What the broker sent is no MQTT 3.1.1, or nothing that was asked for."""


class BrokerRefused(BrokerError):  # noqa: N818 - as above
    """The broker refused user name or password."""
