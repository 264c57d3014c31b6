"""The stage of one check: the whole chain in a folder of its own, the ledger, the faults, and the verdict."""

import contextlib
import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.endurance import checker, parts
from bench.endurance.checker import Verdict
from bench.endurance.fleet import Fleet
from bench.endurance.gates import Gate, GateThread, MqttGate
from bench.endurance.ledger import Ledger
from bench.endurance.parts import Part, Trouble, wait_for
from gateway.settings import GatewaySettings
from resik.ports import free_port
from resik.process import resik_command
from square.clock import ClockDriver
from square.registry import Registry

SETTLE_WITHIN_S = 180.0
_QUIET_LOOKS = 3


@dataclasses.dataclass
class Facts:
    """What a check found.

    Attributes
    ----------
    verdict : Verdict
        Of the reconciliation.
    faults : int
        Faults injected; a check in which none fired proves nothing.
    notes : list[str]
        Figures for the report.
    problems : list[str]
        What is wrong; empty when the check passed.
    """

    verdict: Verdict = dataclasses.field(default_factory=Verdict)
    faults: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


class Chain:
    """Broker, InfluxDB, gateway and ingest, as the check wants them.

    Parameters
    ----------
    folder : Path
        For files and logs of this chain.
    site : Path
        Site folder; made once for all.
    clock, gateway_clock : ClockDriver
        Square time of ingest and devices, and of the gateway.
    """

    def __init__(self, folder: Path, site: Path, gates: GateThread) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.site_folder = site
        registry = Registry.load(site)
        self.site = registry.site
        self.devices = [device.id for device in registry]
        self.clock = ClockDriver(folder / "clock")
        self.gateway_clock = ClockDriver(folder / "gateway-clock")
        self.set_time(time.time(), 1.0)
        self.letters = folder / "letters.sqlite3"
        self.spool = folder / "spool.sqlite3"
        self.board = folder / "alerts.sqlite3"
        self.parts: list[Part] = []
        self.gates: list[Gate] = []
        self._gates = gates
        self._is_closed = False

    def set_time(self, now_s: float, speed: float) -> None:
        """Set all clocks of the square."""
        self.clock.set(now_s, speed)
        self.gateway_clock.set(now_s, speed)

    def gate(self, to_port: int, **options: Any) -> Gate:
        """Put a gate before a port."""
        gate = Gate(self._gates, to_port, **options)
        self.gates.append(gate)
        return gate

    def mqtt_gate(self, to_port: int, **options: Any) -> MqttGate:
        """Put a gate that understands MQTT before a port."""
        gate = MqttGate(self._gates, to_port, **options)
        self.gates.append(gate)
        return gate

    def broker(self, name: str = "broker", **options: Any) -> tuple[Part, int]:
        """Start a broker; return it with its port."""
        port = free_port()
        part = self._add(parts.mosquitto(self.folder, port, name, **options))
        part.start()
        return part, port

    def influxd(self, data: Path | None = None) -> tuple[Part, int]:
        """Start InfluxDB; return it with its port."""
        port = free_port()
        part = self._add(parts.influxd(self.folder, data or self.folder / "influx", port, free_port()))
        part.start()
        return part, port

    def gateway(
        self, broker_port: int, uplink_port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> Part:
        """Make the gateway; not started yet.

        It sends a batch again after 2 s, not 30, so that a check takes minutes and not hours.
        """
        values = {
            "SPOOL_FILE": str(self.spool),
            "RESEND_S": "2",
            "DISK_WARN_PCT": "1",
            "DISK_STOP_PCT": "0",
            **({"UPLINK_URL": f"mqtt://127.0.0.1:{uplink_port}"} if uplink_port is not None else {}),
            **(settings or {}),
        }
        if "backlog_rows_per_s" in GatewaySettings.model_fields:
            values.setdefault("BACKLOG_ROWS_PER_S", "0")
        return self._service("gateway", "gateway", broker_port, values, self.folder / "gateway-clock")

    def ingest(self, broker_port: int, store_port: int, worker: int | None = None) -> Part:
        """Make the ingest worker, or one of several; not started yet."""
        name = "ingest" if worker is None else f"ingest-{worker}"
        values = {
            "STORE_URL": f"influx1://127.0.0.1:{store_port}/{checker.DATABASE}",
            "DEAD_LETTER_FILE": str(self.letters if worker is None else self.folder / f"letters-{worker}.sqlite3"),
            "DEAD_LETTER_QUOTA": "100000",
            **({} if worker is None else {"WORKER": str(worker)}),
        }
        return self._service("ingest", name, broker_port, values, self.folder / "clock")

    def alerts(self, broker_port: int, store_port: int) -> Part:
        """Make the alert engine; not started yet."""
        values = {
            "DATABASE_URL": f"sqlite:///{self.board}",
            "STORE_URL": f"influx1://127.0.0.1:{store_port}/{checker.DATABASE}",
            "CREW_LINKS_FILE": str(self.folder / "crew-links.json"),
        }
        return self._service("alerts", "alerts", broker_port, values, self.folder / "clock")

    def dashboard(self, store_port: int, watched: Sequence[Part] = ()) -> tuple[Part, int]:
        """Make the dashboard, to be started after the alert engine; return it with its port.

        It asks the health pages of those that are `watched`.
        """
        port = free_port()
        pages = {part.name: f"http://127.0.0.1:{part.health_port}/healthz" for part in watched}
        values = {
            "DATABASE_URL": f"sqlite:///{self.board}",
            "STORE_URL": f"influx1://127.0.0.1:{store_port}/{checker.DATABASE}",
            "PORT": str(port),
            "HEALTH_URLS": json.dumps(pages),
        }
        return self._service("dashboard", "dashboard", None, values, self.folder / "clock"), port

    def _service(
        self, service: str, name: str, broker_port: int | None, values: Mapping[str, str], clock: Path
    ) -> Part:
        health_port = free_port()
        broker = {"BROKER_URL": f"mqtt://127.0.0.1:{broker_port}", "BROKER_WAIT_S": "120"}
        environment = {
            f"RESIK_{service.upper()}_{key}": value
            for key, value in {
                "SITE": str(self.site_folder),
                "CLOCK_FILE": str(clock),
                "HEALTH_PORT": str(health_port),
                **(broker if broker_port is not None else {}),
                **values,
            }.items()
        }
        part = Part(
            name,
            resik_command(service, "run"),
            self.folder / f"{name}.log",
            lambda: _is_at_work(part),
            environment=environment,
            health_port=health_port,
        )
        return self._add(part)

    def _add(self, part: Part) -> Part:
        self.parts.append(part)
        return part

    def close(self) -> None:
        """End everything, the last started first; a second time does nothing."""
        if self._is_closed:
            return
        self._is_closed = True
        for part in reversed(self.parts):
            part.stop()
        for gate in self.gates:
            gate.close()
        for clock in (self.clock, self.gateway_clock):
            clock.close()


def _is_at_work(part: Part) -> bool:
    counts = part.counts()
    if part.name == "gateway":
        return bool(counts.get("edge_connected"))
    if part.name == "alerts":  # its first turn follows its subscription; what comes earlier it reads from the store
        return counts.get("transactions", 0) > 0
    return bool(counts)


class Stage:
    """What a check works with.

    Parameters
    ----------
    folder : Path
        Where it may write.
    site : Path
        Site folder.
    gates : GateThread
        Of the whole run.
    seed : int
        Of every choice in this check.
    scale : float
        1 for full size; less for the short form.
    say : Callable[[str], None]
        Told what goes on at the moment.
    """

    def __init__(
        self, folder: Path, site: Path, gates: GateThread, *, seed: int, scale: float, say: Callable[[str], None]
    ) -> None:
        self.facts = Facts()
        self.ledger = Ledger()
        self.random = random.Random(seed)
        self.seed = seed
        self.scale = scale
        self.say = say
        self.folder = folder
        self._stack = contextlib.ExitStack()
        self.chain = Chain(folder, site, gates)
        self._stack.callback(self.chain.close)

    def sized(self, full: int, least: int = 1) -> int:
        """Return a number of the full campaign at the size of this run."""
        return max(least, round(full * self.scale))

    def fault(self, count: int = 1) -> None:
        """Count injected faults."""
        self.facts.faults += count

    def note(self, text: str) -> None:
        """Add a figure to the report."""
        self.facts.notes.append(text)

    def expect(self, condition: bool, otherwise: str) -> None:
        """Note a problem unless `condition`."""
        if not condition:
            self.facts.problems.append(otherwise)

    def defer(self, work: Callable[[], object]) -> None:
        """Do something at the end of the check, whatever happens."""
        self._stack.callback(work)

    def fleet(
        self,
        port: int,
        devices: int = 200,
        *,
        names: Sequence[str] | None = None,
        clock: Callable[[], float] | None = None,
        **options: Any,
    ) -> Fleet:
        """Bring devices to a broker: the first so many, or those named."""
        fleet = Fleet(
            port,
            self.chain.site,
            names or self.chain.devices[:devices],
            now_s=clock or self.chain.clock.now_s,
            ledger=self.ledger,
            seed=self.seed,
            **options,
        )
        self.defer(fleet.close)
        return fleet

    def settle(self, fleet: Fleet | None, gateway: Part, within_s: float = SETTLE_WITHIN_S) -> float:
        """Wait until devices hold nothing and nothing waits in the gateway; return how long that took [s]."""
        self.say("waiting until everything has arrived")
        took_s = fleet.settle(within_s) if fleet is not None else 0.0
        quiet = 0

        def is_quiet() -> bool:
            nonlocal quiet
            counts = gateway.counts()
            quiet = quiet + 1 if counts.get("waiting") == 0 else 0
            return quiet > _QUIET_LOOKS

        try:
            return took_s + wait_for(is_quiet, within_s, "the spool to be settled")
        except Trouble as trouble:
            raise Trouble(f"{trouble}; {gateway.counts().get('waiting')} rows wait") from trouble

    def reconcile(self, store_port: int) -> Verdict:
        """Hold the store against the ledger and keep the verdict."""
        self.say("holding the store against the ledger")
        self.facts.verdict = verdict = checker.reconcile(self.ledger, store_port, self.chain.letters)
        for count, what in (
            (verdict.lost, "lost"),
            (verdict.duplicated, "stored twice"),
            (verdict.foreign, "stored and never made"),
            (verdict.wrong, "stored with another value or time"),
        ):
            self.expect(not count, f"{count} readings {what}")
        return verdict

    def close(self) -> None:
        """End everything."""
        self._stack.close()


@contextlib.contextmanager
def opened(stage: Stage) -> Iterator[Stage]:
    """Close a stage after the block, whatever happens."""
    try:
        yield stage
    finally:
        stage.close()
