"""The last crash on flash: how many there were, a line for the status message, and the end of its traceback."""

import io
import sys

from firmware.core.files import Files, read, replace

PATH = "/crash.txt"
_MOST_BYTES = 512
_PLAIN = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 .:_-"


def trace_of(error):
    """Return the traceback as text."""
    text = io.StringIO()
    sys.print_exception(error, text)  # pyright: ignore[reportArgumentType]
    return text.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def code_of(error, trace):
    """Make the line for the status: `OSError 28 node.py:talk`, at most 64 plain characters."""
    code = type(error).__name__
    if error.args and isinstance(error.args[0], int):
        code += " %d" % error.args[0]
    at = trace.rfind('File "')
    if at >= 0:
        place = trace[at + 6 :].split("\n")[0].split('", line ')
        if len(place) == 2:
            code += " %s:%s" % (place[0].split("/")[-1], place[1].split(" in ")[-1])
    return "".join([character if character in _PLAIN else "-" for character in code])[:64]


def store(error, files=None, trace=None):
    """Keep this crash instead of the last one; the count goes on for the life of the node."""
    files = files or Files()
    if trace is None:
        trace = trace_of(error)
    head = "%d\n%s\n" % (load(files)[1] + 1, code_of(error, trace))
    replace(files, PATH, head.encode() + trace.encode()[-(_MOST_BYTES - len(head)) :])


def load(files):
    """Return (code, count) of what was stored: ("", 0) when there was no crash or the note is no note."""
    data = read(files, PATH, _MOST_BYTES) or b""
    lines = data.split(b"\n")
    try:
        return lines[1].decode(), int(lines[0])
    except (IndexError, ValueError):
        return "", 0
