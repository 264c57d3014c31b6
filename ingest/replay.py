"""Dead letters tried again, after a fix of the registry or of a codec.

A letter goes through the same decoder as its row did, with the identity, the point time and the arrival of then, and to
the same store. What is stored then leaves the dead letters, after the store accepted it: killed in between, the letter
is there still, and storing it once more changes nothing.
"""

from collections.abc import Sequence
from typing import Final, Literal

import msgspec
from msgspec import Raw

from firmware import wire
from ingest.deadletter import OVER_QUOTA, Choice, SqliteDeadLetters, StoredLetter
from ingest.decode import decode_row, read_row
from ingest.errors import BadMessageError
from ingest.messages import Row
from ingest.readings import Reading
from ingest.refused import RAW_LIMIT_BYTES
from ingest.store import PointSink
from square.makes import MARK
from square.registry import Registry

GROUP: Final = 200
"""Letters that are tried together; the flow of new batches waits for no more."""

_NO_MESSAGES: Final = {OVER_QUOTA, "bad-batch"}
_decode_object = msgspec.json.Decoder(dict[str, object]).decode
_decode_reading = msgspec.json.Decoder(Reading).decode


class Outcome(msgspec.Struct, frozen=True):
    """What became of one letter.

    Attributes
    ----------
    id : int
        Of the letter.
    device : str
        Its device, as far as known.
    verdict : str
        "stored": it is a point now. "done": there is nothing to store in it (a sign of life). Both leave the dead
        letters. "kept": it stays, see ``text``.
    text : str
        One sentence.
    """

    id: int
    device: str
    verdict: Literal["stored", "done", "kept"]
    text: str


class _Attempt(msgspec.Struct):
    """One letter on its way: what it would store, and what is still wrong with it."""

    letter: StoredLetter
    readings: list[Reading]
    signs: int = 0
    fault: tuple[str, str] | None = None
    """Code and reason; the code is empty for a letter that can never be tried."""


def _never(reason: str) -> BadMessageError:
    return BadMessageError("", reason)


def rows_of(letter: StoredLetter, registry: Registry) -> list[Row]:
    """Return the rows that a letter came from, as a gateway would send them today.

    Raises
    ------
    BadMessageError
        If it cannot be tried again at all, with an empty code, or if it still cannot be read.
    """
    if letter.code in _NO_MESSAGES:
        raise _never("it counts what was not kept: the gateway holds the rows, or nobody does")
    if letter.kind == "row":
        return [read_row(letter.raw)]
    if len(letter.raw) >= RAW_LIMIT_BYTES:
        raise _never(f"only {RAW_LIMIT_BYTES} bytes of it were kept")
    if letter.kind in {"bin", "air", "uplink", "status", "will"}:
        return [_row(letter, letter.kind, letter.raw, registry)]
    if letter.kind == "" and letter.seq is not None:
        return [_old_row(letter)]
    return _poison_rows(letter)


def _row(letter: StoredLetter, kind: str, raw: bytes, registry: Registry) -> Row:
    device = letter.device
    if kind == "uplink" and not device.startswith(MARK):
        known = registry.device(device)
        if known is None or known.foreign is None:
            raise BadMessageError("unknown-device", f"{device[:40]!r} is no sensor of another make any more")
        device = MARK + known.foreign
    return msgspec.convert(
        {
            "id": letter.id,
            "device": device,
            "kind": kind,
            "arrived_ms": letter.arrived_ms or letter.first_ms,
            "boot": letter.boot or 0,
            "seq": letter.seq or 0,
            "ts_ms": letter.ts_ms or 0,
            "time": letter.time or "device",
            "uplink" if kind == "uplink" else "body": Raw(raw),
        },
        Row,
    )


def _old_row(letter: StoredLetter) -> Row:
    """Rebuild the row of a letter that an earlier Resik kept: without times, they follow from what was sent."""
    try:
        _, _, _, kind = wire.parse_topic(letter.topic)
        reading = _decode_object(letter.raw)
    except (wire.WireError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _never(f"an earlier version kept it in a form of its own ({error})") from error
    return _dated_row(letter, letter.device, kind, letter.boot or 0, reading)


def _dated_row(letter: StoredLetter, device: str, kind: str, boot: int, reading: dict[str, object]) -> Row:
    ts, seq = reading.get("ts"), reading.get("seq")
    if not isinstance(ts, int) or not isinstance(seq, int) or kind not in wire.FIELDS:
        raise _never("it has no time of its own: only the gateway that received it could date it")
    ts_ms: int = wire.point_ms(ts, boot, seq)
    return Row(
        id=letter.id,
        device=device,
        kind="bin" if kind == "bin" else "air",
        arrived_ms=letter.arrived_ms or letter.first_ms,
        boot=boot,
        seq=seq,
        ts_ms=ts_ms,
        body=Raw(msgspec.json.encode(reading)),
    )


def _poison_rows(letter: StoredLetter) -> list[Row]:
    """Read a payload that the gateway could not read."""
    if not letter.topic.startswith("resik/"):
        raise _never("only the gateway knows the format of this topic: have the message sent again")
    try:
        _, device, direction, kind = wire.parse_topic(letter.topic)
        if direction == "up" and kind in {"status", "will"}:
            boot = wire.load_object(letter.raw).get("boot")
            raw, arrived_ms = Raw(letter.raw), letter.arrived_ms or letter.first_ms
            boot = boot if isinstance(boot, int) and 0 <= boot <= wire.U32_MAX else 0
            of_kind: Literal["status", "will"] = "status" if kind == "status" else "will"
            return [Row(id=letter.id, device=device, kind=of_kind, arrived_ms=arrived_ms, boot=boot, body=raw)]
        envelope = wire.decode_envelope(letter.raw)
    except wire.WireError as error:
        raise BadMessageError(error.code, str(error).partition(": ")[2]) from error
    return [_dated_row(letter, device, kind, envelope["boot"], reading) for reading in envelope["readings"]]


def try_letter(letter: StoredLetter, registry: Registry) -> tuple[list[Reading], int, tuple[str, str] | None]:
    """Decode a letter again. Pure.

    Returns
    -------
    tuple[list[Reading], int, tuple[str, str] | None]
        What would be stored, how many signs of life are in it, and the first thing that is still wrong: code and
        reason, the code empty for a letter that can never be tried.
    """
    readings: list[Reading] = []
    signs = 0
    fault: tuple[str, str] | None = None
    try:
        if letter.kind == "reading" or (letter.kind == "" and letter.code == "store-rejected"):
            return [_reading(letter)], 0, None
        for row in rows_of(letter, registry):
            batch = decode_row(row, registry, letter.topic)
            readings += [placed.reading for placed in batch.readings]
            signs += len(batch.statuses)
            if batch.dead and fault is None:
                fault = (batch.dead[0].code, batch.dead[0].reason)
    except BadMessageError as error:
        fault = (error.code, error.reason)
    return readings, signs, fault


def _reading(letter: StoredLetter) -> Reading:
    try:
        return _decode_reading(letter.raw)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _never(f"it is not whole any more: {error}") from error


class Replay:
    """Tries letters again.

    Parameters
    ----------
    registry : Registry
        Of today.
    store : PointSink
        Where readings go.
    letters : SqliteDeadLetters
        Where they come from; opened for writing.
    """

    def __init__(self, registry: Registry, store: PointSink, letters: SqliteDeadLetters) -> None:
        self._registry = registry
        self._store = store
        self._letters = letters

    def group(self, choice: Choice, after_id: int) -> list[Outcome]:
        """Try the next letters of a choice, those behind ``after_id``; nothing when there are no more.

        Raises
        ------
        StoreError
            If one of the two stores is down: nothing is lost, call it again.
        """
        attempts = [
            _Attempt(letter, *try_letter(letter, self._registry))
            for letter in self._letters.choose(choice, after_id=after_id, limit=GROUP)
        ]
        self._write(attempts)
        outcomes = [_outcome(attempt) for attempt in attempts]
        self._letters.resolve(
            [outcome.id for outcome in outcomes if outcome.verdict != "kept"],
            [(a.letter.id, *a.fault) for a in attempts if a.fault is not None and a.fault[0]],
        )
        return outcomes

    def _write(self, attempts: Sequence[_Attempt]) -> None:
        owners = [attempt for attempt in attempts for _ in attempt.readings]
        if not owners:
            return
        points = [reading.point() for attempt in attempts for reading in attempt.readings]
        for rejected in self._store.write(points).rejected:
            owners[rejected.index].fault = ("store-rejected", f"{rejected.code}: {rejected.reason}")


def _outcome(attempt: _Attempt) -> Outcome:
    letter = attempt.letter
    if attempt.fault is not None:
        code, reason = attempt.fault
        return Outcome(letter.id, letter.device, "kept", f"{code}: {reason}" if code else reason)
    if not attempt.readings:
        return Outcome(letter.id, letter.device, "done", "a sign of life: there is nothing to store")
    at = ", ".join(f"{reading.asset} boot {reading.boot} seq {reading.seq}" for reading in attempt.readings[:3])
    return Outcome(letter.id, letter.device, "stored", at)
