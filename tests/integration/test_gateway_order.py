"""The order of system calls: the disk has a reading before anybody is told so."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.integration.gateway_process import Fleet, GatewayProcess, closing_all, start_broker
from tests.services import require, wait_until

pytestmark = pytest.mark.service

MESSAGES = 100


def acks_without_sync(calls: list[str]) -> tuple[int, int]:
    """Count acks to devices in a list of "sync" and "ack", and those not preceded by a sync of their own."""
    acks = without = 0
    is_synced = False
    for call in calls:
        if call == "sync":
            is_synced = True
        else:
            acks += 1
            without += not is_synced
            is_synced = False
    return acks, without


def test_the_check_sees_an_early_ack() -> None:
    """The oracle is not blind: an ack before its sync is found."""
    assert acks_without_sync(["sync", "ack", "ack", "sync", "sync", "ack"]) == (3, 1)


def is_traced(pid: int) -> bool:
    """Whether a tracer is attached to each thread of a process."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return not any(re.search(r"^TracerPid:\s+0$", text, re.MULTILINE) for text in texts)


def test_every_ack_follows_its_fdatasync(tmp_path: Path) -> None:
    """One message at a time: between two acks there is always an fdatasync that has returned."""
    strace = require("strace")
    broker = start_broker("mosquitto", tmp_path / "broker")
    gateway = GatewayProcess(tmp_path, broker.port).start()
    fleet = Fleet(broker.port, devices=1)
    assert gateway.process is not None
    trace_file = tmp_path / "trace"
    watch = ["-f", "-s", "200", "-e", "trace=fdatasync,sendto", "-o", str(trace_file)]
    tracer = subprocess.Popen([strace, *watch, "-p", str(gateway.process.pid)], stderr=subprocess.PIPE)
    with closing_all(broker, gateway, fleet):
        try:
            pid = gateway.process.pid
            wait_until(lambda: tracer.poll() is not None or is_traced(pid), 10, "strace to attach to every thread")
            if tracer.poll() is not None:
                assert tracer.stderr is not None
                pytest.skip(f"this machine does not let strace attach: {tracer.stderr.read().decode().strip()}")
            for number in range(1, MESSAGES + 1):
                fleet.measure()
                wait_until(lambda number=number: len(fleet.acked) >= number, 10, "the ack")  # type: ignore[misc]
        finally:
            tracer.terminate()
            tracer.wait(10)
    calls = []
    for line in trace_file.read_text().splitlines():
        if re.search(r"fdatasync(\(.*\)| resumed>\)) += 0$", line):
            calls.append("sync")
        elif "down/ack" in line and "sendto" in line:
            calls.append("ack")
    acks, without = acks_without_sync(calls)
    print(f"{acks} acks to devices, {without} without a sync before them")  # noqa: T201
    assert acks == MESSAGES
    assert without == 0
