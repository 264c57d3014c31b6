"""Check 11: clocks that jump, of devices and of the gateway."""

import time

from bench.endurance import checker
from bench.endurance.fleet import Fleet
from bench.endurance.parts import Part, start_all, wait_for
from bench.endurance.stage import Stage

STALL_LIMIT_S = 5.0
WINDOW_MS = 7 * 86_400_000
AHEAD_MS = 120_000
HOUR_S, DAY_S, YEAR_S = 3_600, 86_400, 365 * 86_400


def jumps(stage: Stage) -> None:
    """Devices fall into 1970, 2000 and three years ahead; the gateway's clock goes back an hour and on a day."""
    chain = stage.chain
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    started_ms = int(chain.clock.now_s() * 1000)
    fleet = stage.fleet(port, devices=100, resend_s=1.0)
    shown: dict[str, float | None] = {"wrong": None}
    wanderers = stage.fleet(
        port,
        names=chain.devices[100:120],
        boot=77,
        clock=lambda: chain.clock.now_s() if shown["wrong"] is None else shown["wrong"],
        line="wanderers",
    )
    fleet.flow(500, 5)
    each = stage.sized(20, 3)
    now_s = chain.clock.now_s()
    for words, wrong in (("1970", 100.0), ("2000", 946_684_800.0), ("three years ahead", now_s + 3 * YEAR_S)):
        stage.say(f"clocks of 20 devices show {words}")
        for is_wrong in (True, False):
            shown["wrong"] = wrong if is_wrong else None
            wanderers.measure(each)
            stage.fault()
    wanderers.settle(60)
    _gateway_behind(stage, fleet, gateway)
    stalled_s = 0.0
    for words, offset_s in (("a day ahead", DAY_S), ("right again", 0)):
        stage.say(f"the gateway's clock is {words}")
        chain.gateway_clock.set(chain.clock.now_s() + offset_s, 1.0)
        stage.fault()
        acked = stage.ledger.acked_count
        stalled_s = max(stalled_s, wait_for(lambda acked=acked: stage.ledger.acked_count > acked, 60, "an ack"))  # type: ignore[misc]
        time.sleep(2.0 if stage.scale == 1 else 0.5)
    stage.expect(stalled_s <= STALL_LIMIT_S, f"nothing was acknowledged for {stalled_s:.1f} s after a jump")
    stage.settle(fleet, gateway)
    verdict = stage.reconcile(store_port)
    ended_ms = int(chain.clock.now_s() * 1000)
    wrong_ones = {
        identity
        for identity, made in stage.ledger.made().items()
        if not started_ms - WINDOW_MS <= made.ts_ms <= ended_ms + AHEAD_MS
    }
    letters = checker.read_letters(chain.letters)
    stage.expect(
        {letter.identity for letter in letters} == wrong_ones,
        "dead letters are not just the readings with a wrong time",
    )
    stage.expect({letter.code for letter in letters} == {"clock"}, "a dead letter has another code than clock")
    stage.expect(
        verdict.dead == len(wrong_ones) == 3 * 20 * each, f"{verdict.dead} dead letters, {len(wrong_ones)} wrong times"
    )
    outside = [row for row in checker.read_rows(store_port) if row.identity in wrong_ones]
    stage.expect(not outside, f"{len(outside)} points outside the window are stored")
    stage.note(f"{verdict.dead} readings with a wrong time, all dead-lettered as clock; 0 points outside the window")
    stage.note(f"acknowledged again at most {stalled_s:.1f} s after a jump of the gateway's clock (limit 5 s)")


def _gateway_behind(stage: Stage, fleet: Fleet, gateway: Part) -> None:
    """Set the gateway's clock back an hour: it MUST hold everything, and go on when the clock is right."""
    chain = stage.chain
    stage.say("the gateway's clock is an hour behind")
    chain.gateway_clock.set(chain.clock.now_s() - HOUR_S, 1.0)
    stage.fault()
    wait_for(lambda: "behind" in gateway.reason(), 30, "the gateway to see that its clock is behind")
    time.sleep(1.0)
    acked = stage.ledger.acked_count
    time.sleep(2.0 if stage.scale == 1 else 0.5)
    held = fleet.held
    stage.expect(
        stage.ledger.acked_count == acked, f"{stage.ledger.acked_count - acked} acks while the clock was behind"
    )
    chain.gateway_clock.set(chain.clock.now_s(), 1.0)
    again_s = wait_for(lambda: stage.ledger.acked_count > acked, 60, "an ack after the clock was set right")
    stage.expect(again_s <= STALL_LIMIT_S, f"{again_s:.1f} s until the first ack after the clock was set right")
    stage.note(
        f"gateway an hour behind: nothing acknowledged, {held:,} readings stayed with devices; "
        f"it went on {again_s:.1f} s after its clock was set right"
    )
