"""What a person at a terminal asks of a stack: the crews' links, the gateway's state, what could not be read."""

import json
import os
import urllib.request
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from alerts.adapters.crew_links import read_links, write_links
from gateway.settings import GatewaySettings
from gateway.troubles import NodePage
from ingest.deadletter import SqliteDeadLetters, StoredLetter
from resik.errors import StackError
from resik.process import ask_health
from square.clock import WIB, now_ms, open_clock
from square.health import Health
from square.settings import SettingsT, load_settings
from square.site import Site, load_site

DEFAULT_FOLDERS = (Path("var/simulated"), Path("var/real"))


class StackCard(msgspec.Struct, frozen=True):
    """What a running stack writes about itself into its data folder.

    Attributes
    ----------
    address : str
        Where the map is.
    site : str
        Folder of the site plan.
    database_url : str
        Relational store.
    clock_file : str | None
        Shared square time, None for wall time.
    health_ports : dict[str, int]
        Loopback port of each service's health page.
    metrics_ports : dict[str, int]
        Loopback port of each service's ``/metrics``.
    broker, broker_url, broker_ca_file : str, str, str | None
        The devices' broker: ``embedded``, ``mosquitto`` or ``external``, and where it is.
    store_url, store_token_file : str, str | None
        Time-series store.
    """

    address: str
    site: str
    database_url: str
    clock_file: str | None
    health_ports: dict[str, int]
    metrics_ports: dict[str, int] = msgspec.field(default_factory=dict)
    broker: str = "external"
    broker_url: str = ""
    broker_ca_file: str | None = None
    store_url: str = ""
    store_token_file: str | None = None


def write_card(path: Path, card: StackCard) -> None:
    """Write the card; a database URL may name a user, so the file is the owner's only."""
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(card), indent=2))


def find_data(data: Path | None) -> Path:
    """Return the data folder to look into: the one named, or the only one that the usual places hold.

    Raises
    ------
    StackError
        If there is none, or more than one and none was named.
    """
    if data is not None:
        if not (data / "kind").exists():
            raise StackError(f"{data} is no data folder of a stack: name the one that `resik up` printed")
        return data
    usual = (*DEFAULT_FOLDERS, *sorted(Path("var").glob("scenario-*")))
    found = [folder for folder in usual if (folder / "kind").exists()]
    if not found:
        raise StackError("no data folder here: start the square with `make run`, or name its folder with --data")
    if len(found) > 1:
        names = " or ".join(str(folder) for folder in found)
        raise StackError(f"there is more than one data folder: say which with --data {names}")
    return found[0]


def read_card(data: Path) -> StackCard:
    """Return what the last stack in ``data`` wrote about itself.

    Raises
    ------
    StackError
        If no stack ever ran there.
    """
    try:
        return msgspec.json.decode((data / "run" / "stack.json").read_bytes(), type=StackCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise StackError(f"no stack has run in {data} yet: start it with `make run` or `resik up`") from error


def gateway_port(data: Path) -> int:
    """Return the health port of the gateway of a stack.

    Raises
    ------
    StackError
        If no stack ever ran there.
    """
    return read_card(data).health_ports["gateway"]


def ask_gateway(port: int) -> tuple[Health, NodePage | None]:
    """Return what a gateway on this machine says of itself, and of its nodes if it knows how to.

    Raises
    ------
    StackError
        If it does not answer.
    """
    health = ask_health(port)
    if health is None:
        raise StackError(
            f"gerbang data di port {port} tidak menjawab: jalankan dulu stack-nya (`resik up`), lalu lihat "
            "catatannya di "
            f"folder logs / the gateway at port {port} does not answer: start the stack, then see its log in the "
            "folder "
            "logs"
        )
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/nodes", timeout=2.0) as reply:
            return health, msgspec.json.decode(reply.read(), type=NodePage)
    except (OSError, msgspec.MsgspecError):
        return health, None


def configured(cls: type[SettingsT], section: str, data: Path | None, config_file: Path | None) -> SettingsT | None:
    """Return the settings of a service that stands alone, None when a stack is meant.

    Raises
    ------
    StackError, SettingsError
        If both are named, or the file cannot be used.
    """
    if config_file is None:
        return None
    if data is not None:
        raise StackError("name --data or --config, not both")
    return load_settings(cls, section, config_file)


def find_spool(data: Path | None, config_file: Path | None) -> tuple[Path, Path | None]:
    """Return spool and clock file of a configured gateway, or else of a stack's.

    Raises
    ------
    StackError, SettingsError
        If there is no such thing.
    """
    settings = configured(GatewaySettings, "gateway", data, config_file)
    if settings is not None:
        return settings.spool_file, settings.clock_file
    folder = find_data(data)
    clock_file = read_card(folder).clock_file
    return folder / "spool.sqlite3", Path(clock_file) if clock_file is not None else None


def resend_settled(path: Path, clock_file: Path | None, hours: float) -> int:
    """Make readings that were stored within the last ``hours`` of square time wait in the spool again.

    Returns
    -------
    int
        How many.

    Raises
    ------
    GatewayError
        If the gateway runs: its spool is its own.
    StackError
        If there is no spool.
    """
    from gateway.spool import Spool

    if not path.exists():
        raise StackError(f"{path} is not there: nothing to send again")
    now = now_ms(open_clock(clock_file))
    spool = Spool(path, now_ms=now)
    try:
        return spool.replay_settled(now - int(hours * 3_600_000))
    finally:
        spool.close()


def crew_lines(site: Site, links: dict[str, str], address: str) -> Iterator[str]:
    """Yield one line per crew member of a site: shift, name, secret link."""
    shifts = {shift.id: shift for shift in site.shifts}
    for crew in site.crews:
        shift = shifts[crew.shift]
        link = f"{address}petugas/{links[crew.id]}" if crew.id in links else "(belum ada tautan / no link yet)"
        yield f"{shift.name_id:8} {shift.start}-{shift.end}  {crew.id:10} {crew.name:12} {link}"


def list_crews(data: Path) -> list[str]:
    """Return the crews of a stack's site with their links."""
    card = read_card(data)
    links = read_links(data / "secrets" / "crew-links.json")
    return list(crew_lines(load_site(card.site), links, card.address))


def renew_link(data: Path, crew_id: str, now_ms: int) -> str:
    """Replace a crew member's link, for a lost phone, and return the new one; the old one is dead at once.

    Raises
    ------
    AlertsError
        If there is no such crew member or the store does not answer.
    """
    from alerts.adapters.database import open_database
    from alerts.desk import Desk
    from alerts.plan import SquarePlan

    card = read_card(data)
    database = open_database(card.database_url)
    try:
        desk = Desk.of_plan(database, SquarePlan.from_site(load_site(card.site)))
        who = os.environ.get("USER") or "operator"
        token = desk.renew_crew_link(crew_id, who, now_ms)
    finally:
        database.close()
    file = data / "secrets" / "crew-links.json"
    write_links(file, {**read_links(file), crew_id: token})
    return f"{card.address}petugas/{token}"


def _moment(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1000, WIB).strftime("%d-%m-%Y %H.%M.%S WIB")


def letter_lines(file: Path, *, device: str | None, code: str | None, limit: int) -> list[str]:
    """Return dead letters as lines, newest first, and how many there are by code."""
    letters = SqliteDeadLetters(file, read_only=True)
    try:
        counts = letters.counts()
        found = letters.list(device=device, code=code, limit=limit)
    finally:
        letters.close()
    if not counts:
        return ["Tidak ada surat mati / no dead letters."]
    total = ", ".join(f"{name} {count}" for name, count in counts.items())
    return [f"{sum(counts.values())}: {total}", *(_line(letter) for letter in found)]


def _line(letter: StoredLetter) -> str:
    times = f" ×{letter.count}" if letter.count > 1 else ""
    return f"{letter.id:6}  {_moment(letter.last_ms)}  {letter.device:20} {letter.code}{times}: {letter.reason}"


def letter_page(file: Path, letter_id: int) -> str:
    """Return one dead letter with what was sent, quoted.

    Raises
    ------
    StackError
        If there is no such letter.
    """
    letters = SqliteDeadLetters(file, read_only=True)
    try:
        letter = letters.show(letter_id)
    finally:
        letters.close()
    if letter is None:
        raise StackError(f"there is no dead letter {letter_id}: see `resik deadletters list`")
    fields: dict[str, Any] = {
        "id": letter.id,
        "device": letter.device,
        "topic": letter.topic,
        "code": letter.code,
        "reason": letter.reason,
        "count": letter.count,
        "first": _moment(letter.first_ms),
        "last": _moment(letter.last_ms),
    }
    lines = [f"{name:8} {value}" for name, value in fields.items()]
    # quoted: what a stranger sent must not reach the terminal as control characters
    return "\n".join([*lines, "", json.dumps(letter.raw.decode("utf-8", errors="replace"))])
