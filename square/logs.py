"""How every process writes its log: lines for people, or JSON lines for collectors, on standard error."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any, Literal

LogFormat = Literal["text", "json"]

_UNSAFE = {code: f"\\x{code:02x}" for code in (*range(32), 127)} | {ord("\n"): "\\n", ord("\t"): "\t"}
"""What a stranger sent may stand in a message: it must neither forge a line nor command the terminal."""


class TextFormatter(logging.Formatter):
    """One line a record, a traceback below it; control characters in messages are escaped.

    Parameters
    ----------
    is_terminal : bool
        A person is looking now: the time of day is enough.
    """

    def __init__(self, *, is_terminal: bool) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s",
                         "%H:%M:%S" if is_terminal else "%Y-%m-%dT%H:%M:%S%z")  # fmt: skip

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the base class names it
        """Return the line without the traceback."""
        record.message = record.message.translate(_UNSAFE)
        return super().formatMessage(record)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ts, level, logger, service, site, msg, and exc with the traceback when there is one.

    Parameters
    ----------
    service, site : str
        Who writes.
    """

    def __init__(self, service: str, site: str) -> None:
        super().__init__()
        self._service = service
        self._site = site

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        entry: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "service": self._service,
            "site": self._site,
            "msg": record.getMessage(),
        }
        if record.exc_info:
            entry["exc"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure_logging(service: str, level: str, log_format: LogFormat = "text", site: str = "") -> None:
    """Send every record at or above ``level`` to standard error.

    Parameters
    ----------
    service, site : str
        Named in each JSON line.
    level : str
        DEBUG, INFO, WARNING or ERROR.
    log_format : str
        ``text`` or ``json``.
    """
    handler = logging.StreamHandler(sys.stderr)
    if log_format == "json":
        handler.setFormatter(JsonFormatter(service, site))
    else:
        handler.setFormatter(TextFormatter(is_terminal=sys.stderr.isatty()))
    logging.basicConfig(level=level, handlers=[handler], force=True)
