"""What a check of the whole chain knows before it looks: where everything is, and what each service says."""

import fcntl
import json
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import msgspec

from alerts.settings import AlertsSettings
from dashboard_api.settings import DashboardSettings
from gateway.settings import GatewaySettings
from ingest.settings import IngestSettings
from resik.inspection import StackCard, find_data, read_card
from resik.process import ask_health, last_words
from square.access import role
from square.clock import Clock, open_clock
from square.health import Health
from square.settings import load_settings, read_secret
from square.site import Site, load_site

State = Literal["ok", "note", "broken", "unknown", "skipped"]
"""note: works, and somebody should look. unknown: could not be checked. skipped: cannot be while another is broken."""

NAMES: Final = {
    "disk": ("ruang disk", "disk space"),
    "stack": ("layanan berjalan", "services running"),
    "clock": ("jam mesin", "clock"),
    "broker": ("broker MQTT", "MQTT broker"),
    "broker-files": ("aturan broker", "rules of the broker"),
    "certificates": ("sertifikat", "certificates"),
    "credentials": ("masuk ke broker", "login at the broker"),
    "probe": ("pesan uji lewat broker", "probe through the broker"),
    "time-series": ("penyimpan deret waktu", "time-series store"),
    "relational": ("basis data", "relational store"),
    "gateway": ("gerbang data", "gateway"),
    "ingest": ("penyimpan bacaan", "ingest"),
    "flow": ("serah terima gerbang ke penyimpan", "hand-over from gateway to ingest"),
    "alerts": ("mesin peringatan", "alert engine"),
    "dashboard": ("peta", "dashboard"),
    "nodes": ("alat di lapangan", "nodes"),
    "dead-letters": ("surat mati", "dead letters"),
    "ledger": ("catatan alat simulasi", "ledger of the simulated nodes"),
    "balance": ("neraca", "balance"),
}
"""The links in the order in which they carry each other, and their names."""


class Words(msgspec.Struct, frozen=True):
    """One sentence in both languages."""

    id: str
    en: str


NOTHING: Final = Words("", "")


class Finding(msgspec.Struct, frozen=True):
    """What was found at one link.

    Attributes
    ----------
    link : str
        A key of :data:`NAMES`.
    state : str
        See :data:`State`.
    what, todo : Words
        How it is, and what to do about it.
    """

    link: str
    state: State
    what: Words
    todo: Words = NOTHING


class Chain:
    """All parts of one square, looked at once. Made by :meth:`in_folder` or :meth:`of_settings`.

    Parameters
    ----------
    data : Path
        Where the gateway keeps its spool; of a stack, its data folder.
    card : StackCard
        Where everything else is.
    spool, dead_letters : Path
        Files of gateway and ingest.
    secrets : Path | None
        Folder of the broker's passwords; None for a broker that asks for none.
    is_stack : bool
        Whether one command runs it all.
    """

    def __init__(
        self,
        data: Path,
        card: StackCard,
        *,
        spool: Path,
        dead_letters: Path,
        secrets: Path | None,
        is_stack: bool,
    ) -> None:
        self.data = data
        self.card = card
        self.spool = spool
        self.dead_letters = dead_letters
        self.secrets = secrets
        self.is_stack = is_stack
        self.clock: Clock | None = None
        self._healths: dict[str, Health | None] = {}
        self.is_running = _is_locked(data / "lock") if is_stack else any(map(self.health, card.health_ports))

    @classmethod
    def in_folder(cls, data: Path | None) -> "Chain":
        """Look into the data folder of a stack; None takes the one in ``var/``.

        Raises
        ------
        StackError
            If there is no such folder or no stack has run in it.
        """
        folder = find_data(data)
        return cls(
            folder,
            read_card(folder),
            spool=folder / "spool.sqlite3",
            dead_letters=folder / "deadletters.sqlite3",
            secrets=folder / "secrets",
            is_stack=True,
        )

    @classmethod
    def of_settings(cls, config_file: Path) -> "Chain":
        """Look at services that run one by one on this machine, with the settings that they have.

        Raises
        ------
        SettingsError
            If the file cannot be used.
        """
        gateway = load_settings(GatewaySettings, "gateway", config_file)
        ingest = load_settings(IngestSettings, "ingest", config_file)
        alerts = load_settings(AlertsSettings, "alerts", config_file)
        dashboard = load_settings(DashboardSettings, "dashboard", config_file)
        ports = {"gateway": gateway.health_port, "ingest": ingest.health_port, "alerts": alerts.health_port}
        password_file = gateway.broker_password_file
        card = StackCard(
            address=f"http://{dashboard.host}:{dashboard.port}/",
            site=gateway.site,
            database_url=alerts.database_url,
            clock_file=_text(gateway.clock_file),
            health_ports={name: port for name, port in ports.items() if port is not None}
            | {"dashboard": dashboard.port},
            broker_url=gateway.broker_url,
            broker_ca_file=_text(gateway.broker_ca_file),
            store_url=ingest.store_url,
            store_token_file=_text(ingest.store_token_file),
        )
        return cls(
            gateway.spool_file.parent,
            card,
            spool=gateway.spool_file,
            dead_letters=ingest.dead_letter_file,
            secrets=None if password_file is None else password_file.parent,
            is_stack=False,
        )

    @cached_property
    def site(self) -> Site:
        """The plan; SiteError if it cannot be read."""
        return load_site(self.card.site)

    def store_secret(self) -> str | None:
        """Return token or password of the time-series store; SettingsError if its file cannot be read."""
        file = self.card.store_token_file
        return read_secret(Path(file) if file is not None else None)

    @property
    def ledger(self) -> Path:
        """What the simulator published in this run."""
        return self.data / "run" / "published.csv"

    def open_clock(self) -> Clock:
        """Return the square's time.

        Raises
        ------
        SettingsError
            If its file cannot be read.
        """
        if self.clock is None:
            self.clock = open_clock(Path(self.card.clock_file) if self.card.clock_file is not None else None)
        return self.clock

    def health(self, service: str, *, fresh: bool = False) -> Health | None:
        """Return what a service says of itself, None when it does not answer."""
        if fresh or service not in self._healths:
            port = self.card.health_ports.get(service)
            self._healths[service] = None if port is None else ask_health(port)
        return self._healths[service]

    @property
    def workers(self) -> list[str]:
        """Names of the ingest workers whose health pages are known; always one at least."""
        return [name for name in self.card.health_ports if role(name) == "ingest"] or ["ingest"]

    def count(self, service: str, name: str) -> float:
        """Return a figure of a service, of ingest that of all workers together, 0 when it does not say."""
        return sum(self.figure(part, name) for part in (self.workers if service == "ingest" else [service]))

    def figure(self, part: str, name: str) -> float:
        """Return a figure of one process, 0 when it does not say."""
        health = self.health(part)
        return 0.0 if health is None else health.counts.get(name, 0.0)

    def log(self, part: str) -> str:
        """Return where the log of a part is."""
        return str(self.data / "logs" / f"{part}.log") if self.is_stack else f"log {part}"

    def last_words(self, part: str) -> str:
        """Return the last line of the log of a part, in quotes, or an empty text."""
        words = last_words(Path(self.log(part)))
        return json.dumps(words, ensure_ascii=False) if words else ""


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _is_locked(path: Path) -> bool:
    """Whether a running stack holds the lock of its folder."""
    try:
        with path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
