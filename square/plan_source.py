"""Reading the files of a site folder while remembering the line of everything.

A surveyor edits these files by hand or in a map program, so a complaint must name the line. Neither `json`
nor `tomllib` tells where a value stood; this module does, on top of their own scanners.
"""

import bisect
import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Never

Key = tuple[str | int, ...]
"""Where a value sits: ("features", 3, "properties", "id")."""

SITE_FILE = "site.toml"
PLAN_FILE = "plan.geojson"
CREWS_FILE = "crews.toml"
DEVICES_FILE = "devices.toml"

_MAX_DEPTH = 32
_MAX_SHOWN = 300
_MAX_BYTES = 16 * 1024 * 1024


class Severity(StrEnum):
    """What a finding means for the site."""

    ERROR = "error"
    """The site cannot be loaded."""
    WARNING = "warning"
    """The site loads; a person should look."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong in a site folder.

    Parameters
    ----------
    file
        Name of the file inside the folder.
    line
        1-based line; 1 when the fault is about the whole file.
    severity
        Error or warning.
    what
        What is wrong, without a full stop.
    remedy
        What to do about it, a full sentence.
    """

    file: str
    line: int
    severity: Severity
    what: str
    remedy: str

    def told(self, path: Path) -> str:
        """Return it as two lines for a terminal; `path` is its file, as the person named it."""
        return f"{path}:{self.line}: {self.severity}: {self.what}.\n    {self.remedy}"


def verdict(findings: Sequence[Finding], name_id: str, name_en: str) -> list[str]:
    """Return one Indonesian and one English line: whether what was checked can be used, and how much is wrong."""
    if not findings:
        return [f"{name_id} benar.", f"{name_en} is sound."]
    errors = sum(f.severity is Severity.ERROR for f in findings)
    warnings = len(findings) - errors
    words = ("tidak dapat dipakai", "cannot be used") if errors else ("dapat dipakai", "can be used")
    return [
        f"{name_id} {words[0]}: {errors} kesalahan, {warnings} peringatan.",
        f"{name_en} {words[1]}: {errors} error(s), {warnings} warning(s).",
    ]


@dataclass(frozen=True)
class Document:
    """The parsed content of one file and the line of each of its values.

    Parameters
    ----------
    file
        Name of the file inside the folder.
    data
        Parsed content.
    lines
        1-based line of each key and array element.
    repeated
        Keys that the file gives more than once.
    """

    file: str
    data: Any
    lines: Mapping[Key, int]
    repeated: tuple[Key, ...] = ()

    def line(self, *key: str | int) -> int:
        """1-based line of a value, or of the nearest thing around it that is in the file."""
        for end in range(len(key), 0, -1):
            if key[:end] in self.lines:
                return self.lines[key[:end]]
        return 1

    def error(self, key: Key, what: str, remedy: str) -> Finding:
        """Complain about a value so that the site cannot load."""
        return Finding(self.file, self.line(*key), Severity.ERROR, _shown(what), remedy)

    def warning(self, key: Key, what: str, remedy: str) -> Finding:
        """Complain about a value that does not keep the site from loading."""
        return Finding(self.file, self.line(*key), Severity.WARNING, _shown(what), remedy)


def _shown(text: str) -> str:
    """Make a text that quotes a file safe for a terminal: no control characters, no endless values."""
    printable = "".join(c if c.isprintable() else "?" for c in text)
    return printable if len(printable) <= _MAX_SHOWN else printable[:_MAX_SHOWN] + "..."


def read_document(folder: Path, name: str) -> Document | Finding:
    """Read one file of a site folder.

    Returns
    -------
    Document | Finding
        A finding when the file is missing, unreadable, not UTF-8 or not well formed.
    """
    path = folder / name
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return _file_error(
            name, 1, "the file is missing", f"Create {name}; docs/site-plan.md shows what belongs in it."
        )
    except OSError as error:
        return _file_error(name, 1, f"the file cannot be read: {error.strerror}", "Check its type and permissions.")
    if len(raw) > _MAX_BYTES:
        return _file_error(
            name, 1, f"the file has {len(raw)} bytes", f"Keep it below {_MAX_BYTES}: drop what is no asset."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        what = f"byte 0x{raw[error.start]:02x} is not valid UTF-8"
        return _file_error(name, line, what, "Save the file with the encoding UTF-8.")
    return _parse_json(name, text) if name.endswith("json") else _parse_toml(name, text)


def _file_error(name: str, line: int, what: str, remedy: str) -> Finding:
    return Finding(name, line, Severity.ERROR, what, remedy)


def _lowered(message: str) -> str:
    """Start a message in lower case, unless it starts with a name such as NaN."""
    return message[:1].lower() + message[1:] if message[1:2].islower() and message[2:3].islower() else message


def _parse_json(name: str, text: str) -> Document | Finding:
    reader = _JsonReader(text)
    try:
        data = reader.read()
    except json.JSONDecodeError as error:
        what = f"the JSON breaks off at column {error.colno}: {_lowered(error.msg)}"
        return _file_error(
            name, error.lineno, what, "Correct the text at this place; a comma or quote nearby is the usual cause."
        )
    return Document(name, data, reader.lines, tuple(reader.repeated))


@dataclass
class _JsonReader:
    """JSON with positions: structure is read here, scalars by the standard library's decoder."""

    text: str
    lines: dict[Key, int] = field(default_factory=dict)
    repeated: list[Key] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._newlines = [m.start() for m in re.finditer("\n", self.text)]
        self._scalar = json.JSONDecoder(parse_constant=self._refuse_constant)
        self._at = 0

    def read(self) -> Any:
        value = self._value(())
        if self._next():
            self._fail("Extra data after the end")
        return value

    def _refuse_constant(self, word: str) -> Never:
        self._fail(f"{word} is not a JSON number")

    def _fail(self, message: str) -> Never:
        raise json.JSONDecodeError(message, self.text, self._at)

    def _next(self) -> str:
        """Skip white space; the character there, empty at the end."""
        while self._at < len(self.text) and self.text[self._at] in " \t\r\n":
            self._at += 1
        return self.text[self._at : self._at + 1]

    def _expect(self, char: str) -> None:
        if self._next() != char:
            self._fail(f"Expected '{char}'")
        self._at += 1

    def _value(self, key: Key) -> Any:
        if len(key) > _MAX_DEPTH:
            self._fail(f"Nested deeper than {_MAX_DEPTH} levels")
        char = self._next()
        self.lines.setdefault(key, bisect.bisect_left(self._newlines, self._at) + 1)
        if char == "{":
            return self._object(key)
        if char == "[":
            return self._array(key)
        return self._plain()

    def _plain(self) -> Any:
        try:
            value, self._at = self._scalar.raw_decode(self.text, self._at)
        except json.JSONDecodeError:
            raise
        except ValueError:  # an integer of thousands of digits
            self._fail("Number too long")
        return value

    def _object(self, key: Key) -> dict[str, Any]:
        found: dict[str, Any] = {}
        self._expect("{")
        if self._next() == "}":
            self._at += 1
            return found
        while True:
            if self._next() != '"':
                self._fail("Expected a name in double quotes")
            name = str(self._plain())
            self._expect(":")
            if name in found:
                self.repeated.append((*key, name))
            found[name] = self._value((*key, name))
            if self._next() != ",":
                break
            self._at += 1
        self._expect("}")
        return found

    def _array(self, key: Key) -> list[Any]:
        found: list[Any] = []
        self._expect("[")
        if self._next() == "]":
            self._at += 1
            return found
        while True:
            found.append(self._value((*key, len(found))))
            if self._next() != ",":
                break
            self._at += 1
        self._expect("]")
        return found


def _parse_toml(name: str, text: str) -> Document | Finding:
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError, or an integer of thousands of digits
        message = str(error)
        place = re.search(r"\(at line (\d+), column (\d+)\)", message)
        line = int(place[1]) if place else len(text.splitlines()) or 1
        column = f" at column {place[2]}" if place else ""
        reason = re.sub(r" *\(at .*\)$", "", message)
        what = f"the TOML breaks off{column}: {_lowered(reason)}"
        return _file_error(name, line, what, "Correct the text at this place; text values need double quotes.")
    except RecursionError:
        return _file_error(name, 1, "the TOML is nested too deeply", "Write plain tables and lists.")
    return Document(name, data, _toml_lines(text))


_TOML_HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]")
_TOML_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_TOML_TOKEN = re.compile(r'"""|\'\'\'|"(?:\\.|[^"\\\n])*"|\'[^\'\n]*\'|#[^\n]*|[\[\]{}]')


def _toml_lines(text: str) -> dict[Key, int]:
    """Line of each table and key of a well-formed TOML text; elements of inline lists are not told apart."""
    lines: dict[Key, int] = {}
    counts: dict[Key, int] = {}
    table: Key = ()
    quote, depth = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not quote and depth == 0:
            if header := _TOML_HEADER.match(line):
                table = _split_key(header[2])
                if header[1] == "[[":
                    counts[table] = counts.get(table, -1) + 1
                    table = (*table, counts[table])
                lines.setdefault(table, number)
                continue
            if key := _TOML_KEY.match(line):
                lines.setdefault(table + _split_key(key[1]), number)
        quote, depth = _toml_state(line, quote, depth)
    return lines


def _split_key(text: str) -> Key:
    return tuple(part.strip().strip("\"'") for part in re.split(r"\s*\.\s*(?![^\"]*\"$)", text))


def _toml_state(line: str, quote: str, depth: int) -> tuple[str, int]:
    """Open long quote and bracket depth after one line."""
    at = 0
    while at < len(line):
        if quote:
            end = line.find(quote, at)
            if end < 0:
                return quote, depth
            quote, at = "", end + len(quote)
            continue
        token = _TOML_TOKEN.search(line, at)
        if token is None:
            break
        at = token.end()
        if token[0] in ('"""', "'''"):
            quote = token[0]
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
    return quote, depth
