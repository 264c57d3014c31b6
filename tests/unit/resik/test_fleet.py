"""The commands about real nodes write the orders that the gateway reads, and refuse what makes no sense."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from firmware.core import config as node_config
from firmware.health import CONFIG
from gateway.orders import Orders
from gateway.rollout import Track, note
from resik import fleet, fleet_words
from resik.inspection import StackCard, write_card
from square.site import load_site

release = pytest.importorskip("resik.release", reason="cryptography is not installed: bundles were NOT tested")

NOW_MS = 1_795_488_752_000
VERSION = 10_400


class Office:
    """A file of orders, and the command line on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "orders.sqlite3"
        self.orders = Orders(self.file)
        for number in range(1, 11):
            self.say(f"rsk-b{number:03d}")
        self.say("rsk-a001", **{"class": "air"})

    def say(self, device: str, at_ms: int | None = None, **fields: Any) -> None:
        status = {"boot": 7, "fw": "1.3.0", "class": "bin", "interval_s": 600, "battery_mv": 3710, **fields}
        self.orders.note_status(device, status, at_ms if at_ms is not None else int(time.time() * 1000))

    def run(self, *words: str, group: Any = fleet.node) -> Result:
        place = ["--orders", str(self.file)]
        return CliRunner().invoke(group, [words[0], *place, *words[1:]])

    def ota(self, *words: str) -> Result:
        return self.run(*words, group=fleet.ota)

    def bundle(self, version: int = VERSION, kind: str = "bin") -> Path:
        key_file = self.folder / "release.key"
        if not key_file.exists():
            release.make_key(key_file)
        made = release.build({"firmware/app.mpy": b"M\x06" + bytes(5000)}, kind=kind, version=version,
                             key=release.read_key(key_file))  # fmt: skip
        path = self.folder / f"{version}-{kind}.rsk"
        path.write_bytes(made)
        return path


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    made = Office(tmp_path)
    yield made
    made.orders.close()


def test_what_can_be_set_from_here_is_what_nodes_take() -> None:
    """The settings of the command are exactly those that the node's own code lets the gateway change."""
    assert sorted((*fleet.SETTABLE_NUMBERS, *fleet.SETTABLE_TEXTS)) == sorted(node_config.settable())


def test_faults_have_a_word_for_each_bit_of_the_node() -> None:
    """No bit that a node sets is unknown here; a bit from the future is shown as such."""
    assert fleet_words.faults_text(CONFIG) == [fleet_words._FAULTS[-1]]
    assert fleet_words.faults_text(1 | CONFIG) == [fleet_words._FAULTS[0], fleet_words._FAULTS[-1]]
    assert fleet_words.faults_text(1 << 20) == ["unknown fault 1048576"]
    assert fleet_words.faults_text(0) == []


def test_the_list_shows_every_node_and_what_is_wrong(office: Office) -> None:
    """A sick node is seen at a glance; programs get the same."""
    office.say("rsk-b002", crash="OSError node.py:talk", reset="watchdog", crashes=4, days_left=3, faults=10)
    office.say("rsk-b003", at_ms=NOW_MS - 86_400_000 * 9)
    shown = office.run("list")
    assert shown.exit_code == 0
    line = next(line for line in shown.output.splitlines() if line.startswith("rsk-b002"))
    for word in (
        "1.3.0",
        "3.71 V",
        "last crash OSError node.py:talk (4 so far)",
        "watchdog",
        "were dropped",
        "3 days",
        "sensor",
    ):
        assert word in line
    assert "well" in next(line for line in shown.output.splitlines() if line.startswith("rsk-b001"))
    facts = {fact["device"]: fact for fact in json.loads(office.run("list", "--json").output)}
    assert len(facts) == 11
    assert facts["rsk-b002"]["status"]["crash"] == "OSError node.py:talk"
    assert facts["rsk-b001"]["troubles"] == []


def test_a_configuration_is_checked_merged_and_shown_without_secrets(office: Office, tmp_path: Path) -> None:
    """Settings add up under growing numbers; a password is stored for the node and shown to nobody."""
    assert office.run("config", "rsk-b001", "--set", "interval_s=300").exit_code == 0
    password = tmp_path / "password"
    password.write_text("a-secret-word\n", encoding="ascii")
    second = office.run("config", "rsk-b001", "--wifi-password-file", str(password), "--set", "wifi_ssid=alun")
    assert "goes back by itself" in second.output
    assert "a-secret-word" not in second.output
    found = office.orders.config("rsk-b001")
    assert found is not None
    assert (found.cfg, found.changes) == (2, {"interval_s": 300, "wifi_psk": "a-secret-word", "wifi_ssid": "alun"})
    page = office.run("show", "rsk-b001").output
    assert "interval_s = 300" in page
    assert "a-secret-word" not in page + office.run("list", "--json").output
    office.run("config", "rsk-b001", "--unset", "wifi_psk", "--unset", "wifi_ssid")
    found = office.orders.config("rsk-b001")
    assert found is not None
    assert found.changes == {"interval_s": 300}
    office.run("config", "rsk-b001", "--clear")
    found = office.orders.config("rsk-b001")
    assert found is not None
    assert (found.cfg, found.changes) == (4, {})
    assert office.file.stat().st_mode & 0o077 == 0, "the file of orders holds the password of a network"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["rsk-b001", "--set", "interval_s=5"], "interval_s"),
        (["rsk-b001", "--set", "interval_s=soon"], "whole number"),
        (["rsk-b001", "--set", "parts=none"], "cannot be changed from here"),
        (["rsk-b001", "--set", "broker_tls=0"], "cannot be changed from here"),
        (["rsk-b001", "--set", "critical_mv=4000"], "critical_mv"),
        (["rsk-b001", "--set", "wifi_psk=a-secret-word"], "--wifi-password-file"),
        (["rsk-b001", "--set", "pings"], "KEY=VALUE"),
        (["rsk-b001", "--unset", "pings"], "nothing to unset"),
        (["rsk-b001"], "say what to change"),
        (["rsk-b999", "--set", "pings=5"], "no node"),
    ],
)
def test_a_configuration_that_no_node_would_take_is_refused(office: Office, words: list[str], said: str) -> None:
    """One sentence says why, the exit code is 2, and nothing is ordered."""
    result = office.run("config", *words)
    assert result.exit_code == 2
    assert said in result.output
    assert office.orders.configs() == {}


def test_commands_are_ordered_with_their_numbers(office: Office) -> None:
    """Each command of the wire can be sent, and its state is shown."""
    lines = ("identify", "reboot", "resend --boot 7 --from 12", "interval --s 60 --for-s 3600", "interval --s 0")
    for words in map(str.split, lines):
        assert office.run("send", "rsk-b001", *words).exit_code == 0
    assert [command.body for command in office.orders.commands("rsk-b001")] == [
        {"cmd": "identify", "s": 30},
        {"cmd": "reboot"},
        {"cmd": "resend", "boot": 7, "from": 12},
        {"cmd": "interval", "s": 60, "for_s": 3600},
        {"cmd": "interval", "s": 0, "for_s": 0},
    ]
    office.orders.note_commands_done("rsk-b001", 1, NOW_MS)
    page = office.run("show", "rsk-b001").output
    assert "identify s=30: done" in page
    assert "reboot: not sent yet" in page


@pytest.mark.parametrize(
    "words", [["reboot", "--s", "5"], ["resend", "--boot", "7"], ["interval", "--s", "5", "--for-s", "60"], ["format"]]
)
def test_a_command_with_the_wrong_numbers_is_refused(office: Office, words: list[str]) -> None:
    """Neither a foreign number nor a missing one, nor one out of range, is ordered."""
    assert office.run("send", "rsk-b001", *words).exit_code == 2
    assert office.orders.commands("rsk-b001") == []


def test_an_update_is_published_to_the_nodes_of_its_kind(office: Office) -> None:
    """Ten bin nodes in four stages; the air station is not among them; the bundle lies whole in the file."""
    path = office.bundle()
    result = office.ota("publish", str(path), "--pub", str(office.folder / "ota.pub"))
    assert result.exit_code == 0, result.output
    assert "1.4.0 goes to 10 bin nodes, 10 of them heard lately" in result.output
    (rollout,) = office.orders.rollouts()
    assert sorted(rollout.plan.nodes) == [f"rsk-b{number:03d}" for number in range(1, 11)]
    assert [rollout.plan.reach(stage) for stage in range(4)] == [1, 2, 5, 10]
    stored = b"".join(office.orders.block(rollout.release.id, at, 4096) for at in range(0, rollout.release.size, 4096))
    assert stored == path.read_bytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--kind", "air"], "for bin nodes"),
        (["--stages", "10,5,100"], "must rise"),
        (["--stages", "1,50"], "end with 100"),
        (["--stages", "all"], "whole percents"),
        (["--only", "rsk-a001"], "kind air"),
        (["--only", "rsk-b999"], "no node"),
    ],
)
def test_an_update_that_makes_no_sense_is_refused(office: Office, words: list[str], said: str) -> None:
    """One sentence says why, and no node is offered anything."""
    result = office.ota("publish", str(office.bundle()), *words)
    assert result.exit_code == 2
    assert said in result.output
    assert office.orders.rollouts() == []


def test_a_forged_old_or_broken_bundle_is_refused(office: Office, tmp_path: Path) -> None:
    """Another key, a version that all nodes have, a cut file: none is published."""
    path = office.bundle()
    (tmp_path / "other").mkdir()
    release.make_key(tmp_path / "other" / "release.key")
    forged = office.ota("publish", str(path), "--pub", str(tmp_path / "other" / "ota.pub"))
    assert "NOT of this key" in forged.output
    old = office.ota("publish", str(office.bundle(version=10_300)))
    assert "is no update" in old.output
    path.write_bytes(path.read_bytes()[:-1])
    cut = office.ota("publish", str(path))
    assert [forged.exit_code, old.exit_code, cut.exit_code] == [2, 2, 2]
    assert office.orders.rollouts() == []
    assert office.ota("publish", str(office.bundle())).exit_code == 0
    assert "published already" in office.ota("publish", str(office.bundle())).output


def test_an_update_that_a_node_could_not_load_is_refused(office: Office) -> None:
    """Bytecode of another version would be refused by the node and halt everything: it is named before."""
    office.say("rsk-b007", mpy="6.1")
    result = office.ota("publish", str(office.bundle()))
    assert result.exit_code == 2
    assert "rsk-b007 loads bytecode 6.1" in result.output
    assert office.orders.rollouts() == []


def test_the_state_of_a_roll_out_in_words_and_for_programs(office: Office) -> None:
    """Bar, stages and nodes are shown; a halt is exit code 1 and says why; resuming goes on."""
    office.ota("publish", str(office.bundle()), "--stages", "20,100")
    (rollout,) = office.orders.rollouts()
    first, second, third, *_rest = rollout.plan.nodes
    now_ms = rollout.made_ms + 60_000
    said = {
        first: {"fw": "1.4.0", "ota": "confirmed", "ota_ver": VERSION},
        second: {"fw": "1.3.0", "ota": "loading", "ota_ver": VERSION, "ota_at": rollout.release.size // 2},
    }
    for device, status in said.items():
        office.orders.save_track(rollout.id, device, note(Track(offered_ms=now_ms - 1), rollout.plan, status, now_ms))
    shown = office.ota("status")
    assert shown.exit_code == 0
    assert "[##----------------------] 1 of 10 nodes have it" in shown.output
    lines = {line.split()[0]: line for line in shown.output.splitlines()[1:] if line.strip()}
    assert "has it" in lines[first]
    assert "loading it, 50 %" in lines[second]
    assert "not its turn yet (stage 2)" in lines[third]
    office.orders.save_track(rollout.id, first, Track(seen_ms=now_ms, offered_ms=now_ms - 13_000_000))
    assert f"{first} was offered it 3 h ago".split() in [
        line.split() for line in office.ota("status").output.splitlines()
    ]
    office.orders.save_track(rollout.id, first, note(Track(), rollout.plan, said[first], now_ms))
    halted = office.ota("halt", "--why", "rain")
    assert halted.exit_code == 0
    shown = office.ota("status")
    assert shown.exit_code == 1
    assert "HALTED" in shown.output
    assert "rain" in shown.output
    (fact,) = json.loads(office.ota("status", "--json").output)
    assert (fact["phase"], fact["version"], fact["stage"]) == ("halted", "1.4.0", 1)
    assert fact["nodes"][first]["outcome"] == "confirmed"
    assert office.ota("halt").exit_code == 2
    assert "is in no roll-out" in office.ota("resume", "--without", "rsk-a001").output
    assert office.ota("resume", "--without", third).exit_code == 0
    assert office.ota("resume").exit_code == 2
    assert f"{third} skipped: left out".split() in [line.split() for line in office.ota("status").output.splitlines()]
    assert office.ota("status").exit_code == 0
    (rollout,) = office.orders.rollouts()
    assert msgspec.structs.asdict(rollout.run) | {"resumed_ms": 0, "opened_ms": 0} == {
        "phase": "running", "stage": 0, "opened_ms": 0, "resumed_ms": 0, "why": "", "without": (third,),
    }  # fmt: skip


def test_without_orders_there_is_one_sentence(tmp_path: Path) -> None:
    """A missing file is named, with what to do, and nothing is made."""
    result = CliRunner().invoke(fleet.ota, ["status", "--orders", str(tmp_path / "none.sqlite3")])
    assert result.exit_code == 2
    assert "does not exist" in result.output
    assert not (tmp_path / "none.sqlite3").exists()


def test_no_update_is_no_failure(office: Office) -> None:
    """A square that never published an update is told how to, with exit code 0."""
    result = office.ota("status")
    assert (result.exit_code, "resik ota publish" in result.output) == (0, True)


def test_nodes_of_the_plan_are_known_before_they_say_anything(tmp_path: Path) -> None:
    """In the data folder of a stack the plan names the nodes; what is ordered waits for the gateway."""
    (tmp_path / "kind").write_text("real\n")
    (tmp_path / "run").mkdir()
    card = StackCard("http://127.0.0.1:8080/", "alun-alun-pasuruan", "sqlite://", None, {"gateway": 1})
    write_card(tmp_path / "run" / "stack.json", card)
    place = ["--data", str(tmp_path)]
    shown = CliRunner().invoke(fleet.node, ["list", *place])
    assert shown.exit_code == 0, shown.output
    active = [device for device in load_site("alun-alun-pasuruan").devices if device.status == "active"]
    assert sum("never heard" in line for line in shown.output.splitlines()) == len(active)
    device = active[0].id
    assert "never heard" in CliRunner().invoke(fleet.node, ["show", device, *place]).output
    assert CliRunner().invoke(fleet.node, ["send", device, "reboot", *place]).exit_code == 0
    orders = Orders(tmp_path / "orders.sqlite3")
    assert [command.body for command in orders.commands(device)] == [{"cmd": "reboot"}]
    orders.close()
