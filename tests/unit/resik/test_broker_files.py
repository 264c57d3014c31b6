"""Files of a generated broker: what stands in them, what is never written over, and what is refused."""

import re
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from resik import broker_check, broker_tls
from resik.broker_check import DEBIAN_FIXED, count_denials
from resik.broker_config import BrokerPlan, configuration, listen_address
from resik.broker_files import BrokerFolder, hashed, is_hash_of, new_secret
from resik.brokers import mosquitto_command
from resik.cli import main
from resik.errors import StackError
from square.access import SERVICES
from tests.unit.square.small_site import write_site

DEVICES = ("rsk-b001", "rsk-b002", "rsk-a01")


def run(*words, code=0):
    result = CliRunner().invoke(main, ["broker", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def made(tmp_path):
    """Make a broker without TLS for the small site."""
    run("init", "--site", write_site(tmp_path / "site"), "--out", tmp_path / "broker")
    return BrokerFolder(tmp_path / "broker")


# -- hashes and secrets ------------------------------------------------------------------------


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_hash_stands_for_one_secret(secret, other):
    """The hash proves its secret and no other, and two hashes of one secret differ."""
    entry = hashed(secret)
    assert is_hash_of(entry, secret)
    assert is_hash_of(entry, other) is (secret == other)
    assert entry != hashed(secret)


@given(st.text(max_size=80) | st.from_regex(r"\$7\$\d{1,3}\$[A-Za-z0-9+/=]*\$[A-Za-z0-9+/=]*", fullmatch=True))
def test_any_entry_gets_an_answer(entry):
    """A damaged or foreign entry is no hash of anything; nothing raises."""
    assert is_hash_of(entry, "secret") is False


def test_hashes_of_mosquittos_own_tool_are_understood(tmp_path):
    """An entry made by mosquitto_passwd is recognised, so that nobody's hash is made again without need."""
    (tmp_path / "file").write_text("user:the word\n")
    try:
        subprocess.run(["mosquitto_passwd", "-U", str(tmp_path / "file")], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("mosquitto_passwd is not installed")
    entry = (tmp_path / "file").read_text().strip().removeprefix("user:")
    assert is_hash_of(entry, "the word")


def test_every_secret_is_its_own_and_long_enough():
    """1,000 secrets are 1,000 different ones of 256 bits."""
    secrets = {new_secret() for _ in range(1000)}
    assert len(secrets) == 1000
    assert {len(secret) for secret in secrets} == {43}


def test_files_hold_hashes_and_are_private(made):
    """No secret stands in a file of the broker; secrets, users and access list are for their owner only."""
    secrets = {path.name: path.read_text() for path in (made.root / "secrets").iterdir()}
    assert set(secrets) == {*SERVICES, *DEVICES}
    assert set(made.users()) == set(secrets)
    for path in made.root.rglob("*"):
        if path.is_file() and path.parent.name != "secrets":
            assert not any(secret in path.read_text() for secret in secrets.values()), path
    private = [made.passwords, made.acl, *(made.root / "secrets").iterdir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}
    assert stat.S_IMODE((made.root / "secrets").stat().st_mode) == 0o700


# -- who gets in -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("part", "users"),
    [
        ("square", {"gateway", "monitor", *DEVICES}),
        ("city", {"gateway-uplink", "ingest", "ingest-2", "alerts", "monitor"}),
        ("whole", {*SERVICES, "ingest-2", *DEVICES}),
    ],
)
def test_each_part_knows_its_own_users(made, part, users):
    """A broker of the square has no city services, one of the city no devices."""
    run("init", "--part", part, "--workers", 2, "--out", made.root)
    assert set(made.users()) == users
    named = {line.removeprefix("user ") for line in made.acl.read_text().splitlines() if line.startswith("user ")}
    assert named == users


def test_a_group_that_devices_can_guess_is_said(made):
    """With workers beside devices, until the group has a secret name."""
    run("init", "--workers", 2, "--out", made.root)

    def warned():
        return any("shared subscription" in finding.text for finding in broker_check.findings(made))

    assert warned()
    (made.root / "secrets" / broker_check.GROUP_FILE).write_text("nobody-guesses-this")
    assert not warned()


def test_a_device_called_like_a_service_is_refused(tmp_path):
    """Its rights would be the service's: nothing is written."""
    site = write_site(tmp_path / "site", ("devices.toml", 'id = "rsk-b001"', 'id = "ingest-2"'))
    said = run("init", "--site", site, "--out", tmp_path / "broker", code=2)
    assert "ingest-2 of" in said
    assert "called like a service" in said
    assert not (tmp_path / "broker" / "passwords").exists()


def test_shutting_out_needs_a_device_of_this_broker(made):
    """A typing mistake and the name of a service are refused, each with what to do."""
    assert "no user of this broker" in run("revoke", "rsk-b999", "--out", made.root, code=2)
    assert "resik broker grant ingest" in run("revoke", "ingest", "--out", made.root, code=2)
    assert "neither a service nor an active device" in run("grant", "rsk-b000", "--out", made.root, code=2)
    run("revoke", "rsk-b001", "--out", made.root)
    assert made.revoked() == {"rsk-b001"}
    registry = made.root.parent / "site" / "devices.toml"
    registry.write_text(registry.read_text().replace('status = "active"', 'status = "retired"', 1))
    run("grant", "rsk-b001", "--out", made.root, code=2)
    assert made.revoked() == {"rsk-b001"}, "a grant that failed lets nobody in"


def test_the_embedded_broker_forgets_a_revoked_device_at_its_next_start(tmp_path):
    """Without a mosquitto the device is noted, its secret is gone, and the sentence says that a restart is needed."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "rsk-b001").write_text("word")
    assert "start resik up again" in run("revoke", "rsk-b001", "--data", tmp_path)
    assert not (tmp_path / "secrets" / "rsk-b001").exists()
    assert BrokerFolder(tmp_path / "broker").revoked() == {"rsk-b001"}
    run("revoke", "rsk-b001", "--data", tmp_path)
    assert "no device rsk-b002" in run("revoke", "rsk-b002", "--data", tmp_path, code=2)


# -- configuration -----------------------------------------------------------------------------


def sections(text):
    """Return the lines before the first listener, and those of each listener."""
    groups = [[]]
    for line in text.splitlines():
        if line.startswith("listener "):
            groups.append([])
        if line and not line.startswith("#"):
            groups[-1].append(line)
    return groups


def test_the_configuration_is_closed(tmp_path):
    """Plain text on loopback only, TLS 1.2 or newer elsewhere, nobody without a name, client ids are user names."""
    plan = BrokerPlan(site="small", secrets="s", listen_port=8883, hosts=("broker.local",), account="mosquitto")
    common, plain, tls = sections(configuration(plan, tmp_path, principals=1000, as_root=False))
    assert plain[0] == "listener 1883 127.0.0.1"
    assert tls[0] == "listener 8883"
    assert {f"certfile {tmp_path}/tls/server.crt", "tls_version tlsv1.2"} <= set(tls)
    for listener in (plain, tls):
        assert "use_username_as_clientid true" in listener
        assert "max_connections 2050" in listener
    assert {
        "per_listener_settings false", "allow_anonymous false", f"password_file {tmp_path}/passwords",
        f"acl_file {tmp_path}/acl", "max_queued_messages 0", "persistence true", "autosave_interval 30",
        "user mosquitto", "log_type notice",
    } <= set(common)  # fmt: skip
    settings = dict(line.split(" ", 1) for line in common)
    assert int(settings["memory_limit"]) > int(settings["max_queued_bytes"]) > 10 * int(settings["max_packet_size"])
    assert int(settings["max_packet_size"]) > 1_048_576


def test_without_tls_nothing_listens_outside(made):
    """A broker without certificate has one listener, on loopback."""
    assert [group[0] for group in sections(made.configuration.read_text())[1:]] == ["listener 1883 127.0.0.1"]


def test_the_unit_and_the_note_name_what_is_there(made):
    """The sample of a unit starts this configuration without root; the note names port and commands."""
    unit = (made.root / "resik-broker.service").read_text()
    assert f"-c {made.configuration}" in unit
    assert "User=mosquitto" in unit
    assert f"ReadWritePaths={made.root}/state" in unit
    note = (made.root / "OPERATOR.md").read_text()
    for word in ("revoke", "grant", "sync", "check", "127.0.0.1:1883"):
        assert word in note


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8883", ("", 8883)), ("0.0.0.0:1", ("0.0.0.0", 1)), ("broker.local:8883", ("broker.local", 8883)),  # noqa: S104
        ("[::1]:8883", ("::1", 8883)), ("host", None), ("host:", None), ("host:0", None), ("host:65536", None),
        ("::1:8883", None), ("", None),
    ],
)  # fmt: skip
def test_listen_addresses(text, address):
    """A port, a host with a port, an IPv6 address in brackets; everything else is refused with the right form."""
    if address is not None:
        assert listen_address(text) == address
        return
    with pytest.raises(StackError, match=r"write 8883, or host:8883"):
        listen_address(text)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--site", "SITE"], "with --out, or the data folder of its stack with --data"),
        (["--out", "OUT"], "a new broker needs --site"),
        (["--site", "SITE", "--out", "OUT", "--listen", "8883"], "a TLS listener needs a certificate"),
        (["--site", "SITE", "--out", "OUT", "--tls-cert", "FILE"], "--tls-cert and --tls-key belong together"),
        (
            ["--site", "SITE", "--out", "OUT", "--tls-cert", "FILE", "--tls-key", "FILE", "--self-signed", "h"],
            "not both",
        ),
        (["--site", "SITE", "--out", "OUT", "--self-signed", "kafé.test"], "is no name of a machine in plain letters"),
        (["--site", "SITE", "--out", "OUT", "--account", "nobody-here"], "there is no account nobody-here"),
    ],
)
def test_init_says_what_is_missing(tmp_path, words, complaint):
    """Each incomplete command gets one sentence."""
    (tmp_path / "file").write_text("x")
    names = {"SITE": write_site(tmp_path / "site"), "OUT": tmp_path / "broker", "FILE": tmp_path / "file"}
    assert complaint in run("init", *(names.get(word, word) for word in words), code=2)
    assert not (tmp_path / "broker" / "broker.json").exists()


# -- a stack's mosquitto -----------------------------------------------------------------------


def stack_plan(tmp_path, monkeypatch, listen):
    monkeypatch.setattr("resik.brokers.mosquitto_program", lambda: "mosquitto")
    words = {"site": str(write_site(tmp_path / "site")), "secrets": tmp_path / "secrets", "port": 1999}
    mosquitto_command(tmp_path / "broker", **words, listen=listen)
    return BrokerFolder(tmp_path / "broker").plan()


@pytest.mark.parametrize(
    ("listen", "bound", "hosts"),
    [
        (("192.0.2.7", 8883), "192.0.2.7", ("192.0.2.7",)),
        (("square.test", 8883), "", ("square.test",)),
        (("localhost", 8883), "127.0.0.1", ("localhost", "127.0.0.1")),
    ],
)
def test_where_a_stack_listens(tmp_path, monkeypatch, listen, bound, hosts):
    """An address is bound alone, a name means all addresses, localhost stays at home; the certificate names it."""
    plan = stack_plan(tmp_path, monkeypatch, listen)
    assert (plan.listen_host, plan.listen_port, plan.hosts, plan.port) == (bound, 8883, hosts, 1999)
    papers = BrokerFolder(tmp_path / "broker").papers
    assert set(broker_tls.hosts_of(broker_tls.read_certificates(papers.server)[0])) == set(hosts)
    # the next start without the option keeps listener and certificate
    before = papers.server.read_bytes()
    assert stack_plan(tmp_path, monkeypatch, None) == plan
    assert papers.server.read_bytes() == before


def test_a_stack_needs_a_name_that_nodes_can_check(tmp_path, monkeypatch):
    """`--listen 8883` or 0.0.0.0 without a certificate would make one for nobody: refused with an example."""
    for host in ("", "0.0.0.0", "::"):  # noqa: S104 - refused
        with pytest.raises(StackError, match=r"names no host that a node could check.*192\.168\.1\.10:8883"):
            stack_plan(tmp_path, monkeypatch, (host, 8883))


# -- certificates ------------------------------------------------------------------------------


def test_the_authority_is_made_once_and_its_certificates_fit_the_protocol(tmp_path):
    """EC P-256, 10 years and 825 days, names as given, DER beside PEM, keys private; a second call keeps the root."""
    papers = broker_tls.Papers(tmp_path)
    broker_tls.make_root(papers, "alun-alun")
    first = papers.root.read_bytes()
    broker_tls.make_root(papers, "alun-alun")
    broker_tls.issue_server(papers, ("broker.test", "192.0.2.1"))
    assert papers.root.read_bytes() == first
    root, server = (broker_tls.read_certificates(path)[0] for path in (papers.root, papers.server))
    server.verify_directly_issued_by(root)
    assert server.public_key().curve.name == root.public_key().curve.name == "secp256r1"
    assert 3648 < broker_tls.days_left(root) < 3650
    assert 823 < broker_tls.days_left(server) < 825
    assert broker_tls.hosts_of(server) == ("broker.test", "192.0.2.1")
    assert papers.root_der.stat().st_size < 600
    assert {stat.S_IMODE(path.stat().st_mode) for path in (papers.root_key, papers.server_key)} == {0o600}
    assert broker_tls.is_current(papers, ("192.0.2.1",))
    assert not broker_tls.is_current(papers, ("other.test",))


def test_a_key_of_another_time_is_noticed(tmp_path):
    """A power cut between key and certificate leaves two that do not fit: they are made again at the next call."""
    papers = broker_tls.Papers(tmp_path)
    broker_tls.make_root(papers, "alun-alun")
    broker_tls.issue_server(papers, ("broker.test",))
    old = papers.server_key.read_bytes()
    broker_tls.issue_server(papers, ("broker.test",))
    papers.server_key.write_bytes(old)
    assert not broker_tls.is_current(papers, ("broker.test",))


def test_without_the_key_of_the_authority_nothing_is_signed(tmp_path):
    """A key kept offline is asked for by name, a damaged one is called so."""
    papers = broker_tls.Papers(tmp_path)
    broker_tls.make_root(papers, "alun-alun")
    papers.root_key.write_text("nonsense")
    with pytest.raises(StackError, match=r"ca\.key is damaged"):
        broker_tls.issue_server(papers, ("broker.test",))
    papers.root_key.unlink()
    with pytest.raises(StackError, match=r"put the key of the authority back"):
        broker_tls.issue_server(papers, ("broker.test",))


# -- judging -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("version", "has_fixes", "level"),
    [
        ("2.0.22", False, "good"), ("2.1.2", False, "good"), ("2.0.11", True, "warn"), ("2.0.11", False, "bad"),
        ("2.0.21", True, "bad"), ("1.6.9", True, "bad"), ("", True, "warn"),
    ],
)  # fmt: skip
def test_versions_are_judged(monkeypatch, version, has_fixes, level):
    """Production versions are good, Debian's repaired 2.0.11 is a warning, everything older is wrong."""
    monkeypatch.setattr(broker_check, "_has_debian_fixes", lambda: has_fixes)
    monkeypatch.setattr(broker_check, "_installed_version", lambda: version)
    assert broker_check.installed_finding().level == level
    assert DEBIAN_FIXED.startswith("2.0.11")


def test_denials_of_a_log_are_counted(tmp_path):
    """Who and what, whatever the topic holds; lines about other things count nothing; the most frequent first."""
    log = [
        "2026-11-24T08:00:00: Denied PUBLISH from rsk-b001 (d0, q1, r0, m3, 'resik/s/rsk-b002/up/bin', ... (3 bytes))",
        "2026-11-24T08:00:01: Denied PUBLISH from rsk-b001 (d0, q0, r0, m0, 'it's (odd', 'topic', ... (3 bytes))",
        "2026-11-24T08:00:02: Client <unknown> disconnected, not authorised.",
        "2026-11-24T08:00:03: Received PUBLISH from rsk-b001 (d0, q1, r0, m1, 'Denied', ... (8 bytes))",
    ] * 2
    assert count_denials(log) == {
        ("rsk-b001", "resik/s/rsk-b002/up/bin"): 2,
        ("rsk-b001", "it's (odd', 'topic"): 2,
        ("<unknown>", "login"): 2,
    }
    (tmp_path / "log").write_text("\n".join([*log, log[2]]))
    said = run("denials", tmp_path / "log").splitlines()
    assert said[0].split() == ["3", "'<unknown>'", "'login'"]
    assert said[-1].split()[0] == "7"


def test_who_may_use_a_topic(made):
    """`resik broker who` names the writers and readers of a topic."""
    said = run("who", "resik/small/gw/gw-utama/batch", "--out", made.root).splitlines()
    assert said[0].endswith("gateway-uplink")
    assert said[1].endswith("ingest, alerts")


def test_the_operators_page_knows_every_command_and_option():
    """docs/security.md speaks of each subcommand, and names no option that does not exist."""
    page = (Path(__file__).resolve().parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
    options = {"--real", "--broker", "--ca", "--now", "--ingest-workers"}  # of other commands
    for name, command in main.commands["broker"].commands.items():
        assert f"resik broker {name}" in page or f"`{name}`" in page
        for parameter in command.params:
            options |= {*parameter.opts, *parameter.secondary_opts}
    assert set(re.findall(r"--[a-z][a-z-]+", page)) - options == set()


def test_files_of_root_are_a_sentence(made, monkeypatch):
    """A person who may not read the password file learns which file it was and as whom to try again."""

    def closed(_folder):
        raise PermissionError(13, "Permission denied", "/etc/resik/broker/passwords")

    monkeypatch.setattr(BrokerFolder, "users", closed)
    for words in (["check"], ["sync"], ["revoke", "rsk-b001"]):
        said = run(*words, "--out", made.root, code=2)
        assert "/etc/resik/broker/passwords: Permission denied: run this as root" in said


def test_a_damaged_plan_is_named(made):
    """A plan that cannot be read stops every command with the file and the remedy."""
    (made.root / "broker.json").write_text('{"site": 1}')
    assert "broker.json is damaged" in run("sync", "--out", made.root, code=2)
    (made.root / "broker.json").unlink()
    assert "make it with resik broker init" in run("check", "--out", made.root, code=2)


def test_the_plan_survives_its_file():
    """Everything that a plan holds is read back as it was written."""
    plan = BrokerPlan("s", "t", "city", 1, "h", 2, ("a", "b"), 3, "mosquitto", log_denials=True, notices=False)
    assert msgspec.json.decode(msgspec.json.encode(plan), type=BrokerPlan) == plan
    lines = configuration(plan, Path("/x"), principals=1, as_root=False).splitlines()
    assert "log_type debug" in lines
    assert "log_type notice" not in lines


def test_who_publishes_for_other_makes_gets_in_and_the_sensors_do_not(made):
    """A user with a secret and one topic; the registered sensor needs none; a wrong filter changes nothing."""
    devices = made.root.parent / "site" / "devices.toml"
    old = 'id = "rsk-b002"\n'
    devices.write_text(
        devices.read_text().replace(old, old + 'foreign = "70b3d57ed0001234"\ncodec = "dragino-ldds75"\n')
    )
    run("init", "--out", made.root, "--publisher", "chirpstack=application/+/device/+/event/up")
    assert set(made.users()) == {*DEVICES, *SERVICES, "chirpstack"} - {"rsk-b002"}
    assert "user chirpstack\ntopic write application/+/device/+/event/up\n" in made.acl.read_text()
    assert (Path(made.plan().secrets) / "chirpstack").exists()
    before = made.acl.read_text()
    for word in ("chirpstack=resik/#", "ingest=a/b", "rsk-b001=a/b", "chirpstack"):
        run("init", "--out", made.root, "--publisher", word, code=2)
    assert made.acl.read_text() == before
    shown = run("who", "application/1/device/2/event/up", "--out", made.root)
    assert shown.splitlines() == ["menulis / write    chirpstack", "membaca / read     gateway"]
    made.set_revoked("chirpstack", is_revoked=True)
    run("sync", "--out", made.root)
    assert "chirpstack" not in made.users()
