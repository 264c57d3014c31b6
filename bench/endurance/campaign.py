"""The list of checks, and how one is run."""

import contextlib
import shutil
import sys
import time
import traceback
import urllib.error
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.endurance import clocks, disks, kills, orders, outages, planted, powercuts, repeats, stales, storms
from bench.endurance.gates import GateThread
from bench.endurance.parts import NotHere, Trouble
from bench.endurance.stage import Facts, Stage, opened
from simulators.real_site import build_fleet_site

DEVICES = 200
MANY_DEVICES = 1_000
SITE_INTERVAL_S = 600


class Check(NamedTuple):
    """A check of the campaign.

    Attributes
    ----------
    key : str
        Number or name, for `--only`.
    title : str
        What is done, in plain words.
    work : Callable[[Stage], None]
        Does it.
    is_planted : bool
        Whether losses and duplicates in it are our own work, to test the checker.
    devices : int
        Bins of its site.
    """

    key: str
    title: str
    work: Callable[[Stage], None]
    is_planted: bool = False
    devices: int = DEVICES


CHECKS: tuple[Check, ...] = (
    Check(
        "planted",
        "the checker is shown a loss, a duplicate, a foreign and a wrong row",
        planted.planted,
        is_planted=True,
    ),
    Check("1", "kill -9 of ingest at random points of a flow", kills.ingest_killed),
    Check("2", "kill -9 of the broker, which forgets every session and message", kills.broker_killed),
    Check("3", "kill -9 of the gateway while its uplink is cut", kills.gateway_killed),
    Check(
        "4",
        "uplink cut for a day with 1,000 devices, then back at 256 kbit/s with 5 % loss, then cut again and again",
        outages.day,
        devices=MANY_DEVICES,
    ),
    Check("5", "order of system calls: disk before ack, store before ack", orders.order),
    Check("6", "power cut: only synced bytes of the spool survive", powercuts.power_cut),
    Check("7", "InfluxDB killed and away, more kills while everything catches up", kills.store_killed),
    Check("7-engine", "the alert engine killed and away", kills.engine_killed),
    Check("8", "three readings among a thousand that cannot be stored", repeats.mixed),
    Check("9", "full disk under the spool", disks.spool_full),
    Check("9-store", "full disk under InfluxDB", disks.store_full),
    Check("9-letters", "full disk under the dead letters", disks.letters_full),
    Check("9-alerts", "full disk under the store of the alert engine", disks.alerts_full),
    Check("10", "every reading three times, shuffled, some an hour late", repeats.shuffled),
    Check("11", "clocks of devices and of the gateway jump", clocks.jumps),
    Check("12", "poison among good readings", repeats.poison),
    Check("13", "reconnect storm of TLS nodes", storms.storm, devices=MANY_DEVICES),
    Check("14", "stale acknowledgements after a broker forgot everything", stales.stale),
    Check("acks", "application acks lost and doubled on every hop", repeats.acks),
    Check("slow", "a store that is slow, then hangs", outages.slow_store),
    Check("million", "a million readings, all lines reset again and again: memory stays flat", outages.million),
    Check("workers", "two ingest workers, one or the other killed", kills.workers_killed),
)


class Outcome(NamedTuple):
    """A check and what came of it. `state` is passed, failed or not run."""

    check: Check
    state: str
    facts: Facts
    seconds: float
    reason: str = ""


def run_check(
    check: Check, folder: Path, site: Path, gates: GateThread, *, seed: int, scale: float, say: Callable[[str], None]
) -> Outcome:
    """Run one check on a stage of its own."""
    started_s = time.monotonic()
    stage = Stage(folder, site, gates, seed=seed, scale=scale, say=say)
    state, reason = "failed", ""
    try:
        with opened(stage):
            try:
                check.work(stage)
                stage.expect(stage.facts.faults > 0, "no fault fired: this run proves nothing")
                stage.expect(check.is_planted or stage.facts.verdict.made > 0, "no reading was made")
                state = "failed" if stage.facts.problems else "passed"
            except NotHere as lack:
                state, reason = "not run", str(lack)
            except (Trouble, OSError, urllib.error.URLError) as trouble:
                stage.facts.problems.append(str(trouble))
            finally:
                with contextlib.suppress(OSError):
                    stage.ledger.save(folder / "ledger.csv")
    except Exception as error:  # noqa: BLE001 - a fault of the campaign itself is no pass, and must not hide the other checks
        traceback.print_exc(file=sys.stderr)
        state = "failed"
        stage.facts.problems.append(f"the campaign itself failed: {type(error).__name__}: {error}")
    return Outcome(check, state, stage.facts, time.monotonic() - started_s, reason)


def choose(words: Sequence[str]) -> list[Check]:
    """Return the checks that are named, all without a name.

    Raises
    ------
    SystemExit
        If a name is unknown.
    """
    known = {check.key: check for check in CHECKS}
    if unknown := [word for word in words if word not in known]:
        raise SystemExit(f"no check {', '.join(unknown)}: there are {', '.join(known)}")
    return [known[word] for word in words] if words else list(CHECKS)


def run_campaign(
    checks: Sequence[Check],
    root: Path,
    *,
    seed: int,
    scale: float,
    keep: bool,
    say: Callable[[int, Check, str], None],
    done: Callable[[Outcome], None] = lambda _outcome: None,
) -> list[Outcome]:
    """Run checks one after the other.

    Parameters
    ----------
    checks : Sequence[Check]
        Which.
    root : Path
        Each gets a folder of its own in it.
    seed : int
        Of the run; each check derives its own.
    scale : float
        1 for the full size.
    keep : bool
        Whether folders of passed checks stay.
    say : Callable[[int, Check, str], None]
        Told what goes on: number of the check from 0, check, words.
    done : Callable[[Outcome], None]
        Told each outcome.
    """
    sites = {
        devices: build_fleet_site(root / f"site-{devices}", devices, kinds=("bin",), interval_s=SITE_INTERVAL_S)
        for devices in {check.devices for check in checks}
    }
    gates = GateThread()
    outcomes = []
    try:
        for number, check in enumerate(checks):
            folder = root / check.key
            outcome = run_check(
                check,
                folder,
                sites[check.devices],
                gates,
                seed=seed * 1_000_000 + zlib.crc32(check.key.encode()) % 1_000_000,
                scale=scale,
                say=lambda words, number=number, check=check: say(number, check, words),  # type: ignore[misc]
            )
            outcomes.append(outcome)
            done(outcome)
            if not keep and outcome.state != "failed":
                shutil.rmtree(folder, ignore_errors=True)
    finally:
        gates.close()
    return outcomes
