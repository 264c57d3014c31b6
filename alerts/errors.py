"""Errors of the alert engine and of the desk that people work at.

Tree::

    AlertsError
    ├── DatabaseError          .retryable, .retry_after_s
    │   ├── DatabaseUnavailable  the server or file cannot be reached or takes nothing now: try again
    │   ├── DatabaseRefused      address, driver, credentials or rights need a person
    │   └── SchemaTooNew         the data folder was written by a newer Resik
    ├── SeatLost               another engine may decide for the site now
    ├── NotFoundError          no such incident, task or crew link
    └── ConflictError          .state: the thing is no longer in a state that allows this
        ├── TaskConflict
        └── IncidentConflict
"""


class AlertsError(Exception):
    """Root of everything that alerts raises on purpose."""


class DatabaseError(AlertsError):
    """The relational store did not do what was asked.

    Attributes
    ----------
    retryable : bool
        Whether the same call may succeed later without a person's help.
    retry_after_s : float | None
        Earliest sensible retry [s].
    """

    retryable = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class DatabaseUnavailable(DatabaseError):  # noqa: N818 - a state of the store, not a mistake of the caller
    """Nothing answers, another process holds the store, or its disk is full: try again."""

    retryable = True


class DatabaseRefused(DatabaseError):  # noqa: N818 - as above
    """The address, the driver, the credentials or the rights need a person."""


class SchemaTooNew(DatabaseError):  # noqa: N818 - as above
    """The store was migrated by a newer release; this one MUST NOT write to it."""


class SeatLost(AlertsError):  # noqa: N818 - as above
    """An engine may not decide for its site any more: it stops, and stands by."""


class NotFoundError(AlertsError):
    """No incident, task or crew with that id or link."""


class ConflictError(AlertsError):
    """A person asked for a step that the current state does not allow.

    Attributes
    ----------
    entity : str
        ``task:17`` or ``incident:4``.
    state : str
        The state it is in now.
    """

    def __init__(self, message: str, *, entity: str, state: str) -> None:
        super().__init__(message)
        self.entity = entity
        self.state = state


class TaskConflict(ConflictError):  # noqa: N818 - a refusal of the domain, shown as 409
    """The task is not in a state that allows the step, or belongs to another crew."""


class IncidentConflict(ConflictError):  # noqa: N818 - as above
    """The incident is closed already."""
