"""Errors of the ingest worker and its stores.

Tree::

    IngestError
    ├── BadMessageError      one message is wrong: dead-letter it, go on
    └── StoreError           .retryable, .retry_after_s
        ├── StoreUnavailable   down, slow or refusing for now: keep the batch, try again
        └── StoreRefused       credentials, database or address are wrong: a person must act
"""


class IngestError(Exception):
    """Root of everything that ingest raises on purpose."""


class BadMessageError(IngestError):
    """One reading cannot be accepted.

    Parameters
    ----------
    code : str
        Short stable code, kept with the dead letter.
    reason : str
        One sentence for a person.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason


class StoreError(IngestError):
    """A store did not do what was asked.

    Attributes
    ----------
    retryable : bool
        Whether the same call may succeed later without a person's help.
    retry_after_s : float | None
        Earliest sensible retry [s], when the server named one.
    """

    retryable = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreUnavailable(StoreError):  # noqa: N818 - a state of the store, not a mistake of the caller
    """The store is down, slow or overloaded: keep the batch and try again."""

    retryable = True


class StoreRefused(StoreError):  # noqa: N818 - as above
    """The store answered and said no: credentials, database or address need a person."""
