"""The crash note: a line that the wire accepts, a count for life, never more than 512 bytes."""

import sys

from firmware import wire
from firmware.core import crash
from tests.firmware.both.ram_files import RamFiles

TRACE = """Traceback (most recent call last):
  File "main.py", line 3, in <module>
  File "/a/firmware/app.py", line 120, in run
OSError: [Errno 28] ENOSPC
"""


def test_the_code_names_type_number_and_place():
    """The innermost file and function, without its folder; an error without a number has none."""
    assert crash.code_of(OSError(28, "full"), TRACE) == "OSError 28 app.py:run"
    assert crash.code_of(ValueError("x"), TRACE) == "ValueError app.py:run"
    assert crash.code_of(MemoryError(), "") == "MemoryError"


def test_the_code_can_travel():
    """Odd names and long paths become at most 64 characters of what the wire allows."""
    trace = TRACE.replace("app.py", "\u00e4 <p>\\" + "y" * 90)
    code = crash.code_of(KeyError(1), trace)
    assert code.startswith("KeyError 1 -")
    assert len(code) == 64
    assert [character for character in code if character not in wire.CRASH_CHARACTERS] == []


def test_crashes_are_counted_for_life():
    """Each one replaces the last and counts on; the code and the end of the traceback are kept."""
    files = RamFiles()
    assert crash.load(files) == ("", 0)
    for _ in range(3):
        crash.store(OSError(28, "full"), files, TRACE)
    assert crash.load(files) == ("OSError 28 app.py:run", 3)
    assert files.content["/crash.txt"].endswith(b"ENOSPC\n")


def test_a_long_traceback_keeps_its_end():
    """The note has 512 bytes at most and still reads back."""
    files = RamFiles()
    crash.store(ValueError("x"), files, TRACE * 12)
    assert len(files.content["/crash.txt"]) == 512
    assert files.content["/crash.txt"].endswith(b"ENOSPC\n")
    assert crash.load(files) == ("ValueError app.py:run", 1)


def test_what_is_no_note_counts_from_one():
    """Garbage, half a file, or the loader's own plain note: no code, and the next crash is stored all the same."""
    for data in (b"", b"OSError: x", b"\n", b"x\ny\n", b"\xff\n\xff\n"):
        files = RamFiles()
        files.content["/crash.txt"] = data
        assert crash.load(files) == ("", 0)
        crash.store(ValueError("x"), files, TRACE)
        assert crash.load(files) == ("ValueError app.py:run", 1)


def test_the_node_finds_the_place_itself():
    """On MicroPython the traceback comes from the interpreter; CPython has no such function."""
    files = RamFiles()
    try:
        files.open("/nothing")
    except OSError as error:
        if not hasattr(sys, "print_exception"):
            return
        crash.store(error, files)
    code, count = crash.load(files)
    assert code.startswith("OSError 2 ram_files.py:")
    assert count == 1
