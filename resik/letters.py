"""Asking ingest about dead letters: try some again, delete some, or only say what would become of them."""

import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from ingest.deadletter import Choice, SqliteDeadLetters
from ingest.errands import Finish, Line, Request, decode_answer, put_request
from ingest.replay import Outcome, try_letter
from ingest.settings import IngestSettings
from resik.errors import StackError
from resik.inspection import configured, find_data, read_card
from square.clock import now_ms, open_clock
from square.registry import Registry

ANSWER_WITHIN_S = 10.0
"""How long ingest may take to take up a request; it looks every second."""
NO_PROGRESS_S = 120.0

WORDS = {"stored": "tersimpan / stored", "done": "selesai / done", "kept": "tetap / kept"}


class Letters(msgspec.Struct, frozen=True):
    """Where the letters of an ingest are, and what else is needed to judge them."""

    file: Path
    site: str
    clock_file: Path | None


def find_letters(data: Path | None, config_file: Path | None) -> Letters:
    """Return the letters of a configured ingest, or else of a stack.

    Raises
    ------
    StackError, SettingsError
        If there is no such thing.
    """
    settings = configured(IngestSettings, "ingest", data, config_file)
    if settings is not None:
        return Letters(settings.dead_letter_file, str(settings.site), settings.clock_file)
    folder = find_data(data)
    card = read_card(folder)
    clock_file = Path(card.clock_file) if card.clock_file is not None else None
    return Letters(folder / "deadletters.sqlite3", card.site, clock_file)


def ask(letters: Letters, request: Request) -> Iterator[Outcome | Finish]:
    """Leave a request with ingest and yield what it answers; the last is a :class:`Finish`.

    Raises
    ------
    StackError
        If nobody takes it up in time: it stays for when ingest runs.
    """
    if not letters.file.exists():
        raise StackError(f"{letters.file} is not there yet: ingest makes it when it starts")
    answer = put_request(letters.file, request)
    read = 0
    deadline_s = time.monotonic() + ANSWER_WITHIN_S
    while True:
        text = answer.read_bytes() if answer.exists() else b""
        if len(text) < read:  # ingest was started anew and begins the request again
            read = 0
        lines, rest = text[read:].rpartition(b"\n")[::2]
        if lines:
            read = len(text) - len(rest)
            deadline_s = time.monotonic() + NO_PROGRESS_S
        for line in map(decode_answer, lines.splitlines()):
            if isinstance(line, Line):
                yield line.outcome
                continue
            answer.unlink(missing_ok=True)
            yield line
            return
        if time.monotonic() > deadline_s:
            raise StackError(
                "ingest tidak menjawab; permintaan disimpan dan dikerjakan saat ingest berjalan / "
                "ingest does not answer: the request is kept and done when it runs"
            )
        time.sleep(0.1)


def outcome_line(outcome: Outcome) -> str:
    """Return what became of a letter as one line."""
    return f"{outcome.id:6}  {outcome.device:20} {WORDS[outcome.verdict]}: {outcome.text}"


def preview(letters: Letters, choice: Choice) -> Iterator[Outcome]:
    """Say what would become of letters today, with the registry of today; nothing changes."""
    registry = Registry.load(letters.site)
    reader = SqliteDeadLetters(letters.file, read_only=True)
    after_id = 0
    try:
        while group := reader.choose(choice, after_id=after_id):
            after_id = group[-1].id
            for letter in group:
                readings, signs, fault = try_letter(letter, registry)
                if fault is not None:
                    text = f"{fault[0]}: {fault[1]}" if fault[0] else fault[1]
                    yield Outcome(letter.id, letter.device, "kept", text)
                elif readings:
                    yield Outcome(letter.id, letter.device, "stored", f"{len(readings)} readings")
                else:
                    yield Outcome(letter.id, letter.device, "done", f"{signs} signs of life")
    finally:
        reader.close()


def moment_before(letters: Letters, age_ms: int) -> int:
    """Return the moment that lies an age [ms] before now in the time of that ingest [ms since 1970 UTC]."""
    return now_ms(open_clock(letters.clock_file)) - age_ms
