"""Check 5: what the kernel sees. No ack before the disk, or the store, has the reading."""

import contextlib
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.endurance.parts import NotHere, Part, program, start_all, wait_for
from bench.endurance.stage import Stage
from firmware import wire

_CALLS = "fdatasync,fsync,sendto,sendmsg,write,writev,recvfrom,recvmsg,read"
_SYNCED = re.compile(r"(fdatasync|fsync)(\(.*\)| resumed>\)) += 0$")
_SENDS = re.compile(r"\b(sendto|sendmsg|write|writev)\(")


@contextlib.contextmanager
def traced(part: Part, file: Path) -> Iterator[None]:
    """Write down the system calls of a part during the block."""
    command = [program("strace"), "-qf", "-s", "300", "-e", f"trace={_CALLS}", "-o", str(file), "-p", str(part.pid)]
    words = file.with_suffix(".err")  # a pipe that nobody reads would stop tracer and part
    with words.open("wb") as errors:
        tracer = subprocess.Popen(command, stderr=errors)
    try:
        wait_for(lambda: tracer.poll() is not None or is_traced(part.pid), 20, "strace to attach")
        if tracer.poll() is not None:
            raise NotHere(f"strace may not attach here: {words.read_text().strip()[:200]}")
        yield
    finally:
        tracer.terminate()
        try:
            tracer.wait(20)
        except subprocess.TimeoutExpired:
            tracer.kill()
            tracer.wait(20)


def is_traced(pid: int) -> bool:
    """Whether a tracer is attached to each thread of a process."""
    texts = [(task / "status").read_text() for task in Path(f"/proc/{pid}/task").iterdir()]
    return not any(re.search(r"^TracerPid:\s+0$", text, re.MULTILINE) for text in texts)


def acks_without(events: Sequence[str]) -> tuple[int, int]:
    """Count acks in a list of "safe" and "ack", and those that no "safe" of their own precedes."""
    acks = without = 0
    is_safe = False
    for event in events:
        if event == "safe":
            is_safe = True
        else:
            acks += 1
            without += not is_safe
            is_safe = False
    return acks, without


def _events(file: Path, ack: str, safe: re.Pattern[str]) -> list[str]:
    events = []
    for line in file.read_text(errors="replace").splitlines():
        if ack in line and _SENDS.search(line):
            events.append("ack")
        elif safe.search(line):
            events.append("safe")
    return events


def order(stage: Stage) -> None:
    """One reading at a time, under strace: between two acks there is a sync, and an answer of the store."""
    chain = stage.chain
    program("strace")
    messages = stage.sized(1_000, 50)
    _, port = chain.broker()
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    fleet = stage.fleet(port, devices=1, resend_s=30.0)
    files = (stage.folder / "gateway.strace", stage.folder / "ingest.strace")
    heard = fleet.listen(wire.topic_gw_ack(chain.site, "gw-utama"))
    with traced(gateway, files[0]), traced(ingest, files[1]):
        for number in range(1, messages + 1):
            if number % 20 == 1:
                stage.say(f"reading {number} of {messages}")
            fleet.measure()
            wait_for(
                lambda number=number: not fleet.held and len(heard) >= number,  # type: ignore[misc]
                30,
                f"both acks of reading {number}",
            )
    stage.fault(messages)  # each of these moments is one at which a wrong order would show
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stored = re.compile(r"HTTP/1\.1 204")
    for what, found in (
        ("acks to devices after a sync", acks_without(_events(files[0], "/down/ack", _SYNCED))),
        ("acks to the gateway after the store's answer", acks_without(_events(files[1], "/gw/gw-utama/ack", stored))),
    ):
        acks, without = found
        stage.note(f"{what}: {acks - without:,} of {acks:,}")
        stage.expect(acks == messages, f"{what}: {acks} acks were seen, not {messages}")
        stage.expect(not without, f"{what}: {without} were too early")
