"""Faults of a stack begin and end with the square's time, and do to processes and files what they say."""

import socket
import sqlite3
import sys

import pytest

from resik.process import Child
from resik.stack_faults import Actor, Locked, NoSpace, StackFaults, Ways, actors_of, dead
from simulators.faults import KINDS, Fault, FaultScript
from square.clock import ClockDriver
from tests.services import wait_until


class Noted(Actor):
    """Writes down what is done to it."""

    def __init__(self, name, notes):
        self.name, self.notes = name, notes

    def begin(self, strength):
        self.notes.append((self.name, "begin", strength))

    def look(self):
        self.notes.append((self.name, "look"))

    def end(self):
        self.notes.append((self.name, "end"))


def faults_of(*faults):
    notes = []
    actors = {(target, kind): Noted(f"{target} {kind}", notes) for target in KINDS for kind in KINDS[target]}
    return StackFaults(FaultScript(faults), actors), notes


def done(notes):
    return [note[:2] for note in notes if note[1] != "look"]


def test_a_fault_begins_lasts_and_ends():
    """Before its time nothing, at its time the beginning with its strength, at its end the end; each once."""
    faults, notes = faults_of(Fault(100, 200, "uplink", "slow", 120.0))
    faults.look(99)
    assert notes == []
    for now_s in (100, 150, 199):
        faults.look(now_s)
    assert notes[0] == ("uplink slow", "begin", 120.0)
    assert [fault.kind for fault in faults.acting] == ["slow"]
    faults.look(200)
    assert done(notes) == [("uplink slow", "begin"), ("uplink slow", "end")]
    assert notes.count(("uplink slow", "look")) == 3
    assert faults.acting == ()
    assert faults.begun == 1


def test_a_stack_that_starts_within_a_fault_has_it():
    """After a restart the square goes on in the middle of a fault: it acts at the first look."""
    faults, notes = faults_of(Fault(100, 200, "broker", "down"))
    faults.look(150)
    assert done(notes) == [("broker down", "begin")]


def test_a_square_that_jumps_over_a_fault_does_not_have_it():
    """A fault that lies between two looks was never there."""
    faults, notes = faults_of(Fault(100, 200, "broker", "down"))
    faults.look(50)
    faults.look(300)
    assert notes == []


def test_a_moment_happens_once_also_when_the_clock_goes_back():
    """A jump of the clock by -600 s at 100 makes 100 come again, and the jump does not."""
    faults, notes = faults_of(Fault(100, 100, "clock", "jump", -600.0))
    for now_s in (90, 101, -499, 90, 101):
        faults.look(now_s)
    assert done(notes) == [("clock jump", "begin")]
    assert faults.acting == ()


def test_nodes_and_crews_are_not_the_stacks_affair():
    """Their faults are left to the simulator."""
    faults, notes = faults_of(Fault(0, 1e12, "node:*", "silent"), Fault(0, 1e12, "crew:*", "away"))
    faults.look(10)
    assert notes == []
    assert faults.begun == 0


def test_what_cannot_be_done_is_told_once_and_left_out(caplog):
    """A broker that is not ours cannot be killed: one warning, and the other faults act."""
    script = FaultScript([Fault(0, 100, "broker", "down"), Fault(0, 100, "gateway", "down")])
    notes = []
    faults = StackFaults(script, {("gateway", "down"): Noted("gateway", notes)})
    faults.look(10)
    faults.look(20)
    assert done(notes) == [("gateway", "begin")]
    assert sum("broker down cannot be done" in record.message for record in caplog.records) == 1


def test_healing_ends_everything_for_good():
    """What acts ends; what would begin later does not."""
    faults, notes = faults_of(Fault(0, 100, "broker", "down"), Fault(50, 100, "gateway", "down"))
    faults.look(10)
    faults.heal()
    faults.look(60)
    assert done(notes) == [("broker down", "begin"), ("broker down", "end")]


def test_a_fault_that_is_added_acts():
    """The script may grow while the stack runs."""
    script = FaultScript()
    notes = []
    faults = StackFaults(script, {("disk", "full"): Noted("disk", notes)})
    faults.look(10)
    script.add(Fault(20, 30, "disk", "full"))
    faults.look(20)
    assert done(notes) == [("disk", "begin")]


# -- what is done ------------------------------------------------------------------------------


def child(tmp_path, code):
    return Child("example", [sys.executable, "-c", code], {}, tmp_path / "example.log")


def test_a_killed_process_stays_dead_until_the_fault_ends(tmp_path):
    """Supervision does not bring it back; the end of the fault does, and that is no restart."""
    one = child(tmp_path, "import time; time.sleep(60)")
    one.start()
    actor = dead(one)
    actor.begin(1.0)
    assert one.exit_code == -9
    assert one.is_held
    for _ in range(3):
        assert one.supervise() is None
    assert one.pid is None
    actor.end()
    wait_until(lambda: one.pid is not None, 5, "the process to live again")
    assert one.restarts == 0
    one.stop()


WRITER = """
import socket, sys, time
path = sys.argv[1]
while True:
    try:
        with open(path, "ab", buffering=0) as file:
            file.write(b"x")
        state = "ok"
    except OSError:
        state = "full"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.sendto(state.encode(), path + ".told")
    time.sleep(0.02)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits of another process are Linux's")
def test_a_full_disk_takes_no_byte_and_then_takes_them_again(tmp_path):
    """A process that writes is refused while the fault acts, and goes on when it is over."""
    path = tmp_path / "grows"
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(f"{path}.told")
    told.settimeout(5)
    one = Child("example", [sys.executable, "-c", WRITER, str(path)], {}, tmp_path / "example.log")
    one.start()
    actor = NoSpace([one])
    wait_until(lambda: told.recv(10) == b"ok", 5, "the first byte")
    actor.begin(1.0)
    wait_until(lambda: told.recv(10) == b"full", 5, "the refusal")
    size = path.stat().st_size
    assert told.recv(10) == b"full"
    assert path.stat().st_size == size
    other = NoSpace([one])  # the disk is full, and so is that of the gateway on it
    other.begin(1.0)
    actor.end()
    other.look()
    wait_until(lambda: told.recv(10) == b"full", 5, "the other fault")
    other.end()
    wait_until(lambda: told.recv(10) == b"ok", 5, "the space")
    one.stop()
    told.close()


def test_a_locked_store_takes_no_write_and_then_takes_them_again(tmp_path):
    """While the fault acts a writer is told that the file is locked; a share of the time leaves it open at times."""
    path = tmp_path / "points.sqlite3"
    writer = sqlite3.connect(path, timeout=0, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE t (a)")
    actor = Locked(path)
    actor.begin(1.0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        writer.execute("INSERT INTO t VALUES (1)")
    assert writer.execute("SELECT count(*) FROM t").fetchone() == (0,)
    actor.end()
    writer.execute("INSERT INTO t VALUES (2)")
    actor.begin(0.0)
    writer.execute("INSERT INTO t VALUES (3)")
    assert writer.execute("SELECT count(*) FROM t").fetchone() == (2,)
    writer.close()


def test_the_clock_jumps_and_runs_on(tmp_path):
    """Ten minutes forward, at the speed that it had."""
    clock = ClockDriver(tmp_path / "clock.bin")
    clock.set(1_000_000.0, 30.0)
    children = {"gateway": child(tmp_path, "")}
    actors = actors_of(Ways(FaultScript(), None, "sqlite:///points"), children, tmp_path / "points", clock)
    actors["clock", "jump"].begin(600.0)
    assert 1_000_600 <= clock.now_s() < 1_000_700
    assert clock.speed() == 30.0
    clock.close()


def test_only_what_is_struck_gets_a_hop(tmp_path):
    """No fault, no hop: addresses are as ever. With faults of uplink and store both ways lead over loopback hops."""
    url = "influx1://me@stores.example:8087/resik"
    plain = Ways(FaultScript([Fault(0, 1, "broker", "down")]), 1883, url)
    assert (plain.uplink_url, plain.store_url) == (None, url)
    struck = FaultScript([Fault(0, 1, "uplink", "cut"), Fault(0, 1, "store", "down")])
    ways = Ways(struck, 1883, url)
    assert ways.uplink is not None
    assert ways.store is not None
    assert ways.uplink_url == f"mqtt://127.0.0.1:{ways.uplink.port}"
    assert ways.store_url == f"influx1://me@127.0.0.1:{ways.store.port}/resik"
    for other in ("sqlite:////x/points.sqlite3", "influx1+https://stores.example/resik"):
        assert Ways(struck, None, other).store_url == other
        assert Ways(struck, None, other).uplink_url is None


def test_every_fault_of_the_table_can_be_done_to_a_simulated_stack(tmp_path):
    """Nothing that a script may say of a stack is left out where broker and store are the stack's own."""
    struck = FaultScript([Fault(0, 1, "uplink", "cut"), Fault(0, 1, "store", "down")])
    clock = ClockDriver(tmp_path / "clock.bin")
    children = {name: child(tmp_path, "") for name in ("broker", "gateway", "ingest", "simulator")}
    ways = Ways(struck, 1883, "sqlite:///points.sqlite3")
    actors = actors_of(ways, children, tmp_path / "points.sqlite3", clock)
    wanted = {(target, kind) for target in KINDS if target not in {"node", "crew"} for kind in KINDS[target]}
    assert actors.keys() == wanted
    clock.close()
