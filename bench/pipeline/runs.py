"""The measurements: sustained rate, limits that store nothing, latency, drain."""

import statistics
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.pipeline import fleet, ours
from bench.pipeline.conservation import Conservation, reconcile
from bench.pipeline.contestants import Contestant
from bench.pipeline.link import Link
from bench.pipeline.packets import publish
from bench.pipeline.stage import BenchError, Helper, Stage, open_stage, wait_for
from resik.ports import free_port

Progress = Callable[[float], None]
"""Told how much of a run is done, 0 to 1."""

WARM_UP = fleet.DEVICES
"""Messages before the clock starts: every device once, so that series exist and just-in-time compilers have begun."""
UNLIMITED = {"BACKLOG_ROWS_PER_S": "0"}
"""Settings of a gateway that may empty its spool as fast as it can."""
LOOK_EVERY_S, LOOK_AFTER_S = 0.05, 1.0
"""How often one device is looked at; when it gets nothing new for so long, all rows are counted."""
STALLED_S = 20.0
"""So long without a new row, and what is missing is taken for lost."""
PATIENCE_S = 600.0


class Rate(NamedTuple):
    """One sustained run.

    Attributes
    ----------
    per_s : float
        Messages a second, first byte sent to last row countable [1/s]. Of a run with losses: of what was stored.
    sent_per_s : float
        Messages a second that the broker took from the load [1/s].
    cpu_us : dict[str, float]
        CPU time per message of each process [us].
    rss_mib : dict[str, float]
        Most memory of each process [MiB].
    conservation : Conservation | None
        What became of the readings; None where nothing is stored.
    acked : int | None
        Readings that an application ack covers, where anybody listened.
    others_pct : float
        Share of the machine that went to programs that have nothing to do with the run [%].
    """

    per_s: float
    sent_per_s: float
    cpu_us: dict[str, float]
    rss_mib: dict[str, float]
    conservation: Conservation | None = None
    acked: int | None = None
    others_pct: float = 0.0


class Latency(NamedTuple):
    """Publish to stored at a fixed rate.

    Attributes
    ----------
    p50_ms, p99_ms, max_ms : float
        From the moment before the message is handed to the kernel to the store's answer [ms].
    cpu_pct : float
        CPU of the contestant's own processes [% of one core].
    lost : int
        Messages that were never stored.
    others_pct : float
        Share of the machine that others had [%].
    """

    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_pct: float
    lost: int
    others_pct: float = 0.0


class Drain(NamedTuple):
    """A backlog going from the spool into the store.

    Attributes
    ----------
    per_s : float
        Readings a second, worker connected to last row countable [1/s].
    intake_per_s : float
        Readings a second into the spool while nobody took them [1/s].
    intake_cpu_us, cpu_us : dict[str, float]
        CPU time per reading, while filling and while draining [us].
    gateway_rss_mib : float
        Most memory that the gateway held [MiB].
    conservation : Conservation
        What became of the readings.
    others_pct : float
        Share of the machine that others had while draining [%].
    """

    per_s: float
    intake_per_s: float
    intake_cpu_us: dict[str, float]
    cpu_us: dict[str, float]
    gateway_rss_mib: float
    conservation: Conservation
    others_pct: float


class Plan(NamedTuple):
    """How much to send, and how."""

    messages: int
    window: int = 1000
    connections: int = 1
    hears: bool = True


def _start_s(count: int) -> int:
    """Time of seq 0, so that the last reading is of now and none of the future [s since 1970 UTC]."""
    return int(time.time()) - count // fleet.DEVICES - 5


def _load(port: int, site: str, flavour: str, plan: Plan, *more: str, start_s: int, first: int = 0) -> Helper:
    words = ["--port", str(port), "--site", site, "--flavour", flavour, "--count", str(plan.messages)]
    words += ["--first", str(first), "--start-s", str(start_s), "--window", str(plan.window)]
    words += ["--connections", str(plan.connections), *more]
    return Helper("load", *words)


def _warm_up(stage: Stage, flavour: str, start_s: int) -> None:
    """Wait until the contestant stores what is published, then send one reading of each device."""
    link = Link(stage.broker_port, "bench-probe")
    payload = fleet.PAYLOADS[flavour]

    def is_taking() -> bool:
        stage.check()
        link.socket.sendall(publish(fleet.topic(stage.site, 0), payload(0, start_s), 1))
        time.sleep(0.2)
        return stage.store.rows() > 0

    wait_for(is_taking, "the first row", 60)
    for number in range(WARM_UP):
        link.socket.sendall(publish(fleet.topic(stage.site, number), payload(number, start_s), number + 2))
        if number % 50 == 0:
            time.sleep(0.02)  # the slow ones must not begin with a queue
    wait_for(lambda: stage.store.rows() >= WARM_UP, "the rows of the warm-up", 60)
    link.close()


def _await_rows(stage: Stage, wanted: int, before: int, progress: Progress) -> tuple[int, int]:
    """Wait until so many rows can be read; return the count and when it was first seen [ns of wall time].

    To count all rows costs the store as much as to write some thousand. So only those of the device that comes last are
    counted until they are all there, or until they grow no more.
    """
    device, of_device = fleet.identity(wanted - 1)
    rows, moved_ns, began_s = before, time.time_ns(), time.monotonic()
    seen_of_device, moved_s = -1, began_s
    while rows < wanted:
        stage.check()
        seen = stage.store.rows_of(device)
        if seen > seen_of_device:
            seen_of_device, moved_s = seen, time.monotonic()
            progress(min(1.0, (seen * fleet.DEVICES - before) / max(1, wanted - before)))
        if seen >= of_device or time.monotonic() - moved_s > LOOK_AFTER_S:
            found, at_ns = stage.store.rows(), time.time_ns()
            if found > rows:
                rows, moved_ns = found, at_ns
            elif at_ns - moved_ns > STALLED_S * 1e9:
                break
        if time.monotonic() - began_s > PATIENCE_S:
            break
        time.sleep(0.01 if seen + 1 >= of_device else LOOK_EVERY_S)
    return rows, moved_ns


def sustained(
    parent: Path,
    contestant: Contestant,
    plan: Plan,
    progress: Progress,
    *,
    tamper: Callable[[Stage], None] | None = None,
) -> Rate:
    """Send everything as fast as the window allows, and wait for the last row.

    ``tamper`` is called before the readings are reconciled: for showing that the check would see it.
    """
    with open_stage(parent) as stage:
        if contestant.hops:
            stage.open_hop()
        contestant.start(stage)
        start_s = _start_s(plan.messages + WARM_UP)
        _warm_up(stage, contestant.flavour, start_s)
        more = ("--hear",) if contestant.kind == "ours" and plan.hears else ()
        load = _load(stage.broker_port, stage.site, contestant.flavour, plan, *more, start_s=start_s, first=WARM_UP)
        try:
            load.expect("ready")
            stage.usage.watch("load", load.pid)
            stage.usage.reset()
            load.tell()
            rows, last_ns = _await_rows(stage, WARM_UP + plan.messages, WARM_UP, progress)
            used_s, rss_mib = stage.usage.cpu_s(), stage.usage.peak_rss_mib()
            others_pct = stage.usage.others_pct()
            stage.usage.leave("load")
            sent = load.result()
        finally:
            load.stop()
        if tamper is not None:
            tamper(stage)
        numbers = range(WARM_UP + plan.messages)
        conservation = reconcile(map(fleet.identity, numbers), stage.store.identities())
        stored = max(1, rows - WARM_UP)
        return Rate(
            per_s=stored / ((last_ns - sent["started_ns"]) / 1e9),
            sent_per_s=sent["sent"] / ((sent["finished_ns"] - sent["started_ns"]) / 1e9),
            cpu_us={name: value / plan.messages * 1e6 for name, value in used_s.items()},
            rss_mib=rss_mib,
            conservation=conservation,
            acked=sent.get("acked"),
            others_pct=others_pct,
        )


def limit_of_load(plan: Plan) -> Rate:
    """Send to a socket that acknowledges everything: what the load can do."""
    port = free_port()
    sink = Helper("receivers", "sink", "--port", str(port))
    try:
        sink.expect("ready")
        load = _load(port, "alun-alun", "flat", plan, start_s=_start_s(plan.messages))
        try:
            load.expect("ready")
            load.tell()
            sent = load.result()
        finally:
            load.stop()
        sink.end()
        taken = sink.result()
    finally:
        sink.stop()
    if taken["taken"] != plan.messages:
        raise BenchError(f"the sink took {taken['taken']} of {plan.messages} messages")
    per_s = plan.messages / ((sent["finished_ns"] - sent["started_ns"]) / 1e9)
    cpu_us = {"load": sent["cpu_s"] / plan.messages * 1e6, "sink": taken["cpu_s"] / plan.messages * 1e6}
    return Rate(per_s, per_s, cpu_us, {})


def limit_of_broker(parent: Path, plan: Plan) -> Rate:
    """Send through the broker to a receiver that forgets everything."""
    with open_stage(parent) as stage:
        receiver = Helper("receivers", "null", "--port", str(stage.broker_port))
        load = None
        try:
            receiver.expect("ready")
            load = _load(stage.broker_port, stage.site, "flat", plan, start_s=_start_s(plan.messages))
            load.expect("ready")
            stage.usage.watch("load", load.pid)
            stage.usage.watch("receiver", receiver.pid)
            stage.usage.reset()
            load.tell()
            load.expect("sent")
            used_s, others_pct = stage.usage.cpu_s(), stage.usage.others_pct()
            sent = load.result()
            receiver.end()
            taken = receiver.result()["taken"]
        finally:
            receiver.stop()
            if load is not None:
                load.stop()
    if taken != plan.messages:
        raise BenchError(f"the broker delivered {taken} of {plan.messages} messages")
    per_s = plan.messages / ((sent["finished_ns"] - sent["started_ns"]) / 1e9)
    cpu_us = {name: value / plan.messages * 1e6 for name, value in used_s.items() if name != "influxd"}
    return Rate(per_s, per_s, cpu_us, {}, others_pct=others_pct)


def latency(parent: Path, contestant: Contestant, plan: Plan, per_s: float, progress: Progress) -> Latency:
    """Send at a fixed rate with every write going through the tap."""
    with open_stage(parent) as stage:
        stored_file, sent_file = stage.folder / "stored.txt", stage.folder / "sent.bin"
        stage.open_hop(stored_file)
        contestant.start(stage)
        start_s = _start_s(plan.messages + WARM_UP)
        _warm_up(stage, contestant.flavour, start_s)
        more = ["--rate", str(per_s), "--times", str(sent_file)]
        if contestant.kind == "ours" and plan.hears:
            more.append("--hear")
        load = _load(stage.broker_port, stage.site, contestant.flavour, plan, *more, start_s=start_s, first=WARM_UP)
        try:
            load.expect("ready")
            stage.usage.reset()
            began_s = time.monotonic()
            load.tell()
            while load.is_running() and time.monotonic() - began_s < plan.messages / per_s:
                progress(min(1.0, (time.monotonic() - began_s) * per_s / plan.messages))
                stage.check()
                time.sleep(0.1)
            used_s, took_s = stage.usage.cpu_s(), time.monotonic() - began_s
            others_pct = stage.usage.others_pct()
            load.result()
        finally:
            load.stop()
        _await_rows(stage, WARM_UP + plan.messages, WARM_UP, lambda _: None)
        stage.close()  # the tap writes its times at its end
        sent_ns = struct.unpack(f"{plan.messages}q", sent_file.read_bytes())
        stored_ns = _first_stored(stored_file)
    waits_ms = [
        (stored_ns[identity] - at_ns) / 1e6
        for number, at_ns in enumerate(sent_ns, WARM_UP)
        if (identity := fleet.identity(number)) in stored_ns
    ]
    if len(waits_ms) < 100:
        raise BenchError(f"only {len(waits_ms)} readings of {plan.messages} came through the tap")
    cuts = statistics.quantiles(waits_ms, n=100)
    own_s = sum(used_s.get(name, 0.0) for name in contestant.processes)
    lost = plan.messages - len(waits_ms)
    return Latency(cuts[49], cuts[98], max(waits_ms), own_s / took_s * 100, lost, others_pct)


def _first_stored(path: Path) -> dict[fleet.Identity, int]:
    stored_ns: dict[fleet.Identity, int] = {}
    for line in path.read_text(encoding="ascii").splitlines():
        device, seq, at_ns = line.split()
        stored_ns.setdefault((device, int(seq)), int(at_ns))
    return stored_ns


def drain(parent: Path, plan: Plan, progress: Progress) -> Drain:
    """Stop ingest, fill the spool, start ingest again, and wait for the last row.

    The limit for backlogs, which spares a thin uplink, is off: what is measured is what the parts can do.
    """
    with open_stage(parent) as stage:
        gateway = ours.start_gateway(stage, **UNLIMITED)
        ingest = ours.start_ingest(stage)
        ours.wait_connected(stage, gateway, ingest)
        start_s = _start_s(plan.messages + WARM_UP)
        _warm_up(stage, "wire", start_s)
        wait_for(lambda: ours.counts(gateway).get("waiting") == 0, "an empty spool")
        stage.stop(ingest)
        load = _load(stage.broker_port, stage.site, "wire", plan, start_s=start_s, first=WARM_UP)
        try:
            load.expect("ready")
            stage.usage.reset()
            began_s = time.monotonic()
            load.tell()
            waiting = 0.0
            while waiting < plan.messages:
                stage.check()
                waiting = ours.counts(gateway).get("waiting", waiting)
                progress(waiting / plan.messages / 2)
                time.sleep(0.1)
                if time.monotonic() - began_s > PATIENCE_S:
                    raise BenchError(f"only {waiting:.0f} of {plan.messages} readings reached the spool")
            filled_s, filling_s = time.monotonic() - began_s, stage.usage.cpu_s()
            load.result()
        finally:
            load.stop()
        ingest = ours.start_ingest(stage)
        ours.wait_connected(stage, ingest)
        stage.usage.reset()
        began_ns = time.time_ns()
        rows = stage.store.rows()
        wanted = WARM_UP + plan.messages
        _, last_ns = _await_rows(stage, wanted, rows, lambda part: progress(0.5 + part / 2))
        draining_s, others_pct = stage.usage.cpu_s(), stage.usage.others_pct()
        conservation = reconcile(map(fleet.identity, range(wanted)), stage.store.identities())
        return Drain(
            per_s=(wanted - rows) / ((last_ns - began_ns) / 1e9),
            intake_per_s=plan.messages / filled_s,
            intake_cpu_us={name: value / plan.messages * 1e6 for name, value in filling_s.items()},
            cpu_us={name: value / plan.messages * 1e6 for name, value in draining_s.items()},
            gateway_rss_mib=stage.usage.peak_rss_mib()["gateway"],
            conservation=conservation,
            others_pct=others_pct,
        )


def median_of(rates: list[Rate]) -> Rate:
    """Return the run in the middle."""
    return sorted(rates, key=lambda rate: rate.per_s)[(len(rates) - 1) // 2]


def as_json(value: Any) -> Any:
    """Return plain data with short numbers."""
    if isinstance(value, float):
        return round(value, 1)
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return as_json(value._asdict())
    return value
