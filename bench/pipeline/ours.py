"""``resik gateway run`` and ``resik ingest run``, with the settings that they ship with."""

from functools import partial

from bench.pipeline.stage import DATABASE, Stage, wait_for
from resik.ports import free_port
from resik.process import Child, ask_health, resik_command

NAME = "resik: gateway and ingest"
PROCESSES = ("gateway", "ingest")


def _common(stage: Stage, service: str, health_port: int) -> dict[str, str]:
    prefix = f"RESIK_{service.upper()}_"
    return {
        prefix + "SITE": str(stage.site_folder),
        prefix + "BROKER_URL": f"mqtt://127.0.0.1:{stage.broker_port}",
        prefix + "HEALTH_PORT": str(health_port),
    }


def start_gateway(stage: Stage, **settings: str) -> Child:
    """Start the gateway with a new spool; ``settings`` are what differs from the defaults."""
    health_port = free_port()
    values = {"SPOOL_FILE": str(stage.folder / "spool.sqlite3"), **settings}
    environment = {f"RESIK_GATEWAY_{name}": value for name, value in values.items()}
    environment |= _common(stage, "gateway", health_port)
    return stage.start("gateway", resik_command("gateway", "run"), environment, health_port)


def start_ingest(stage: Stage) -> Child:
    """Start the worker."""
    health_port = free_port()
    environment = {
        "RESIK_INGEST_STORE_URL": f"influx1://127.0.0.1:{stage.write_port}/{DATABASE}",
        "RESIK_INGEST_DEAD_LETTER_FILE": str(stage.folder / "deadletters.sqlite3"),
    } | _common(stage, "ingest", health_port)
    return stage.start("ingest", resik_command("ingest", "run"), environment, health_port)


def wait_connected(stage: Stage, *children: Child) -> None:
    """Wait until the broker answers all of them."""
    for child in children:
        wait_for(partial(_is_connected, stage, child), child.name)


def _is_connected(stage: Stage, child: Child) -> bool:
    stage.check()
    assert child.health_port is not None
    health = ask_health(child.health_port)
    return health is not None and health.ok and bool(health.counts.get("uplink_connected", 1))


def counts(child: Child) -> dict[str, float]:
    """Return the counts of its health page; empty when it does not answer."""
    assert child.health_port is not None
    health = ask_health(child.health_port)
    return {} if health is None else dict(health.counts)


def start(stage: Stage) -> None:
    """Start both and wait until they are connected."""
    wait_connected(stage, start_gateway(stage), start_ingest(stage))
