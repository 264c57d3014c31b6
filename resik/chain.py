"""What a check of the whole chain knows before it looks: where everything is, and what each service says."""

import fcntl
import json
from functools import cached_property
from pathlib import Path
from typing import Final, Literal

import msgspec

from resik.inspection import StackCard, find_data, read_card
from resik.process import ask_health, last_words
from square.clock import Clock, open_clock
from square.health import Health
from square.settings import read_secret
from square.site import Site, load_site

State = Literal["ok", "note", "broken", "unknown", "skipped"]
"""note: works, and somebody should look. unknown: could not be checked. skipped: cannot be while another is broken."""

NAMES: Final = {
    "disk": ("ruang disk", "disk space"),
    "stack": ("layanan berjalan", "services running"),
    "clock": ("jam mesin", "clock"),
    "broker": ("broker MQTT", "MQTT broker"),
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
    """One stack, looked at once.

    Parameters
    ----------
    data : Path | None
        Its data folder; None takes the one in ``var/``.

    Raises
    ------
    StackError
        If there is no such folder or no stack has run in it.
    """

    def __init__(self, data: Path | None) -> None:
        self.data = find_data(data)
        self.card: StackCard = read_card(self.data)
        self.is_running = _is_locked(self.data / "lock")
        self.clock: Clock | None = None
        self._healths: dict[str, Health | None] = {}

    @cached_property
    def site(self) -> Site:
        """The plan; SiteError if it cannot be read."""
        return load_site(self.card.site)

    def store_secret(self) -> str | None:
        """Return token or password of the time-series store; SettingsError if its file cannot be read."""
        file = self.card.store_token_file
        return read_secret(Path(file) if file is not None else None)

    @property
    def spool(self) -> Path:
        """The gateway's spool."""
        return self.data / "spool.sqlite3"

    @property
    def dead_letters(self) -> Path:
        """The dead-letter file."""
        return self.data / "deadletters.sqlite3"

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

    def count(self, service: str, name: str) -> float:
        """Return a figure of a service, 0 when it does not say."""
        health = self.health(service)
        return 0.0 if health is None else health.counts.get(name, 0.0)

    def last_words(self, service: str) -> str:
        """Return the last line of the log of a service, in quotes, or an empty text."""
        words = last_words(self.data / "logs" / f"{service}.log")
        return json.dumps(words, ensure_ascii=False) if words else ""


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
