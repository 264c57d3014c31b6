"""Check 13: a thousand TLS nodes lose their line at the same moment, again and again; the map answers all the while."""

import contextlib
import http.client
import resource
import ssl
import statistics
import threading
import time
from collections.abc import Iterator

from bench.endurance.parts import NotHere, start_all, wait_for
from bench.endurance.stage import Stage
from resik import broker_tls
from resik.ports import free_port

BACK_LIMIT_S = 30.0
JITTER_S = 3.0
MAP_LIMIT_MS = 1_000
LOOK_EVERY_S = 0.1
_FILES_EACH = 3
_FILES_MORE = 500


@contextlib.contextmanager
def looking_at_the_map(port: int) -> Iterator[list[float]]:
    """Ask for the state of the map again and again during the block; yield how long each answer took [ms].

    A look that fails counts as one that took for ever.
    """
    took_ms: list[float] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(LOOK_EVERY_S):
            began_s = time.monotonic()
            try:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/api/v1/state")
                reply = connection.getresponse()
                is_answer = reply.status == http.client.OK and bool(reply.read())
                connection.close()
            except (OSError, http.client.HTTPException):
                is_answer = False
            took_ms.append((time.monotonic() - began_s) * 1000 if is_answer else float("inf"))

    looker = threading.Thread(target=look, name="looker", daemon=True)
    looker.start()
    try:
        yield took_ms
    finally:
        stop.set()
        looker.join(15)


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
    gateway, ingest, alerts = chain.gateway(port), chain.ingest(port, store_port), chain.alerts(port, store_port)
    start_all(gateway, ingest, alerts)
    dashboard, map_port = chain.dashboard(store_port)
    dashboard.start()
    context = ssl.create_default_context(cafile=str(papers.root))
    stage.say(f"{nodes:,} TLS nodes connect")
    fleet = stage.fleet(
        tls_port, devices=nodes, each_a_line=True, tls=context, jitter_s=JITTER_S, resend_s=5.0, connect_within_s=120.0
    )
    slowest_s = 0.0
    with looking_at_the_map(map_port) as took_ms:
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
    p95_ms = statistics.quantiles(took_ms, n=20)[-1]
    stage.expect(p95_ms < MAP_LIMIT_MS, f"the map took {p95_ms:.0f} ms to answer (p95)")
    stage.note(
        f"state of the map meanwhile: {len(took_ms)} looks, p95 {p95_ms:.0f} ms (limit {MAP_LIMIT_MS:,}), "
        f"longest {max(took_ms):.0f} ms"
    )
