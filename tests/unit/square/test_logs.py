"""The log of a process."""

import json
import logging
from datetime import UTC, datetime

import pytest

from square import logs


@pytest.fixture
def written(capsys):
    """Give a look at standard error, and the root logger back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = []
    yield lambda: capsys.readouterr().err
    root.handlers[:], root.level = handlers, level


def fail(words):
    try:
        int(words)
    except ValueError:
        logging.getLogger("gateway.spool").exception("kept %d of %s", 3, words)


def test_a_json_line_says_when_who_what_and_why(written):
    """Every record is one line with all fields, the traceback inside, whatever is in the message."""
    logs.configure_logging("gateway", "INFO", "json", "alun-alun")
    fail("odd\nwords \x1b[31m")
    logging.getLogger("x").debug("below the level")
    (line,) = written().splitlines()
    entry = json.loads(line)
    assert list(entry) == ["ts", "level", "logger", "service", "site", "msg", "exc"]
    assert abs((datetime.now(UTC) - datetime.fromisoformat(entry["ts"])).total_seconds()) < 60
    assert (entry["level"], entry["logger"], entry["service"], entry["site"]) == (
        "ERROR", "gateway.spool", "gateway", "alun-alun",
    )  # fmt: skip
    assert entry["msg"] == "kept 3 of odd\nwords \x1b[31m"
    assert "ValueError: invalid literal" in entry["exc"]


def test_a_text_line_cannot_be_forged(written):
    """Text is the default; what came from outside adds no line and no terminal command, a traceback stays readable."""
    logs.configure_logging("gateway", "INFO")
    logging.getLogger("gateway").warning("said %s", "hi\n2026-01-01 ERROR fake: x\x1b[2J")
    (line,) = written().splitlines()
    assert "WARNING gateway: said hi\\n2026-01-01 ERROR fake: x\\x1b[2J" in line
    fail("plainly")
    traceback = written()
    assert "Traceback" in traceback
    assert traceback.splitlines()[-1].endswith("'plainly'")


def test_a_terminal_gets_the_time_of_day_and_a_file_the_date():
    """Who looks now knows the date; a file is read later."""
    record = logging.LogRecord("x", logging.INFO, "", 1, "m", (), None)
    assert len(logs.TextFormatter(is_terminal=True).format(record).split()[0]) == len("12:34:56")
    stamp = logs.TextFormatter(is_terminal=False).format(record).split()[0]
    assert datetime.strptime(stamp, "%Y-%m-%dT%H:%M:%S%z").tzinfo is not None
