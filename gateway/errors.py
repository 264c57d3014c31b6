"""Errors of the gateway.

::

    GatewayError
    |-- SpoolError            the spool could not do it; `retryable` says whether waiting helps
    |   |-- SpoolFull         no room on the disk: nothing was stored, nothing may be acknowledged
    |   |-- SpoolCorrupt      SQLite reports a damaged file while running; a restart moves it aside
    |   |-- SpoolLocked       another process holds the file
    |   `-- SpoolTooNew       the file was written by a newer gateway
    |-- OrdersError           the file of orders (configuration, commands, updates) could not do it
    |   `-- OrderRefused      an order makes no sense: a person must give another one
    `-- UplinkError           a batch or acknowledgement could not be handed to the broker

Loops decide by `retryable` and `retry_after_s`, never by the text.
"""


class GatewayError(Exception):
    """Root of what can go wrong in the gateway.

    Parameters
    ----------
    message
        What failed, where, and what to do.
    retryable
        Whether the same call may succeed later without anybody changing a setting.
    retry_after_s
        How long to wait before trying again [s], None when not retryable.
    """

    def __init__(self, message: str, *, retryable: bool = False, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after_s = retry_after_s


class SpoolError(GatewayError):
    """The spool refused or failed; the transaction was rolled back."""

    def __init__(self, message: str, *, retryable: bool = True, retry_after_s: float | None = 1.0) -> None:
        super().__init__(message, retryable=retryable, retry_after_s=retry_after_s if retryable else None)


class SpoolFull(SpoolError):  # noqa: N818 - named after the state, as callers read it
    """The disk is full or below the stop mark; intake pauses until space returns."""


class SpoolCorrupt(SpoolError):  # noqa: N818
    """The database file is damaged; the process must restart so that the file is moved aside."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class SpoolLocked(SpoolError):  # noqa: N818
    """Another process has the spool open; one file has one gateway."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class SpoolTooNew(SpoolError):  # noqa: N818
    """The file has a schema this version does not know; it is left untouched."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class UplinkError(GatewayError):
    """The broker could not take a message now; the rows stay in the spool."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=True, retry_after_s=1.0)


class OrdersError(GatewayError):
    """The file of orders refused or failed; readings never depend on it."""

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message, retryable=retryable, retry_after_s=10.0 if retryable else None)


class OrderRefused(OrdersError):  # noqa: N818 - named after what happened to the order
    """What was ordered cannot be given: an unknown command, a version that exists, a roll-out in the wrong state."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)
