"""Dead letters tried again: the same point as if nothing had ever been wrong, and none lost on the way."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from firmware import wire
from ingest.deadletter import OVER_QUOTA, Choice, DeadLetter, SqliteDeadLetters
from ingest.decode import decode_batch
from ingest.errands import Errands, Finish, Line, Request, decode_answer, folder_of, put_request
from ingest.errors import StoreUnavailable
from ingest.replay import Outcome, Replay
from ingest.store import Point, Rejected, Writable, WriteResult
from square.registry import Registry
from square.site import Device
from tests.unit.ingest.batches import BOOT, NOW_MS, NOW_S, SITE, TOPIC, batch, poison, registry, row, status
from tests.unit.ingest.test_uplinks import mixed, uplink

DEVICE_FIXED = Device("rsk-b099", "bin", "bin-003", "uji", 600, "active")


def fixed(*devices: Device) -> Registry:
    """Return the small site with devices that were forgotten at first."""
    own = registry()
    assets = {placement.asset.id: placement.asset for placement in own.placements()}
    hours = assets["bin-001"].hours  # type: ignore[union-attr]
    bin_type = type(assets["bin-001"])
    assets["bin-003"] = bin_type("bin-003", "Tong", "Bin", 112.9, -7.6, "zona-utara", 120.0, "mixed", 980, 240, hours)  # type: ignore[call-arg]
    return Registry(SITE, [*own, *devices], assets)


class Store:
    """Keeps points by identity, as every store does; `refuse` refuses points, `down` fails."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], Point] = {}
        self.is_down = False
        self.refuses = False

    def prepare(self) -> None:
        pass

    def close(self) -> None:
        pass

    def write(self, points: Sequence[Writable]) -> WriteResult:
        if self.is_down:
            raise StoreUnavailable("down")
        if self.refuses:
            return WriteResult(0, tuple(Rejected(index, "x", "not of my type") for index in range(len(points))))
        for point in (item.point() for item in points):
            self.points[point.tags["device"], point.ts_ms] = point
        return WriteResult(len(points))


@pytest.fixture
def letters(tmp_path: Path) -> SqliteDeadLetters:
    made = SqliteDeadLetters(tmp_path / "dead.sqlite3")
    made.prepare()
    return made


def bury(letters: SqliteDeadLetters, *rows: dict[str, Any], of: Registry | None = None) -> None:
    """Let the decoder refuse rows and keep them as the worker does."""
    found = decode_batch(batch(list(rows)), of or registry(), TOPIC)
    assert not found.readings
    letters.put(
        [
            DeadLetter(
                dead.device,
                dead.topic,
                dead.code,
                dead.reason,
                dead.raw,
                boot=dead.boot,
                seq=dead.seq,
                kind=dead.kind,
                ts_ms=dead.ts_ms,
                arrived_ms=dead.arrived_ms,
                time=dead.time,
            )
            for dead in found.dead
        ],
        NOW_MS + 60_000,
    )


def again(letters: SqliteDeadLetters, store: Store, of: Registry, choice: Choice | None = None) -> list[Outcome]:
    return Replay(of, store, letters).group(choice or Choice(), 0)


def test_a_letter_of_a_forgotten_device_becomes_the_point_that_it_would_have_been(letters: SqliteDeadLetters) -> None:
    """Once the registry knows the device: identity, point time, arrival, values and flags are those of a direct way."""
    late = row(7, device="rsk-b099", ts=NOW_S - 3600)
    bury(letters, late)
    assert letters.counts() == {"unknown-device": 1}
    store = Store()
    (outcome,) = again(letters, store, fixed(DEVICE_FIXED))
    assert outcome.verdict == "stored"
    assert outcome.text == f"bin-003 boot {BOOT} seq 7"
    direct = decode_batch(batch([late]), fixed(DEVICE_FIXED)).readings[0].reading.point()
    assert list(store.points.values()) == [direct]
    assert letters.counts() == {}


def test_a_letter_that_is_still_wrong_stays_with_its_present_fault(letters: SqliteDeadLetters) -> None:
    """The registry was fixed, the value was not: the letter now says so, and nothing was stored."""
    bury(letters, row(1, device="rsk-b099", body={"distance_mm": 99_999}))
    store = Store()
    (outcome,) = again(letters, store, fixed(DEVICE_FIXED))
    assert outcome.verdict == "kept"
    assert outcome.text.startswith("bad-value: ")
    assert not store.points
    assert letters.counts() == {"bad-value": 1}


def test_a_letter_of_another_make_is_read_once_it_is_registered(letters: SqliteDeadLetters) -> None:
    """The frame of an unknown DevEUI waited; with `foreign` and `codec` it is a reading of its own time."""
    bury(letters, uplink(5, at_s=NOW_S - 600))
    store = Store()
    (outcome,) = again(letters, store, mixed())
    assert outcome.verdict == "stored"
    (point,) = store.points.values()
    assert point.tags["device"] == "tong-7"
    assert (point.fields["distance_mm"], point.fields["seq"]) == (2821.0, NOW_S - 600)


def test_a_letter_that_a_codec_refused_keeps_the_way_back_to_its_codec(letters: SqliteDeadLetters) -> None:
    """Refused under the id of the device: tried again it finds the codec, and is refused for the same reason."""
    bury(letters, uplink(5, frame="0e1c0b05"), of=mixed())
    (outcome,) = again(letters, Store(), mixed())
    assert (outcome.device, outcome.verdict) == ("tong-7", "kept")
    assert outcome.text.startswith("no-sensor: ")
    (outcome,) = again(letters, Store(), registry())
    assert outcome.text.startswith("unknown-device: ")


def test_a_reading_that_the_gateway_dated_keeps_that_date(letters: SqliteDeadLetters) -> None:
    """Without a time of its own the point time is the gateway's, and the flag survives."""
    row_ = row(3, device="rsk-b099", ts=None, ts_ms=NOW_MS - 5_000, time="anchor")
    bury(letters, row_)
    store = Store()
    again(letters, store, fixed(DEVICE_FIXED))
    (point,) = store.points.values()
    assert point.ts_ms == NOW_MS - 5_000
    assert int(point.fields["flags"]) & 4


def test_a_sign_of_life_leaves_without_a_point(letters: SqliteDeadLetters) -> None:
    """The status of a forgotten device has nothing to store."""
    bury(letters, status(4) | {"device": "rsk-b099"})
    store = Store()
    (outcome,) = again(letters, store, fixed(DEVICE_FIXED))
    assert (outcome.verdict, store.points, letters.counts()) == ("done", {}, {})


def test_what_the_store_refused_is_offered_again(letters: SqliteDeadLetters) -> None:
    """A point that was refused for good then is stored now, or stays with the words of today."""
    reading = decode_batch(batch([row(1)]), registry()).readings[0].reading
    letters.put([DeadLetter("rsk-b001", TOPIC, "store-rejected", "x", msgspec.json.encode(reading), kind="reading")], 1)
    store = Store()
    store.refuses = True
    (outcome,) = again(letters, store, registry())
    assert (outcome.verdict, outcome.text) == ("kept", "store-rejected: x: not of my type")
    store.refuses = False
    (outcome,) = again(letters, store, registry())
    assert outcome.verdict == "stored"
    assert list(store.points.values()) == [reading.point()]


def test_poison_that_can_be_read_now_gives_its_readings(letters: SqliteDeadLetters) -> None:
    """All readings of the message that have a time; one without can only be dated by a gateway: the letter stays."""
    good = wire.encode_up(
        BOOT, [{"seq": 1, "ts": NOW_S, "distance_mm": 700}, {"seq": 2, "ts": NOW_S + 1, "fill_pct": 5}]
    )
    untimed = wire.encode_up(BOOT, [{"seq": 3, "up_s": 5, "distance_mm": 700}], up_s=6)
    bury(letters, poison(1, good.encode()), poison(2, untimed.encode()), poison(3, b'{"v":1,'))
    store = Store()
    found = again(letters, store, registry())
    assert [outcome.verdict for outcome in found] == ["stored", "kept", "kept"]
    assert sorted(point.fields["seq"] for point in store.points.values()) == [1, 2]
    assert "no time of its own" in found[1].text
    assert found[2].text.startswith("bad-json")


@pytest.mark.parametrize(
    ("letter", "why"),
    [
        (DeadLetter("rsk-b001", "", OVER_QUOTA, "x", b""), "counts what was not kept"),
        (DeadLetter("", TOPIC, "bad-batch", "x", b"{}"), "counts what was not kept"),
        (DeadLetter("rsk-b001", "t", "bad-value", "x", b"z" * 5000, boot=1, seq=1, kind="bin"), "4096 bytes"),
        (DeadLetter("unknown", "v3/a/devices/b/up", "bad-uplink", "x", b"?", kind="poison"), "only the gateway"),
        (DeadLetter("rsk-b001", "old/topic", "clock", "x", b"{}", boot=1, seq=1), "an earlier version"),
    ],
)
def test_what_can_never_be_tried_again_says_so_and_stays(
    letters: SqliteDeadLetters, letter: DeadLetter, why: str
) -> None:
    """The code of the letter does not change, and nothing is lost."""
    letters.put([letter], 1)
    (outcome,) = again(letters, Store(), registry())
    assert outcome.verdict == "kept"
    assert why in outcome.text
    assert letters.counts() == {letter.code: 1}


def test_a_row_in_the_wrong_shape_is_read_as_the_row_that_it_is(letters: SqliteDeadLetters) -> None:
    """A field that was of the wrong type then: after an update of the decoder it may be right."""
    raw = json.dumps(row(9)).encode()
    letters.put([DeadLetter("rsk-b001", TOPIC, "bad-row", "x", raw, boot=BOOT, seq=9, kind="row")], 1)
    store = Store()
    (outcome,) = again(letters, store, registry())
    assert outcome.verdict == "stored"
    assert len(store.points) == 1


def test_a_letter_of_an_earlier_version_is_dated_by_what_was_sent(letters: SqliteDeadLetters) -> None:
    """Without the times of its row: the point time follows from ts, boot and seq; it arrived when it was buried."""
    body = json.dumps({"seq": 4, "ts": NOW_S, "distance_mm": 700}).encode()
    topic = f"resik/{SITE}/rsk-b001/up/bin"
    letters.put([DeadLetter("rsk-b001", topic, "unknown-device", "x", body, boot=BOOT, seq=4)], NOW_MS + 2_000)
    store = Store()
    (outcome,) = again(letters, store, registry())
    assert outcome.verdict == "stored"
    assert [point.ts_ms for point in store.points.values()] == [wire.point_ms(NOW_S, BOOT, 4)]


def test_killed_between_store_and_file_the_letter_is_there_and_nothing_counts_twice(
    letters: SqliteDeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store accepted, the letter could not be removed: the next try writes the same point and removes it."""
    bury(letters, row(1, device="rsk-b099"))
    store = Store()

    def killed(*_arguments: object) -> None:
        raise StoreUnavailable("killed")

    with monkeypatch.context() as broken:
        broken.setattr(SqliteDeadLetters, "resolve", killed)
        with pytest.raises(StoreUnavailable):
            again(letters, store, fixed(DEVICE_FIXED))
    assert letters.counts() == {"unknown-device": 1}
    again(letters, store, fixed(DEVICE_FIXED))
    assert (len(store.points), letters.counts()) == (1, {})


def test_a_store_that_is_down_leaves_every_letter(letters: SqliteDeadLetters) -> None:
    """Nothing leaves the dead letters before the store has accepted it."""
    bury(letters, row(1, device="rsk-b099"))
    store = Store()
    store.is_down = True
    with pytest.raises(StoreUnavailable):
        again(letters, store, fixed(DEVICE_FIXED))
    assert letters.counts() == {"unknown-device": 1}


# --- requests -------------------------------------------------------------------------------------------------


def answer_of(path: Path) -> tuple[list[Outcome], Finish]:
    """Return the lines of an answer that is finished."""
    *lines, last = [decode_answer(line) for line in path.read_bytes().splitlines()]
    assert isinstance(last, Finish)
    return [line.outcome for line in lines if isinstance(line, Line)], last


def errands(letters: SqliteDeadLetters, store: Store, of: Registry) -> Errands:
    return Errands(Replay(of, store, letters), letters)


def work(errand: Errands, steps: int = 6) -> None:
    """Let it look as often as it would in so many seconds."""
    for _ in range(steps):
        errand._next_look_s = 0.0
        errand.step()


def test_a_request_is_done_in_groups_and_answered_letter_by_letter(
    letters: SqliteDeadLetters, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five letters in groups of two: each has its line, the request is gone, the answer says that it is the end."""
    monkeypatch.setattr("ingest.replay.GROUP", 2)
    bury(letters, *[row(n, device="rsk-b099") for n in range(1, 6)])
    store = Store()
    answer = put_request(letters.path, Request("replay", Choice(code="unknown-device")))
    errand = errands(letters, store, fixed(DEVICE_FIXED))
    work(errand)
    outcomes, last = answer_of(answer)
    assert [outcome.verdict for outcome in outcomes] == ["stored"] * 5
    assert last == Finish(5)
    assert (len(store.points), errand.letters_stored) == (5, 5)
    assert [path.suffix for path in folder_of(letters.path).iterdir()] == [".answer"]


def test_a_request_waits_for_a_store_that_is_down_and_for_an_ingest_that_runs(letters: SqliteDeadLetters) -> None:
    """Left before ingest runs it is done at its start; while the store is down it waits, and the flow goes on."""
    bury(letters, row(1, device="rsk-b099"))
    answer = put_request(letters.path, Request("replay", Choice()))
    store = Store()
    store.is_down = True
    errand = errands(letters, store, fixed(DEVICE_FIXED))
    work(errand)
    assert answer.read_bytes() == b""
    store.is_down = False
    work(errand)
    assert answer_of(answer)[1] == Finish(1)


def test_two_workers_never_take_the_same_request(letters: SqliteDeadLetters) -> None:
    """The second finds it taken and does nothing; when the first dies, it begins anew."""
    bury(letters, row(1, device="rsk-b099"))
    answer = put_request(letters.path, Request("replay", Choice()))
    store = Store()
    store.is_down = True
    first = errands(letters, store, fixed(DEVICE_FIXED))
    second = errands(letters, Store(), fixed(DEVICE_FIXED))
    work(first)
    work(second)
    assert letters.counts() == {"unknown-device": 1}
    first.close()  # as the end of its process does
    work(second)
    assert answer_of(answer)[1] == Finish(1)


def test_letters_are_deleted_on_request_and_never_all_by_accident(letters: SqliteDeadLetters) -> None:
    """The named ones go; a request that names nothing is answered with a sentence."""
    bury(letters, row(1, device="rsk-b099"), row(2, body={"distance_mm": -1}))
    errand = errands(letters, Store(), registry())
    everything = put_request(letters.path, Request("delete", Choice()))
    work(errand)
    assert "names nothing" in answer_of(everything)[1].error
    named = put_request(letters.path, Request("delete", Choice(code="bad-value")))
    work(errand)
    assert answer_of(named)[1] == Finish(1)
    assert letters.counts() == {"unknown-device": 1}


def test_a_file_that_is_no_request_is_removed(letters: SqliteDeadLetters) -> None:
    """Whatever somebody puts there stops nobody."""
    folder_of(letters.path).mkdir()
    (folder_of(letters.path) / "0.request").write_bytes(b'{"action":"drop"}\xff')
    answer = put_request(letters.path, Request("replay", Choice()))
    work(errands(letters, Store(), registry()))
    assert answer_of(answer)[1] == Finish(0)
