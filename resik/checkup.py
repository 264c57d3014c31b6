"""What everything rests on: disk, processes, clock and the two stores, each asked by itself."""

import http.client
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from alerts.desk import open_desk
from alerts.errors import AlertsError
from gateway.disk import disk_bytes
from ingest.errors import StoreError
from ingest.store import Point, TimeSeriesStore
from ingest.stores import open_store
from resik.chain import Chain, Finding, Words
from square.errors import SquareError

DISK_WARN_PCT: Final = 15.0
DISK_STOP_PCT: Final = 5.0
"""As the gateway's own marks, unless told otherwise."""
CLOCK_NOTE_S: Final = 5.0
CLOCK_BROKEN_S: Final = 120.0
"""From here on ingest refuses readings as coming from the future."""
EARLIEST_S: Final = 1_790_000_000
"""September 2026: a machine that thinks it is earlier has lost its time."""
ANSWER_S: Final = 5.0
PROBE_MEASUREMENT: Final = "doctor"
DAY_MS: Final = 86_400_000


def disk(chain: Chain) -> Finding:
    """Look at the room on the disk of the data folder."""
    total, free = disk_bytes(chain.data)
    free_pct = 100.0 * free / total if total else 100.0
    what = Words(f"{free_pct:.0f} % disk bebas.", f"{free_pct:.0f} % of the disk is free.")
    if free_pct >= DISK_WARN_PCT:
        return Finding("disk", "ok", what)
    todo = Words(
        f"Kosongkan disk yang memuat {chain.data}; bacaan yang menunggu jangan dihapus.",
        f"Make room on the disk of {chain.data}; never delete the spool, readings wait in it.",
    )
    return Finding("disk", "broken" if free_pct < DISK_STOP_PCT else "note", what, todo)


def stack(chain: Chain) -> Finding:
    """See whether a stack runs in the data folder."""
    if chain.is_running:
        return Finding("stack", "ok", Words("Layanan sedang berjalan.", "A stack is running here."))
    if not chain.is_stack:
        return Finding(
            "stack",
            "broken",
            Words("Tidak ada layanan yang menjawab.", "No service answers on its health_port."),
            Words(
                "Jalankan layanan-layanannya.", "Start gateway, ingest, alerts and dashboard; each needs a health_port."
            ),
        )
    words = chain.last_words("gateway")
    return Finding(
        "stack",
        "broken",
        Words("Tidak ada layanan yang berjalan di folder ini.", "No stack is running in this folder."),
        Words(
            f"Jalankan `resik up` (atau `make run`) dengan --data {chain.data}.",
            f"Start it with `resik up` (or `make run`) and --data {chain.data}."
            + (f" The gateway's last words were {words}." if words else ""),
        ),
    )


# -- clock ------------------------------------------------------------------------------------------------------------


def clock(chain: Chain) -> Finding:
    """Hold this machine's clock against those of the servers that answer over HTTP."""
    todo = Words(
        "Setel jam mesin ini (NTP), lalu periksa lagi.",
        "Set the clock of this machine (timedatectl set-ntp true), or of the other one.",
    )
    try:
        chain.open_clock()
    except SquareError as error:
        return Finding("clock", "broken", Words("Jam alun-alun tidak terbaca.", str(error)), todo)
    if time.time() < EARLIEST_S:
        today = datetime.fromtimestamp(time.time(), UTC).date()
        return Finding(
            "clock",
            "broken",
            Words(f"Mesin ini mengira hari ini {today}.", f"This machine believes it is {today}."),
            todo,
        )
    offsets = {name: offset for name, url in _servers(chain) if (offset := offset_s(url)) is not None}
    if not offsets:
        return Finding("clock", "ok", Words("Jam masuk akal.", "Plausible; no other machine to compare with."))
    name, worst_s = max(offsets.items(), key=lambda item: abs(item[1]))
    what = Words(
        f"Jam mesin ini berbeda {worst_s:+.0f} detik dari {name}.",
        f"This machine's clock is {worst_s:+.0f} s from that of the {name}.",
    )
    if abs(worst_s) <= CLOCK_NOTE_S:
        return Finding("clock", "ok", what)
    return Finding("clock", "broken" if abs(worst_s) > CLOCK_BROKEN_S else "note", what, todo)


def _servers(chain: Chain) -> Iterator[tuple[str, str]]:
    base = http_base(chain.card.store_url)
    if base is not None:
        yield "time-series store", f"{base}/ping"
    if chain.is_running:
        yield "dashboard", f"{chain.card.address}healthz"


def http_base(store_url: str) -> str | None:
    """Return protocol, host and port of a store that speaks HTTP, None for a file.

    Examples
    --------
    >>> http_base("influx2+https://influx.example/dlhkp/resik"), http_base("sqlite:///x")
    ('https://influx.example:8086', None)
    """
    parts = urlsplit(store_url)
    if not parts.scheme.startswith("influx") or not parts.hostname:
        return None
    protocol = "https" if parts.scheme.endswith("+https") else "http"
    port = parts.port or (8181 if parts.scheme.startswith("influx3") else 8086)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{protocol}://{host}:{port}"


def offset_s(url: str) -> float | None:
    """Return by how much our clock is ahead of the ``Date`` of a server [s], None when it does not say."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=ANSWER_S)
    try:
        before_s = time.time()
        connection.request("GET", parts.path)
        date = connection.getresponse().headers.get("Date")
        ours_s = (before_s + time.time()) / 2
        if date is None:
            return None
        # the header has whole seconds, cut off
        return ours_s - (parsedate_to_datetime(date).timestamp() + 0.5)
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


# -- stores -----------------------------------------------------------------------------------------------------------


def time_series(chain: Chain) -> Finding:
    """Write a point of our own and read it back; of a file, which has one writer, ask that writer and read."""
    is_server = http_base(chain.card.store_url) is not None
    todo = Words(
        "Periksa InfluxDB dan kata sandinya." if is_server else f"Periksa berkas {chain.card.store_url}.",
        "Start InfluxDB, or correct store_url and store_token_file."
        if is_server
        else f"Look at {chain.card.store_url} and {chain.log('ingest')}.",
    )
    try:
        store = open_store(chain.card.store_url, secret=chain.store_secret(), read_only=not is_server)
        try:
            if is_server:
                written = _write_and_read(store, chain.site.id)
            else:
                store.prepare()
                store.series("bin", site=chain.site.id, asset="doctor", fields=["fill_pct"], start_ms=0, end_ms=1)
                written = True
        finally:
            store.close()
    except (StoreError, SquareError) as error:
        return Finding("time-series", "broken", Words("Penyimpan deret waktu tidak melayani.", str(error)), todo)
    if not written:
        return Finding(
            "time-series",
            "broken",
            Words("Titik uji tidak terbaca kembali.", "A point that was written cannot be read back."),
            todo,
        )
    healths = {name: health for name in chain.workers if (health := chain.health(name)) is not None}
    for health in healths.values():
        if not health.counts.get("store_ok", 1):
            return Finding("time-series", "broken", Words("Bacaan tidak dapat disimpan.", health.reason), todo)
    for name, health in healths.items():
        if not health.counts.get("rollup_ok", 1):
            return Finding(
                "time-series",
                "note",
                Words("Rata-rata per jam tertunda.", "The hourly and daily series wait; readings are stored."),
                Words(f"Lihat {chain.log(name)}.", f"See {chain.log(name)}: it goes on by itself."),
            )
    if is_server:
        return Finding("time-series", "ok", Words("Tulis dan baca berhasil.", "A point was written and read back."))
    return Finding(
        "time-series", "ok", Words("Terbaca; penulisnya tidak mengeluh.", "Can be read; its writer is well.")
    )


def _write_and_read(store: TimeSeriesStore, site: str) -> bool:
    nonce = float(secrets.randbits(48))
    at_ms = int(time.time() * 1000) // DAY_MS * DAY_MS  # one point a day, overwritten by each look
    tags = {"site": site, "asset": "doctor", "device": "doctor", "zone": "doctor"}
    store.write([Point(PROBE_MEASUREMENT, tags, at_ms, {"nonce": nonce})])
    read = store.series(
        PROBE_MEASUREMENT, site=site, asset="doctor", fields=["nonce"], start_ms=at_ms, end_ms=at_ms + 1
    )
    return read.columns.get("nonce") == [nonce]


def relational(chain: Chain) -> tuple[Finding, list[dict[str, object]]]:
    """Read the relational store; also return the signs of life in it."""
    url = chain.card.database_url
    todo = Words(
        "Periksa basis data (PostgreSQL) atau berkasnya.",
        "Start PostgreSQL, or correct database_url; of a file, look at its folder and its rights.",
    )
    file = Path(url.removeprefix("sqlite:///")) if url.startswith("sqlite:///") else None
    if file is not None and not file.exists():
        return Finding("relational", "broken", Words("Berkas basis data hilang.", f"{file} is not there."), todo), []
    try:
        desk = open_desk(url, chain.site)
        try:
            beats = desk.heartbeats()
        finally:
            desk.close()
    except (AlertsError, SquareError) as error:
        return Finding("relational", "broken", Words("Basis data tidak melayani.", str(error)), todo), []
    return Finding("relational", "ok", Words("Terbaca.", "Can be read.")), beats
