"""Letting in and shutting out at a running mosquitto: at once, for good, and without a word to the neighbours."""

import asyncio
import json
import os
import pwd
import tempfile
import time
from pathlib import Path

import pytest

from firmware import wire
from resik.broker_live import running_pid
from simulators.errors import LinkRefused
from tests.fakes.stub_gateway import until
from tests.integration.broker_bench import SITE, BrokerBench

pytestmark = pytest.mark.service

STOLEN, NEIGHBOUR = "rsk-b001", "rsk-b002"
BATCH = wire.topic_batch(SITE, "gw-utama")
SHARED = f"$share/ingest/{BATCH}"


@pytest.fixture
def bench(tmp_path):
    """Start a broker with two ingest workers."""
    bench = BrokerBench(tmp_path, "--workers", "2").start()
    yield bench
    bench.stop()


async def batches_arriving(uplink, worker, number=20):
    """Send batches upstream, then one by another way; return how many the worker has when that has come."""
    before = len(worker.heard)
    for index in range(number):
        await uplink.link.publish(BATCH, str(index).encode())
    probe = wire.topic_probe(SITE, "ingest")
    await uplink.link.publish(probe, str(before).encode())
    await until(lambda: (probe, str(before).encode()) in worker.heard, 10, "the probe")
    return len(worker.heard) - before - 1


def test_a_stolen_device_is_out_and_stays_out(bench):
    """Connection, session and credential end at once; gateway, services and neighbour keep connection and messages."""
    word = bench.secret(STOLEN)

    async def scenario():
        others = [await bench.link(name, tls=name == NEIGHBOUR) for name in (NEIGHBOUR, "gateway", "gateway-uplink")]
        neighbour, gateway, uplink = others
        await gateway.link.subscribe([f"resik/{SITE}/+/up/+"])
        worker = await bench.link("ingest-2")
        await worker.link.subscribe([SHARED, wire.topic_probe(SITE, "ingest")])
        thief = await bench.link(STOLEN, tls=True)
        await thief.link.subscribe([SHARED, f"resik/{SITE}/{STOLEN}/down/+"])
        # The broker checks subscriptions at delivery: what the group owes the thief is lost to the workers
        assert await batches_arriving(uplink, worker) < 20
        assert not thief.heard

        started = time.monotonic()
        said = await asyncio.to_thread(bench.run, "revoke", STOLEN)
        assert "dicabut / is shut out" in said
        assert thief.lost_at is not None
        assert thief.lost_at - started < 5  # asked for: 60 s
        for tls in (True, False):
            with pytest.raises(LinkRefused):
                await bench.link(STOLEN, word, tls=tls)

        assert await batches_arriving(uplink, worker) == 20, "its subscriptions are gone, too"
        await neighbour.link.publish(wire.topic_up(SITE, NEIGHBOUR, "bin"), b"still here")
        await until(lambda: gateway.heard, 10, "the neighbour's message")
        assert all(user.lost_at is None for user in (*others, worker))

    asyncio.run(scenario())
    assert not (bench.folder.root / "secrets" / STOLEN).exists()
    assert "revoked but active in devices.toml: rsk-b001" in bench.run("check")
    # neither another sync nor a restart brings it back
    assert "nothing had to change" in bench.run("sync")
    bench.server.kill()
    bench.server.start()

    async def again():
        with pytest.raises(LinkRefused):
            await bench.link(STOLEN, word)

    asyncio.run(again())
    bench.run("revoke", STOLEN)  # twice is no mistake


@pytest.mark.parametrize("restarted", [False, True])
def test_a_sleeping_neighbour_finds_what_waits_for_it(bench, restarted):
    """Revoking one device ends no session of another that sleeps, nor what is queued in it; also after a restart."""
    topic = wire.topic_down(SITE, NEIGHBOUR, "cmd")

    async def sleep():
        node = await bench.link(NEIGHBOUR, tls=True)
        await node.link.subscribe([topic])
        node.link.close()
        gateway = await bench.link("gateway")
        await gateway.link.publish(topic, b"wake up")
        gateway.link.close()

    async def wake():
        node = await bench.link(NEIGHBOUR, tls=True)
        await until(lambda: node.heard, 10, "what was queued")
        node.link.close()
        return node.heard

    asyncio.run(sleep())
    if restarted:
        bench.server.stop()  # politely, so that it writes its sessions down
        bench.server.start()
    bench.run("revoke", STOLEN)
    assert asyncio.run(wake()) == [(topic, b"wake up")]


def test_granting_makes_a_new_secret_and_the_old_one_is_worth_nothing(bench):
    """A device that was revoked comes back by a new secret only; a new secret for one that is in throws it off."""
    old = bench.secret(STOLEN)
    bench.run("revoke", STOLEN)
    bench.run("grant", STOLEN)
    assert bench.secret(STOLEN) != old
    kept = bench.secret(NEIGHBOUR)

    async def scenario():
        with pytest.raises(LinkRefused):
            await bench.link(STOLEN, old)
        back = await bench.link(STOLEN)
        neighbour = await bench.link(NEIGHBOUR)
        await asyncio.to_thread(bench.run, "grant", NEIGHBOUR)
        await until(lambda: neighbour.lost_at is not None, 10, "the old secret to end")
        with pytest.raises(LinkRefused):
            await bench.link(NEIGHBOUR, kept)
        await bench.link(NEIGHBOUR)
        assert back.lost_at is None

    asyncio.run(scenario())


def test_sync_follows_the_registry(bench):
    """A retired device goes, also when it is connected; a new one comes; the others keep secret and connection."""
    registry = bench.site / "devices.toml"
    text = registry.read_text()
    before = {name: bench.secret(name) for name in bench.folder.users()}

    async def scenario():
        leaving, staying = await bench.link(STOLEN), await bench.link(NEIGHBOUR)
        changed = text.replace('status = "active"', 'status = "retired"', 1)
        changed += '\n[[device]]\nid = "rsk-b077"\nkind = "bin"\nasset = "bin-001"\nmodel = "t"\nstatus = "active"\n'
        registry.write_text(changed)
        assert "rsk-b077" in await asyncio.to_thread(bench.run, "check", code=1)
        said = await asyncio.to_thread(bench.run, "sync")
        assert "masuk / let in         rsk-b077" in said
        assert f"keluar / shut out      {STOLEN}" in said
        await until(lambda: leaving.lost_at is not None, 10, "the retired device to be cut")
        await bench.link("rsk-b077")
        assert staying.lost_at is None

    asyncio.run(scenario())
    assert {name: bench.secret(name) for name in before} == before
    assert "salah" not in bench.run("check")


def test_a_node_whose_secret_is_elsewhere_gets_in_by_its_line(bench, tmp_path):
    """The line of a bundle is enough, outlives every sync, and no secret of that node is kept here."""
    from resik.node_bundle import broker_entry

    entry = tmp_path / "broker-entry.txt"
    entry.write_text(broker_entry(STOLEN, "the secret in the node"))
    bench.run("grant", STOLEN, "--entry", str(entry))
    bench.run("sync")
    bench.run("init", "--workers", "1")
    assert not (bench.folder.root / "secrets" / STOLEN).exists()

    async def scenario():
        user = await bench.link(STOLEN, "the secret in the node")
        user.link.close()

    asyncio.run(scenario())
    bench.run("revoke", STOLEN)
    line = broker_entry(STOLEN, "x")
    for text in (broker_entry(NEIGHBOUR, "x"), line + broker_entry("gateway", "x"), f"{STOLEN}:plain word", ""):
        entry.write_text(text)
        assert "not that of rsk-b001" in bench.run("grant", STOLEN, "--entry", str(entry), code=2)
        assert bench.folder.revoked() == {STOLEN}


def test_making_it_again_changes_nothing(bench):
    """`init` twice: every file and secret is as before, to the byte, and nobody is disturbed."""
    files = {
        path: path.read_bytes()
        for path in bench.folder.root.rglob("*")
        if path.is_file() and "state" not in path.parts and path.name != "lock"
    }
    assert len(files) > 15

    async def scenario():
        user = await bench.link(NEIGHBOUR)
        await asyncio.to_thread(bench.run, "init", "--self-signed", "127.0.0.1", "--self-signed", "localhost")
        await user.link.publish(wire.topic_up(SITE, NEIGHBOUR, "bin"), b"x")
        assert user.lost_at is None

    asyncio.run(scenario())
    assert {path: path.read_bytes() for path in files} == files


def test_check_tells_what_is_wrong(bench):
    """A stranger in the password file, a changed access list, an open secret, a wrong secret: each is named."""
    found = {line["level"] for line in json.loads(bench.run("check", "--json"))}
    assert found == {"good", "warn"}  # Debian's version, and workers beside devices
    bench.add_users({"stranger": "word"}, "user stranger\ntopic readwrite #\n")
    secret = bench.folder.root / "secrets" / NEIGHBOUR
    secret.chmod(0o644)
    secret.write_text("changed by hand")
    said = bench.run("check", code=1)
    assert "not (or no longer) wanted: stranger" in said
    assert "acl is not as we would write it" in said
    assert f"others may read {secret}" in said
    assert f"not the one that the broker takes: {NEIGHBOUR}" in said
    secret.chmod(0o600)
    bench.run("sync")
    assert "salah" not in bench.run("check")


def test_a_broker_that_is_gone_is_not_somebody_else(bench):
    """A pid file left by a crash points at nobody, even when its number is a living process: nothing is signalled."""
    assert running_pid(bench.folder) == bench.server.process.pid
    bench.server.kill()
    bench.folder.pid_file.write_text("1")
    assert running_pid(bench.folder) is None
    assert "tidak berjalan" in bench.run("revoke", STOLEN)
    assert STOLEN not in bench.folder.users()
    assert "no broker runs" in bench.run("check")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a broker for another account")
def test_a_broker_with_an_account_of_its_own(tmp_path):
    """Started by root it runs as that account, reads its files again there, and root's own files stay root's."""
    try:
        account = pwd.getpwnam("mosquitto")
    except KeyError:
        pytest.skip("there is no account mosquitto: accounts were NOT tested")
    with tempfile.TemporaryDirectory(prefix="resik-broker-") as name:  # pytest's own folders are closed to others
        Path(name).chmod(0o755)
        bench = BrokerBench(Path(name), "--account", "mosquitto").start()
        try:
            assert Path(f"/proc/{running_pid(bench.folder)}").stat().st_uid == account.pw_uid
            bench.run("renew")
            assert "dicabut" in bench.run("revoke", STOLEN)
            said = bench.run("check")
            assert "salah" not in said
            assert "runs as root" not in said
            folder = bench.folder
            owned = (folder.passwords, folder.acl, folder.papers.server_key)
            assert {path.stat().st_uid for path in owned} == {account.pw_uid}
            own = (folder.papers.root_key, folder.root / "secrets" / NEIGHBOUR, folder.root / "broker.json")
            assert {path.stat().st_uid for path in own} == {0}
        finally:
            bench.stop()
