"""The whole square on one machine: broker, gateway, ingest, alerts, dashboard and, if wanted, the simulator.

Each part is a process of its own, as in production; only configuration tells them apart.
"""

import contextlib
import json
import logging
import socket
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from resik.broker_check import GROUP_FILE
from resik.broker_config import LISTEN_PORT, listen_address
from resik.broker_files import BrokerFolder
from resik.brokers import embedded_command, mosquitto_command
from resik.errors import StackError
from resik.folder import DataFolder
from resik.inspection import StackCard, write_card
from resik.ports import claim_port, free_port
from resik.process import Child, last_words, resik_command
from resik.stack_faults import StackFaults, Ways, actors_of
from resik.stack_settings import StackSettings
from simulators.faults import FaultScript
from square.access import SERVICES, services, worker_name
from square.clock import ClockDriver
from square.registry import Registry
from square.site import load_site, resolve_site

if TYPE_CHECKING:
    from simulators.scenario import Scenario

__all__ = ["Stack", "StackSettings"]

_log = logging.getLogger(__name__)

READY_WITHIN_S = 30.0
QUIET_LOOKS = 3
SIMULATOR_ENDED = (0, 4)
"""Exit codes of a simulator that ran for the time it was given; 4 means that acks were missing at its deadline."""


class Stack:
    """Starts, watches and stops the processes of one square.

    Parameters
    ----------
    settings : StackSettings
        What to start.
    folder : DataFolder
        Where state lives; locked for as long as the stack runs.
    config_file : Path | None
        Handed on to each service.
    simulate : dict[str, str] | None
        Settings of the simulator; None starts none.
    trace : bool
        Whether ingest records when it stored each reading, for measuring.
    clock_start_s : float | None
        First moment of a replay's square time [s since 1970 UTC]; whoever replays drives it from there.
    scenario : Scenario | None
        What a simulated square goes through; its site is that of the settings.
    """

    def __init__(
        self,
        settings: StackSettings,
        folder: DataFolder,
        *,
        config_file: Path | None = None,
        simulate: dict[str, str] | None = None,
        trace: bool = False,
        clock_start_s: float | None = None,
        scenario: "Scenario | None" = None,
    ) -> None:
        self.settings = settings
        self.folder = folder
        self.site_folder = resolve_site(settings.site)
        self.site = load_site(self.site_folder)
        self.registry = Registry.from_site(self.site)
        self.children: list[Child] = []
        self.metrics_ports: dict[str, int] = {}
        self.clock: ClockDriver | None = None
        self._config_file = config_file
        self._simulate = simulate
        self._trace = trace
        self._clock_start_s = clock_start_s
        self.scenario = scenario
        self.faults: StackFaults | None = None
        self.broker_port = settings.broker_port or (1883 if folder.kind == "real" else free_port())
        self.broker_url = (
            settings.broker_url if settings.broker == "external" else f"mqtt://127.0.0.1:{self.broker_port}"
        )
        self.store_url = settings.store_url or f"sqlite:///{folder.points}"
        self.database_url = settings.database_url or f"sqlite:///{folder.relational}"
        script = scenario.faults if scenario is not None else FaultScript()
        self._ways = Ways(script, None if settings.broker == "external" else self.broker_port, self.store_url)
        self._check_workers()

    def _check_workers(self) -> None:
        """See that several ingest workers can work with this broker and this store.

        Raises
        ------
        StackError
            With what to choose instead.
        """
        if self.settings.ingest_workers == 1:
            return
        wanted = f"{self.settings.ingest_workers} ingest workers"
        if self.settings.broker == "embedded":
            raise StackError(
                f"{wanted} need shared subscriptions, of which the embedded broker dies: --broker mosquitto"
            )
        if self.store_url.startswith("sqlite:"):
            raise StackError(
                f"{wanted} need an InfluxDB: the embedded store has one writer, give --store influx1://..."
            )

    @property
    def workers(self) -> list[str]:
        """Names of the ingest workers."""
        return [worker_name(number) for number in range(1, self.settings.ingest_workers + 1)]

    @property
    def address(self) -> str:
        """Where the map is."""
        return f"http://127.0.0.1:{self.settings.port}/"

    @property
    def trace_files(self) -> list[Path]:
        """When each reading was stored, if traced: a file for each ingest worker."""
        return [self.folder.run / f"stored{name.removeprefix('ingest')}.csv" for name in self.workers]

    @property
    def ledger_file(self) -> Path:
        """What the simulator published."""
        return self.folder.run / "published.csv"

    def card(self) -> StackCard:
        """Return what other commands need to know of this stack."""
        return StackCard(
            address=self.address,
            site=str(self.site_folder),
            database_url=self.database_url,
            clock_file=None if self.folder.kind == "real" else str(self.folder.clock),
            health_ports={child.name: child.health_port for child in self.children if child.health_port is not None},
            metrics_ports=self.metrics_ports,
            broker=self.settings.broker,
            broker_url=self.broker_url,
            broker_ca_file=_absolute(self.settings.broker_ca_file),
            store_url=self.store_url,
            store_token_file=_absolute(self.settings.store_token_file),
        )

    def child(self, name: str) -> Child:
        """Return a process by the name of its service."""
        return next(child for child in self.children if child.name == name)

    # -- building -------------------------------------------------------------------------------

    def _common(self, service: str, name: str, health_port: int) -> dict[str, str]:
        prefix = f"RESIK_{service.upper()}_"
        values = {
            "SITE": str(self.site_folder),
            "LOG_LEVEL": self.settings.log_level,
            "LOG_FORMAT": self.settings.log_format,
        }
        if self.folder.kind != "real":
            values["CLOCK_FILE"] = str(self.folder.clock)
        if service != "dashboard":  # it speaks to no broker, and its health page stands beside its other pages
            values |= {"HEALTH_PORT": str(health_port), "BROKER_URL": self.broker_url}
            if self.settings.broker_ca_file is not None:
                values["BROKER_CA_FILE"] = str(self.settings.broker_ca_file.absolute())
        if service in SERVICES:
            values["BROKER_USERNAME"] = name
            values["BROKER_PASSWORD_FILE"] = str(self.folder.secrets / name)
        return {prefix + key: value for key, value in values.items()}

    def _store(self, service: str) -> dict[str, str]:
        prefix = f"RESIK_{service.upper()}_"
        values = {prefix + "STORE_URL": self._ways.store_url}
        if self.settings.store_token_file is not None:
            values[prefix + "STORE_TOKEN_FILE"] = str(self.settings.store_token_file.absolute())
        return values

    def _service(
        self,
        service: str,
        words: tuple[str, ...],
        values: dict[str, str],
        health_port: int | None = None,
        *,
        name: str | None = None,
    ) -> Child:
        name = name or service
        health_port = health_port or free_port()
        self.metrics_ports.setdefault(name, health_port)
        command = resik_command(*words)
        if self._config_file is not None:
            command += ["--config", str(self._config_file.absolute())]
        environment = self._common(service, name, health_port) | values
        return Child(name, command, environment, self.folder.logs / f"{name}.log", health_port)

    def _ingest(self) -> list[Child]:
        values = {"RESIK_INGEST_DEAD_LETTER_FILE": str(self.folder.dead_letters), **self._store("ingest")}
        if self.folder.kind == "replay":
            values["RESIK_INGEST_DEAD_LETTER_QUOTA"] = "100000"  # every row is accounted for, also of a bad file
        workers = []
        for number, name in enumerate(self.workers, 1):
            own = {"RESIK_INGEST_TRACE_FILE": str(self.trace_files[number - 1])} if self._trace else {}
            if len(self.workers) > 1:
                # mosquitto lets any device join a group whose name it knows
                group = self.folder.credentials([GROUP_FILE])[GROUP_FILE]
                own |= {"RESIK_INGEST_WORKER": str(number), "RESIK_INGEST_SHARED_GROUP": f"ingest-{group[:32]}"}
            workers.append(self._service("ingest", ("ingest", "run"), values | own, name=name))
        return workers

    def _listen(self) -> tuple[str, int] | None:
        """Return host and port of the TLS listener that was asked for."""
        if (self.settings.tls or self.settings.listen is not None) and self.settings.broker != "mosquitto":
            raise StackError(f"the {self.settings.broker} broker gets no TLS listener here: use --broker mosquitto")
        if self.settings.listen is not None:
            return listen_address(self.settings.listen)
        return ("localhost", LISTEN_PORT) if self.settings.tls else None

    @property
    def node_address(self) -> str | None:
        """Where nodes outside this machine connect, None when nobody can."""
        broker = BrokerFolder(self.folder.broker)
        if self.settings.broker != "mosquitto" or not broker.is_made:
            return None
        plan = broker.plan()
        host = plan.hosts[0] if plan.hosts else plan.listen_host or "HOST"
        return f"mqtts://{host}:{plan.listen_port}" if plan.listen_port is not None else None

    def _build(self) -> None:
        folder = self.folder
        uplink = {} if self._ways.uplink_url is None else {"RESIK_GATEWAY_UPLINK_URL": self._ways.uplink_url}
        if self.settings.broker == "mosquitto":
            # it makes the secrets itself: of some devices it may know no more than a hash
            command = mosquitto_command(
                folder.broker,
                site=str(self.site_folder.absolute()),
                secrets=folder.secrets,
                port=self.broker_port,
                listen=self._listen(),
                workers=self.settings.ingest_workers,
            )
        else:
            revoked = BrokerFolder(folder.broker).revoked()
            devices = (device.id for device in self.registry if device.status == "active")
            passwords = folder.credentials(
                [*services(self.settings.ingest_workers), *(device for device in devices if device not in revoked)]
            )
            command = embedded_command(folder.run, port=self.broker_port, passwords=passwords)
        if self.settings.broker != "external":
            self.children.append(Child("broker", command, {}, folder.logs / "broker.log"))
        children = [
            self._service(
                "gateway",
                ("gateway", "run"),
                {
                    "RESIK_GATEWAY_SPOOL_FILE": str(folder.spool),
                    "RESIK_GATEWAY_UPLINK_USERNAME": "gateway-uplink",
                    "RESIK_GATEWAY_UPLINK_PASSWORD_FILE": str(folder.secrets / "gateway-uplink"),
                    **uplink,
                },
            ),
            *self._ingest(),
            self._service(
                "alerts",
                ("alerts", "run"),
                {
                    "RESIK_ALERTS_DATABASE_URL": self.database_url,
                    "RESIK_ALERTS_CREW_LINKS_FILE": str(folder.crew_links),
                    **self._store("alerts"),
                },
            ),
        ]
        self.metrics_ports["dashboard"] = free_port()
        health_urls = {child.name: f"http://127.0.0.1:{child.health_port}/healthz" for child in children}
        children.append(
            self._service(
                "dashboard",
                ("dashboard", "run"),
                {
                    "RESIK_DASHBOARD_DATABASE_URL": self.database_url,
                    "RESIK_DASHBOARD_PORT": str(self.settings.port),
                    "RESIK_DASHBOARD_HEALTH_PORT": str(self.metrics_ports["dashboard"]),
                    "RESIK_DASHBOARD_HEALTH_URLS": json.dumps(health_urls),
                    **self._store("dashboard"),
                },
                self.settings.port,
            )
        )
        if self._simulate is not None:
            children.append(
                self._service(
                    "simulator",
                    ("simulate",),
                    {
                        "RESIK_SIMULATOR_SECRETS_DIR": str(folder.secrets),
                        "RESIK_SIMULATOR_API_URL": self.address.rstrip("/"),
                        "RESIK_SIMULATOR_CREW_LINKS_FILE": str(folder.crew_links),
                        "RESIK_SIMULATOR_LEDGER_FILE": str(self.ledger_file),
                        "RESIK_SIMULATOR_TRUTH_FILE": str(folder.root / "truth.jsonl"),
                        "RESIK_SIMULATOR_STATE_FILE": str(folder.root / "world.json"),
                        **{f"RESIK_SIMULATOR_{key.upper()}": value for key, value in self._simulate.items()},
                    },
                )
            )
        self.children += children

    def _start_clock(self) -> None:
        if self.folder.kind == "real":
            return
        self.clock = ClockDriver(self.folder.clock)
        start_s = self._clock_start_s if self._clock_start_s is not None else self.clock.resumed_s
        if start_s is None and self.scenario is not None:
            start_s = self.scenario.start_s
        if start_s is None:
            hour, minute = (int(part) for part in self.settings.start.split(":"))
            start_s = (
                datetime.now(self.site.zone_info).replace(hour=hour, minute=minute, second=0, microsecond=0).timestamp()
            )
        # a scenario begins when everything is up: nothing of it is missed
        runs = self.folder.kind == "simulated" and self.scenario is None
        self.clock.set(start_s, self.settings.speed if runs else 0.0)

    def square_now_s(self) -> float:
        """Square time [s since 1970 UTC]; wall time for real devices."""
        return time.time() if self.clock is None else self.clock.now_s()

    # -- running --------------------------------------------------------------------------------

    @contextlib.contextmanager
    def running(self, progress: Callable[[str], None] = lambda _name: None) -> Iterator["Stack"]:
        """Start everything in order, stop everything in the reverse order, whatever happens between.

        Parameters
        ----------
        progress : Callable[[str], None]
            Told the name of each part as it starts.

        Raises
        ------
        StackError
            If a port is taken or a part does not come up; everything is stopped again.
        """
        self.folder.lock()
        try:
            claim_port(self.settings.port, "the map", f"choose another with --port {self.settings.port + 1}")
            if self.settings.broker != "external":
                claim_port(self.broker_port, "the MQTT broker", "stop the other one, or choose another --broker-port")
            if (listen := self._listen()) is not None:
                claim_port(listen[1], "the TLS listener", "stop the other one, or choose another port with --listen")
            for file in (*self.trace_files, self.ledger_file):
                file.unlink(missing_ok=True)
            self._start_clock()
            self._build()
            write_card(self.folder.run / "stack.json", self.card())
            self._ways.open()
            for together in (("broker",), ("gateway", *self.workers, "alerts"), ("dashboard",), ("simulator",)):
                group = [child for child in self.children if child.name in together]
                for child in group:
                    progress(child.name)
                    child.start()
                for child in group:
                    self._wait_ready(child)
            if self.scenario is not None and self.clock is not None:
                self.clock.set(self.clock.now_s(), self.settings.speed)
                by_name = {child.name: child for child in self.children}
                actors = actors_of(self._ways, by_name, self.folder.points, self.clock)
                self.faults = StackFaults(self.scenario.faults, actors)
            yield self
        finally:
            self.stop()

    def _wait_ready(self, child: Child) -> None:
        deadline = time.monotonic() + READY_WITHIN_S
        while True:
            if child.exit_code is not None:
                words = child.supervise() or f"{child.name} ended with code {child.exit_code}: see {child.log}"
                raise StackError(words)
            if child.name == "broker":
                with contextlib.suppress(OSError):
                    socket.create_connection(("127.0.0.1", self.broker_port), timeout=0.5).close()
                    return
            elif child.poll_health() is not None:
                return
            if time.monotonic() > deadline:
                words = last_words(child.log)
                raise StackError(f"{child.name} did not answer within {READY_WITHIN_S:.0f} s: {words} ({child.log})")
            time.sleep(0.05)

    def supervise(self) -> None:
        """Restart what died and keep the square's time on file; call this a few times a second.

        Raises
        ------
        StackError
            If a part stopped for a reason that only a person can mend.
        """
        if self.clock is not None and self.folder.kind == "simulated":
            # written again and again so that a stack that is killed resumes where it stopped, not where
            # the clock would have run to by now
            self.clock.set(self.clock.now_s(), self.clock.speed())
        if self.faults is not None:
            self.faults.look(self.square_now_s())
        for child in self.children:
            if child.name == "simulator" and child.exit_code in SIMULATOR_ENDED:
                continue  # it was asked to stop after a while
            words = child.supervise()
            if words is not None:
                raise StackError(words)

    def waiting(self) -> int:
        """Return how many rows the gateway holds and ingest has in hand; 1 for a part that does not answer."""
        healths = (self.child(name).poll_health() for name in ("gateway", *self.workers))
        return sum(1 if health is None else int(health.counts.get("waiting", 0)) for health in healths)

    def drain(self, within_s: float, also: Callable[[], bool] = lambda: True) -> None:
        """Keep everything running until nothing waits and ``also`` holds, for a few looks in a row, or ``within_s``."""
        deadline_s = time.monotonic() + within_s
        quiet = 0
        while quiet <= QUIET_LOOKS and time.monotonic() < deadline_s:
            self.supervise()
            quiet = quiet + 1 if also() and self.waiting() == 0 else 0
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop every process, the last started first, and stop the square's time."""
        if self.faults is not None:
            self.faults.heal()
        for child in reversed(self.children):
            child.stop()
        self._ways.close()
        if self.clock is not None:
            if self.folder.kind == "simulated":
                self.clock.set(self.clock.now_s(), 0.0)
            self.clock.close()
            self.clock = None
        self.folder.unlock()


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.absolute())
