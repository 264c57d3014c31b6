"""Who takes part: ours, the peers, and the limits of the parts."""

from collections.abc import Callable
from typing import NamedTuple

from bench.pipeline import ours
from bench.pipeline.peers import bridge, node_red
from bench.pipeline.stage import DATABASE, PYTHON_ENVIRONMENT, Stage, module_command

FILTER = "resik/+/+/up/bin"


class Contestant(NamedTuple):
    """One way from the broker into the store.

    Attributes
    ----------
    key : str
        Short name for ``--only``.
    name : str
        Name in the table.
    kind : str
        ``ours``, ``peer`` or ``limit``.
    flavour : str
        What its messages look like: ``wire`` or ``flat``.
    start : Callable[[Stage], None]
        Starts it; it may not be subscribed yet when this returns.
    processes : tuple[str, ...]
        Its own processes, whose CPU time counts as its own.
    share : int
        It gets one message of so many that the fast ones get, for it is slow.
    hops : bool
        Whether it needs the API of InfluxDB 2.x, so that its writes go through the hop.
    note : str
        What one must know to compare it.
    """

    key: str
    name: str
    kind: str
    flavour: str
    start: Callable[[Stage], None]
    processes: tuple[str, ...]
    share: int = 1
    hops: bool = False
    note: str = ""


def _start_script(stage: Stage) -> None:
    url = f"http://127.0.0.1:{stage.hop_port}"
    words = ("--port", str(stage.broker_port), "--url", url, "--filter", FILTER, "--bucket", DATABASE)
    stage.start("script", module_command("peers.batching_script", *words), PYTHON_ENVIRONMENT)


def _start_lines(stage: Stage) -> None:
    words = ("--port", str(stage.broker_port), "--filter", FILTER, "--store-port", str(stage.write_port))
    stage.start("receiver", module_command("receivers", "lines", *words, "--database", DATABASE), PYTHON_ENVIRONMENT)


OURS = Contestant(
    "ours", ours.NAME, "ours", "wire", ours.start, ours.PROCESSES,
    note="stored on disk before any ack, acked to the device, checked, tagged from the registry",
)  # fmt: skip
PEERS = (
    Contestant(
        "node-red-batch", "Node-RED, 1,000 joined per write", "peer", "flat",
        lambda stage: node_red.start(stage, FILTER, joins=True), (node_red.PROCESS,),
        note="acks before it stores",
    ),
    Contestant(
        "node-red-single", "Node-RED, one write per message", "peer", "flat",
        lambda stage: node_red.start(stage, FILTER, joins=False), (node_red.PROCESS,), share=10,
        note="acks before it stores",
    ),
    Contestant(
        "script", "paho + influxdb-client, batching", "peer", "flat", _start_script, ("script",), share=2, hops=True,
        note="acks before it stores; writes over the hop",
    ),
    Contestant(
        "bridge", "mqtt2influxdb, one write per message", "peer", "flat",
        lambda stage: bridge.start(stage, FILTER), (bridge.PROCESS,), share=50, hops=True,
        note="clean session; writes over the hop",
    ),
)  # fmt: skip
LINES = Contestant(
    "lines", "raw receiver writing lines", "limit", "flat", _start_lines, ("receiver",),
    note="acks after the store's answer; no spool, no checks, no reconnecting",
)  # fmt: skip
STORING = (OURS, *PEERS, LINES)
"""All that store; the limits of load and broker store nothing."""
