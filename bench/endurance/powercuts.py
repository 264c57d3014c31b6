"""Check 6: what is left of the spool when the power goes. Only synced bytes count.

A real gateway runs under strace from its start; strace writes down every byte that goes to the spool's files, every
sync, and every ack to a device. From that list the files are built as a disk could hold them at a moment: all that was
synced, and of the rest nothing, or some sectors of it. Names of files are taken to be durable once made.
"""

import random
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.endurance.ledger import Identity
from bench.endurance.parts import Trouble, program
from bench.endurance.stage import Stage
from firmware import wire

SECTOR_BYTES = 512
_CALL = re.compile(r"^(\d+) +(\w+)\((.*)$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$")
_UNFINISHED = " <unfinished ...>"
_RESULT = re.compile(r"\) += (-?\d+)")
_FILE = re.compile(r"^\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')
_ACK = re.compile(rb"resik/[a-z0-9-]+/([a-z0-9-]+)/down/ack(?:..)?(\{[^}]*\})", re.DOTALL)


class Event(NamedTuple):
    """What happened: `what` is write, cut, sync, gone or ack."""

    what: str
    file: str = ""
    offset: int = 0
    data: bytes = b""


def _bytes(text: str) -> bytes:
    found = _TEXT.search(text)
    return bytes.fromhex(found[1].replace("\\x", "")) if found else b""


def _path(text: str) -> str:
    found = _FILE.match(text)
    if found is None:
        return ""
    raw = found[1]
    return bytes.fromhex(raw.replace("\\x", "")).decode() if raw.startswith("\\x") else raw


def events_of(trace: Path, spool: Path) -> Iterator[Event]:
    """Yield what happened to the files of a spool, in the order in which calls returned; acks when they began."""
    begun: dict[tuple[str, str], str] = {}
    with trace.open(errors="replace") as file:
        for line in map(str.rstrip, file):
            if (call := _CALL.match(line)) is not None:
                thread, name, rest = call.groups()
                if name in {"sendto", "sendmsg", "write", "writev"}:
                    yield from (Event("ack", data=data) for data in _acks(_bytes(rest)))
                    continue
                if rest.endswith(_UNFINISHED):
                    begun[thread, name] = rest.removesuffix(_UNFINISHED)
                    continue
            elif (resumed := _RESUMED.match(line)) is not None:
                thread, name, end = resumed.groups()
                rest = begun.pop((thread, name), "") + end
            else:
                continue
            yield from _file_event(name, rest, spool)


def _file_event(name: str, rest: str, spool: Path) -> Iterator[Event]:
    path = _bytes(rest).decode() if name == "unlink" else _path(rest)
    found = _RESULT.search(rest[-120:])
    if not path.startswith(str(spool)) or found is None or int(found[1]) < 0:
        return
    ending = path[len(str(spool)) :]
    if name == "pwrite64":
        data, (_, offset) = _bytes(rest), rest[: rest.rindex(")")].rsplit(",", 2)[-2:]
        yield Event("write", ending, int(offset), data[: int(found[1])])
    elif name == "ftruncate":
        yield Event("cut", ending, int(rest[: rest.rindex(")")].rsplit(",", 1)[1]))
    elif name in {"fdatasync", "fsync"}:
        yield Event("sync", ending)
    elif name == "unlink":
        yield Event("gone", ending)


def _acks(data: bytes) -> Iterator[bytes]:
    """Yield `device payload` of each application ack in what was sent."""
    for found in _ACK.finditer(data):
        yield found[1] + b" " + found[2]


def _apply(content: bytearray, event: Event) -> None:
    if event.what == "cut":
        del content[event.offset :]
        content.extend(bytes(event.offset - len(content)))
        return
    end = event.offset + len(event.data)
    if len(content) < end:
        content.extend(bytes(end - len(content)))
    content[event.offset : end] = event.data


class Disk:
    """The files of the spool: what is synced, and what was written since."""

    def __init__(self) -> None:
        self.synced: dict[str, bytearray] = {}
        self.pending: dict[str, list[Event]] = {}
        self.promised: set[Identity] = set()

    def take(self, event: Event) -> None:
        """Move on by one event."""
        if event.what == "ack":
            device, payload = event.data.split(b" ", 1)
            boot, upto, also = wire.decode_ack(payload)
            for low, high in [(1, upto), *also]:
                self.promised.update((device.decode(), boot, seq) for seq in range(low, high + 1))
        elif event.what == "gone":
            self.synced.pop(event.file, None)
            self.pending.pop(event.file, None)
        elif event.what == "sync":
            content = self.synced.setdefault(event.file, bytearray())
            for write in self.pending.pop(event.file, []):
                _apply(content, write)
        else:
            self.pending.setdefault(event.file, []).append(event)

    def image(self, spool: Path, chance: random.Random | None) -> None:
        """Write the files as they could be now: without what is not synced, or with some sectors of it."""
        for ending in ("", "-wal", "-journal"):
            path = spool.with_name(spool.name + ending)
            path.unlink(missing_ok=True)
            if ending not in self.synced and ending not in self.pending:
                continue
            content = bytearray(self.synced.get(ending, b""))
            for event in self.pending.get(ending, []) if chance is not None else []:
                for at in range(0, len(event.data), SECTOR_BYTES):
                    if chance is not None and chance.random() < 0.5:
                        _apply(content, Event("write", ending, event.offset + at, event.data[at : at + SECTOR_BYTES]))
            path.write_bytes(content)


def _missing(spool: Path, promised: set[Identity]) -> int | None:
    """Return how many promised readings a spool lacks; None when it does not open cleanly."""
    try:
        connection = sqlite3.connect(spool)
        try:
            if connection.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                return None
            rows = (
                set(connection.execute("SELECT device, boot, seq FROM rows WHERE kind = 'bin'")) if promised else set()
            )
        finally:
            connection.close()
    except sqlite3.Error:
        return None
    return len(promised - rows)


def power_cut(stage: Stage) -> None:
    """Build the spool as the power could leave it at 50 moments, and look for every promised reading."""
    chain = stage.chain
    tracer = program("strace")
    moments, rounds = stage.sized(50, 5), stage.sized(150, 15)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    trace = stage.folder / "gateway.strace"
    calls = "pwrite64,ftruncate,unlink,fdatasync,fsync,sendto,sendmsg,write,writev"
    gateway.command[:0] = [tracer, "-f", "-y", "-xx", "-s", "70000", "-e", f"trace={calls}", "-o", str(trace)]
    ingest.launch()
    gateway.start()
    ingest.wait_ready()
    fleet = stage.fleet(port, devices=100, resend_s=10.0)
    for number in range(rounds):
        stage.say(f"commit {number + 1} of {rounds}")
        fleet.measure(2, stage.random.sample(stage.chain.devices[:100], 20))
        fleet.settle(30)
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    gateway.stop()
    stage.say("building disks")
    events = list(events_of(trace, chain.spool))
    if not any(event.what == "sync" for event in events):
        raise Trouble("strace saw no sync of the spool")
    acks = sum(event.what == "ack" for event in events)
    cuts = sorted(stage.random.sample(range(1, len(events)), min(moments, len(events) - 1)))
    disk, at, clean, missing, torn_at = Disk(), 0, 0, 0, 0
    copy = stage.folder / "disk.sqlite3"
    for cut in cuts:
        while at < cut:
            disk.take(events[at])
            at += 1
        for chance in (None, stage.random):
            disk.image(copy, chance)
            lacks = _missing(copy, disk.promised)
            clean += lacks is not None
            missing += lacks or 0
        torn_at += any(disk.pending.values())
    stage.fault(len(cuts))
    stage.note(
        f"{len(events):,} writes, syncs and acks ({acks:,} acks); {2 * len(cuts)} disks at {len(cuts)} moments, "
        f"at {torn_at} of them with bytes not yet synced: {clean} open cleanly, {missing} promised readings missing"
    )
    stage.expect(acks > 0, "strace saw no ack to a device")
    stage.expect(clean == 2 * len(cuts), f"{2 * len(cuts) - clean} disks did not open cleanly")
    stage.expect(not missing, f"{missing} promised readings were not on the disk")
