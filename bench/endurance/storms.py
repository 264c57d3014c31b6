"""Check 13: a thousand TLS nodes lose their line at the same moment, again and again."""

import resource
import ssl

from bench.endurance.parts import NotHere, start_all, wait_for
from bench.endurance.stage import Stage
from resik import broker_tls
from resik.ports import free_port

BACK_LIMIT_S = 30.0
JITTER_S = 3.0
_FILES_EACH = 3
_FILES_MORE = 500


def storm(stage: Stage) -> None:
    """Drop all lines, by a reset of each or by the death of the broker; all MUST be back within 30 s."""
    chain = stage.chain
    nodes, rounds = stage.sized(1_000, 50), 5 if stage.scale == 1 else 2
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = nodes * _FILES_EACH + _FILES_MORE
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise NotHere(f"{nodes:,} connections need {needed:,} open files, {hard:,} are allowed (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    papers = broker_tls.Papers(stage.folder / "tls")
    papers.folder.mkdir(parents=True)
    broker_tls.make_root(papers, chain.site)
    broker_tls.issue_server(papers, ("127.0.0.1",))
    tls_port = free_port()
    broker, port = chain.broker(tls=(tls_port, papers.server, papers.server_key))
    _, store_port = chain.influxd()
    gateway, ingest = chain.gateway(port), chain.ingest(port, store_port)
    start_all(gateway, ingest)
    context = ssl.create_default_context(cafile=str(papers.root))
    stage.say(f"{nodes:,} TLS nodes connect")
    fleet = stage.fleet(
        tls_port, devices=nodes, each_a_line=True, tls=context, jitter_s=JITTER_S, resend_s=5.0, connect_within_s=120.0
    )
    slowest_s = 0.0
    for number in range(rounds):
        fleet.measure(2)
        kills = number % 2 == 0
        stage.say(f"round {number + 1} of {rounds}: {'the broker dies' if kills else 'all lines are reset'}")
        lost = fleet.losses
        if kills:
            broker.kill()
            broker.start()
        else:
            fleet.hang_up()
        stage.fault(nodes)
        fleet.measure(1)  # made while nobody is connected
        wait_for(lambda lost=lost: fleet.losses >= lost + nodes, 60, "all nodes to lose their line")  # type: ignore[misc]
        slowest_s = max(slowest_s, fleet.wait_connected(120.0))
        fleet.settle(90)
    stage.settle(fleet, gateway)
    stage.reconcile(store_port)
    stage.expect(slowest_s <= BACK_LIMIT_S, f"{slowest_s:.1f} s until all nodes were back")
    stage.note(
        f"{rounds} rounds, {nodes:,} nodes: all back at most {slowest_s:.1f} s after the last lost its line "
        f"(limit 30 s, jitter {JITTER_S:g} s)"
    )
