"""What a person asks of a running ingest: to try dead letters again, or to delete some.

The store of points and the file of dead letters have one writing process each, and that is ingest. So whoever asks
puts a request into a folder beside the file of dead letters; ingest takes it up within a second, writes what becomes of
each letter into an answer beside it, and removes the request when it is done. A request that nobody takes waits there
until ingest runs. Killed in the middle, ingest begins it again: what is done already is not there any more.
"""

import contextlib
import fcntl
import logging
import secrets
import time
from pathlib import Path
from typing import Final, Literal, TextIO

import msgspec

from ingest.deadletter import Choice, SqliteDeadLetters
from ingest.errors import StoreError
from ingest.replay import Outcome, Replay

LOOK_EVERY_S: Final = 1.0
PAUSE_AFTER_FAULT_S: Final = 5.0
FORGOTTEN_AFTER_S: Final = 86_400.0
"""Age after which an answer is removed that nobody read [s of wall time]."""

_log = logging.getLogger(__name__)


class Request(msgspec.Struct, frozen=True):
    """What is asked for."""

    action: Literal["replay", "delete"]
    choice: Choice


class Finish(msgspec.Struct, frozen=True, tag="finish"):
    """Last line of an answer: how many letters were looked at or deleted, and what went wrong if anything did."""

    count: int
    error: str = ""


class Line(msgspec.Struct, frozen=True, tag="line"):
    """One line of an answer."""

    outcome: Outcome


_decode_request = msgspec.json.Decoder(Request).decode
decode_answer = msgspec.json.Decoder(Line | Finish).decode


def folder_of(dead_letter_file: Path) -> Path:
    """Return where requests for the ingest of this file of dead letters go."""
    return dead_letter_file.with_name(dead_letter_file.name + ".requests")


def put_request(dead_letter_file: Path, request: Request) -> Path:
    """Leave a request and return the path on which its answer will be."""
    folder = folder_of(dead_letter_file)
    folder.mkdir(exist_ok=True)
    name = f"{time.time_ns():020d}-{secrets.token_hex(4)}"
    draft = folder / f"{name}.draft"
    draft.write_bytes(msgspec.json.encode(request))
    draft.rename(folder / f"{name}.request")
    return folder / f"{name}.answer"


class Errands:
    """Does what was asked for, a group of letters at a time, between two batches.

    Parameters
    ----------
    replay : Replay
        Tries letters again.
    letters : SqliteDeadLetters
        Where letters are deleted.
    """

    def __init__(self, replay: Replay, letters: SqliteDeadLetters) -> None:
        self._replay = replay
        self._letters = letters
        self._folder = folder_of(letters.path)
        self._next_look_s = 0.0
        self._request: tuple[Path, TextIO, Request] | None = None
        self._after_id = 0
        self._count = 0
        self.letters_stored = 0
        """Letters that were stored when tried again, since start."""

    def step(self) -> None:
        """Do a little of what was asked for, if anything was; it never raises for a store that is down."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        try:
            if self._request is None and not self._take():
                self._next_look_s = now_s + LOOK_EVERY_S
                return
            self._go_on()
        except StoreError as error:
            _log.warning("a request about dead letters waits: %s", error)
            self._next_look_s = now_s + PAUSE_AFTER_FAULT_S
        except OSError as error:
            _log.warning("requests about dead letters in %s cannot be done: %s", self._folder, error)
            self.close()
            self._next_look_s = now_s + PAUSE_AFTER_FAULT_S

    def close(self) -> None:
        """Let go of a request that was begun: whoever runs next begins it again."""
        if self._request is not None:
            self._request[1].close()
            self._request = None

    def _take(self) -> bool:
        """Take the oldest request that no other worker has."""
        if not self._folder.is_dir():
            return False
        self._forget_answers()
        for path in sorted(self._folder.glob("*.request")):
            try:
                file = path.open("r+", encoding="utf-8")
            except FileNotFoundError:
                continue  # another worker has finished it
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                request = _decode_request(file.read())
            except BlockingIOError:
                file.close()
                continue
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                _log.error("%s is no request (%s): removed", path, error)
                file.close()
                path.unlink(missing_ok=True)
                continue
            self._request = (path, file, request)
            self._after_id = self._count = 0
            path.with_suffix(".answer").write_bytes(b"")
            _log.info("asked to %s dead letters: %s", request.action, request.choice)
            return True
        return False

    def _go_on(self) -> None:
        assert self._request is not None
        path, _, request = self._request
        if request.action == "delete":
            self._finish(path, self._delete(request.choice))
            return
        outcomes = self._replay.group(request.choice, self._after_id)
        if not outcomes:
            self._finish(path, Finish(self._count))
            return
        self._after_id = outcomes[-1].id
        self._count += len(outcomes)
        self.letters_stored += sum(outcome.verdict == "stored" for outcome in outcomes)
        _append(path, *(Line(outcome) for outcome in outcomes))

    def _delete(self, choice: Choice) -> Finish:
        try:
            return Finish(self._letters.delete(choice))
        except ValueError as error:
            return Finish(0, str(error))

    def _finish(self, path: Path, last: Finish) -> None:
        _append(path, last)
        path.unlink(missing_ok=True)
        self.close()
        _log.info("done: %d dead letters", last.count)

    def _forget_answers(self) -> None:
        for answer in self._folder.glob("*.answer"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - answer.stat().st_mtime > FORGOTTEN_AFTER_S:
                    answer.unlink()


def _append(request: Path, *lines: Line | Finish) -> None:
    with request.with_suffix(".answer").open("ab") as answer:
        answer.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
