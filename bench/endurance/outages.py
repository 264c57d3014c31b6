"""Checks in which something is away, slow or deaf for long: the uplink for a day, the store for a while."""

import time

from bench.endurance import checker
from bench.endurance.gates import Gate
from bench.endurance.parts import Part, start_all, wait_for
from bench.endurance.stage import Stage

SLOW_LINE_BYTES_PER_S = 32_000
"""256 kbit/s."""
LOSS = 0.05
FRESH_LIMIT_S = 30.0
DRAIN_LIMIT_PER_S = 500
RSS_LIMIT_MIB = 200
INTERVAL_S = 300
DEVICES = 1_000
CUTS = 3
FLAT_PCT = 5.0
STEPS = 10
IN_MESSAGE = 5


def day(stage: Stage) -> None:
    """Check 4: a day without uplink, 1,000 devices, one reading every five minutes; then the way back."""
    chain = stage.chain
    rounds = stage.sized(60, 2)
    hours = rounds * IN_MESSAGE * INTERVAL_S / 3600
    start_s = float(int(time.time()) - rounds * IN_MESSAGE * INTERVAL_S)
    chain.set_time(start_s, 0.0)
    _, port = chain.broker()
    influxd, store_port = chain.influxd()
    uplink = chain.gate(port, seed=stage.seed)
    # on a line this slow a batch needs longer than two seconds: here the pause is the one that people get, 30 s
    gateway = chain.gateway(port, uplink.port, {"RESEND_S": "30"})
    start_all(gateway, chain.ingest(port, store_port))
    uplink.cut()
    stage.fault()
    fleet = stage.fleet(port, devices=DEVICES, resend_s=10.0)
    started_s = time.monotonic()
    for number in range(1, rounds + 1):
        stage.say(f"hour {number * hours / rounds:.0f} without uplink, {stage.ledger.count:,} readings made")
        chain.set_time(start_s + number * IN_MESSAGE * INTERVAL_S, 0.0)
        fleet.measure(IN_MESSAGE, every_s=INTERVAL_S)
        fleet.settle(60)
    per_s = stage.ledger.count / (time.monotonic() - started_s)
    waiting = int(gateway.counts().get("waiting", 0))
    stage.expect(
        waiting == stage.ledger.count, f"{waiting:,} rows wait of {stage.ledger.count:,} acknowledged readings"
    )
    stage.note(f"{waiting:,} readings of {hours:g} h spooled at {per_s:,.0f}/s")
    _way_back(stage, uplink, gateway, store_port)
    stage.settle(fleet, gateway, 300)
    stage.reconcile(store_port)
    rss_mib = gateway.rss_mib(peak=True)
    stage.note(f"the gateway never held more than {rss_mib:.0f} MiB (limit {RSS_LIMIT_MIB})")
    stage.expect(rss_mib < RSS_LIMIT_MIB, f"the gateway held {rss_mib:.0f} MiB")
    stage.expect(influxd.is_running and gateway.is_running, "gateway or InfluxDB ended by itself")


def _way_back(stage: Stage, uplink: Gate, gateway: Part, store_port: int) -> None:
    """Open a slow line until the newest values are stored, then a fast one that is cut again and again."""
    stage.say("the uplink is back at 256 kbit/s, and loses one segment in twenty")
    newest_ms = int(stage.chain.clock.now_s()) * 1000
    uplink.bytes_per_s, uplink.loss = SLOW_LINE_BYTES_PER_S, LOSS
    uplink.open()
    fresh_s = wait_for(lambda: _fresh(store_port, newest_ms) >= DEVICES, 120, "the newest values in the store")
    stage.expect(fresh_s <= FRESH_LIMIT_S, f"the newest values took {fresh_s:.0f} s")
    stage.note(
        f"newest value of all {DEVICES:,} devices stored {fresh_s:.1f} s after the link came back at 256 kbit/s "
        f"with {uplink.segments_lost:,} segments lost (limit {FRESH_LIMIT_S:g} s)"
    )
    stage.expect(uplink.segments_lost > 0, "no segment was lost on the slow line")
    uplink.bytes_per_s = uplink.loss = 0
    started_s = time.monotonic()
    waiting = int(gateway.counts().get("waiting", 0))
    for number in range(1, CUTS + 1):
        time.sleep(stage.random.uniform(0.2, 0.8))
        stage.say(f"cut {number} while it drains, {int(gateway.counts().get('waiting', 0)):,} rows wait")
        uplink.cut()
        stage.fault()
        time.sleep(0.3)
        uplink.open()
    wait_for(lambda: gateway.counts().get("waiting") == 0, 600, "the spool to be drained")
    per_s = waiting / (time.monotonic() - started_s)
    stage.note(f"then drained at {per_s:,.0f}/s, {CUTS} cuts included (limit {DRAIN_LIMIT_PER_S}/s)")
    stage.expect(per_s >= DRAIN_LIMIT_PER_S, f"drained at {per_s:,.0f}/s")


def _fresh(store_port: int, newest_ms: int) -> int:
    """Return how many devices have a point of the last second or later."""
    statement = f"SELECT COUNT(seq) FROM bin WHERE time >= {newest_ms}ms GROUP BY device"  # noqa: S608 - a number
    return len(checker.query(store_port, statement))


def slow_store(stage: Stage) -> None:
    """Let the store answer after two seconds, then not at all, then by resets."""
    chain = stage.chain
    _, port = chain.broker()
    _, store_port = chain.influxd()
    line = chain.gate(store_port)
    gateway, ingest = chain.gateway(port), chain.ingest(port, line.port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port)
    fleet.flow(1_000, 10)
    wait_for(lambda: ingest.counts().get("stored", 0) > 0, 60, "a flow")
    pause_s = 6.0 if stage.scale == 1 else 2.5
    for what in ("slow", "deaf", "reset", "slow", "reset"):
        stage.say(f"the store is {what}, {stage.ledger.count:,} readings made")
        stage.fault()
        if what == "slow":
            line.delay_s = 2.0
            time.sleep(pause_s)
            line.delay_s = 0.0
        elif what == "deaf":
            line.is_hanging = True
            time.sleep(pause_s)
            line.is_hanging = False
        else:
            line.cut()
            time.sleep(pause_s / 4)
            line.open()
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stage.note(
        f"batches sent again {int(gateway.counts().get('batches_resent', 0))}, "
        f"copies {int(gateway.counts().get('batches_copied', 0))}"
    )
    stage.expect(ingest.is_running and gateway.is_running, "gateway or ingest ended by itself")


def million(stage: Stage) -> None:
    """Let a million readings through and reset all lines ten times: memory of gateway and ingest MUST stay flat."""
    chain = stage.chain
    step = stage.sized(100_000, 2_000)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    uplink = chain.gate(port)
    gateway, ingest = chain.gateway(port, uplink.port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port, resend_s=10.0)
    held: dict[str, list[float]] = {"gateway": [], "ingest": []}
    started_s = time.monotonic()
    for number in range(1, STEPS + 1):
        while stage.ledger.count < number * step:
            stage.say(f"{stage.ledger.count:,} readings made")
            fleet.measure(50)
            wait_for(lambda: fleet.held < step // 5 + 10_000, 60, "devices to be rid of their readings")
        fleet.settle(120)
        for part in (gateway, ingest):
            held[part.name].append(part.rss_mib())
        fleet.hang_up()
        uplink.cut()
        stage.fault()
        uplink.open()
    stage.settle(fleet, gateway)
    per_s = stage.ledger.count / (time.monotonic() - started_s)
    stage.reconcile(store_port)
    stage.note(f"{per_s:,.0f} readings/s, {STEPS} resets of all lines")
    for name, sizes in held.items():
        # the first steps fill caches and pools; what grows after them would grow for ever
        first, last = sizes[STEPS // 3], sizes[-1]
        grown_pct = 100 * (last - first) / first if first else 0.0
        stage.note(
            f"{name}: {first:.0f} MiB after {STEPS // 3 + 1} steps, {last:.0f} MiB at the end ({grown_pct:+.1f} %)"
        )
        # a short run ends before pools are full: it proves nothing about growth
        stage.expect(
            stage.scale < 1 or grown_pct <= FLAT_PCT, f"{name} grew by {grown_pct:.1f} % (limit {FLAT_PCT:g} %)"
        )
