"""What everything rests on: disk, clock, broker and the two stores, each asked by itself."""

import contextlib
import http.client
import secrets
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from alerts.desk import open_desk
from alerts.errors import AlertsError
from firmware import wire
from gateway.disk import disk_bytes
from ingest.errors import StoreError
from ingest.store import Point, TimeSeriesStore
from ingest.stores import open_store
from resik.chain import Chain, Finding, Words
from square.endpoint import MqttEndpoint, wait_for_broker
from square.errors import BrokerRefused, BrokerUnavailable, SquareError
from square.mqtt import MqttConnection
from square.settings import read_secret

DISK_WARN_PCT: Final = 15.0
DISK_STOP_PCT: Final = 5.0
"""As the gateway's own marks, unless told otherwise."""
CLOCK_NOTE_S: Final = 5.0
CLOCK_BROKEN_S: Final = 120.0
"""From here on ingest refuses readings as coming from the future."""
EARLIEST_S: Final = 1_790_000_000
"""September 2026: a machine that thinks it is earlier has lost its time."""
CERTIFICATE_NOTE_D: Final = 21
ANSWER_S: Final = 5.0
MONITOR: Final = "monitor"
"""Our user at the broker. A name of our own: a service's name would throw that service off."""
PROBE_MEASUREMENT: Final = "doctor"
DAY_MS: Final = 86_400_000

_DAY_S: Final = 86_400


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


# -- broker -----------------------------------------------------------------------------------------------------------


def broker(chain: Chain) -> Finding:
    """See whether anybody accepts connections where the broker should be."""
    try:
        wait_for_broker(_endpoint(chain), 0)
    except (BrokerUnavailable, SquareError) as error:
        words = chain.last_words("broker")
        return Finding(
            "broker",
            "broken",
            Words(f"Broker di {chain.card.broker_url} tidak menjawab.", str(error)),
            Words(
                f"Hidupkan broker; lihat {chain.log('broker')}.",
                f"Start the broker, or correct broker_url; see {chain.log('broker')}"
                + (f": {words}." if words else "."),
            ),
        )
    return Finding(
        "broker", "ok", Words(f"Menjawab di {chain.card.broker_url}.", f"Answers at {chain.card.broker_url}.")
    )


def certificates(chain: Chain) -> Finding | None:
    """Look at the dates of the certificates of broker and store; None where nothing speaks TLS."""
    found: list[tuple[str, float]] = []
    endpoint = _endpoint(chain)
    places = [("broker", endpoint.host, endpoint.port, endpoint.ca_file)] if endpoint.tls else []
    base = http_base(chain.card.store_url)
    if base is not None and base.startswith("https"):
        parts = urlsplit(base)
        places.append(("time-series store", parts.hostname or "", parts.port or 443, None))
    if not places:
        return None
    for name, host, port, ca_file in places:
        try:
            found += [(f"{name} {what}", until_s) for what, until_s in expiries(host, port, ca_file)]
        except (OSError, ValueError) as error:
            return Finding(
                "certificates",
                "broken",
                Words(f"Sertifikat {name} tidak diterima.", f"The certificate of the {name} is not accepted: {error}."),
                Words("Perbarui sertifikat, atau periksa broker_ca_file.", "Renew it, or correct broker_ca_file."),
            )
    name, until_s = min(found, key=lambda item: item[1])
    left_d = int((until_s - time.time()) // _DAY_S)
    what = Words(f"{name}: berlaku {left_d} hari lagi.", f"{name}: valid for {left_d} more days.")
    if left_d >= CERTIFICATE_NOTE_D:
        return Finding("certificates", "ok", what)
    todo = Words("Perbarui sertifikat sebelum habis.", "Renew it before it ends: every node will be shut out then.")
    return Finding("certificates", "broken" if until_s <= time.time() else "note", what, todo)


def expiries(host: str, port: int, ca_file: Path | None) -> Iterator[tuple[str, float]]:
    """Yield until when [s since 1970] the certificate of a server, and the root named for it, are valid.

    Raises
    ------
    OSError
        If nobody answers, or with a certificate that is not accepted.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file is not None else None)
    if ca_file is not None:
        for root in context.get_ca_certs():
            yield "root", float(ssl.cert_time_to_seconds(str(root["notAfter"])))
    with (
        socket.create_connection((host, port), timeout=ANSWER_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        certificate = secured.getpeercert() or {}
    yield "certificate", float(ssl.cert_time_to_seconds(str(certificate["notAfter"])))


def login_and_probe(chain: Chain) -> Iterator[Finding]:
    """Log in at the broker under a name of our own, and send a message to ourselves through it."""
    password_file = None if chain.secrets is None else chain.secrets / MONITOR
    if password_file is not None and not password_file.exists():
        yield Finding(
            "credentials",
            "unknown",
            Words("Tidak ada kata sandi pengguna `monitor`.", f"There is no password of a user `{MONITOR}`."),
            Words(
                f"Buat pengguna {MONITOR} di broker.", f"Make the user {MONITOR}, its password into {password_file}."
            ),
        )
        return
    topic = wire.topic_probe(chain.site.id, MONITOR)
    endpoint = _endpoint(chain, read_secret(password_file))
    connection = MqttConnection(endpoint, MONITOR, clean=True)
    connection.subscribe(topic, 0)  # nothing of $SYS: the embedded broker dies of such a filter
    try:
        connection.start()
        connection.wait_connected(ANSWER_S)
        yield Finding("credentials", "ok", Words("Kata sandi diterima.", "Accepted."))
        is_back = _comes_back(connection, topic)
    except BrokerRefused as error:
        yield Finding(
            "credentials",
            "broken",
            Words("Broker menolak kata sandi kami.", str(error)),
            Words(
                f"Samakan kata sandi di broker dengan {chain.secrets}.",
                f"Give the broker the users and passwords of {chain.secrets}, then restart it.",
            ),
        )
    except BrokerUnavailable as error:
        yield Finding(
            "credentials",
            "broken",
            Words("Broker tidak melayani sambungan.", str(error)),
            Words("Mulai ulang broker.", f"Restart the broker; see {chain.log('broker')}."),
        )
    else:
        yield _probe(chain, topic, is_back=is_back)
    finally:
        connection.stop()


def _comes_back(connection: MqttConnection, topic: str) -> bool:
    nonce = secrets.token_hex(8).encode()
    deadline_s = time.monotonic() + ANSWER_S
    while time.monotonic() < deadline_s:
        with contextlib.suppress(BrokerUnavailable):  # cut off meanwhile: until the deadline it may be back
            connection.publish(topic, nonce, 0)  # again and again: our subscription may be answered late
        heard = connection.get(0.25)
        if heard is not None and heard.payload == nonce:
            return True
    return False


def _probe(chain: Chain, topic: str, *, is_back: bool) -> Finding:
    if is_back:
        return Finding("probe", "ok", Words("Kembali.", "Came back."))
    may_be_rights = bool(chain.count("gateway", "edge_connected") and chain.count("gateway", "uplink_connected"))
    return Finding(
        "probe",
        "note" if may_be_rights else "broken",  # messages of the gateway to itself come back
        Words("Pesan uji tidak kembali dari broker.", f"No message came back from the broker within {ANSWER_S:.0f} s."),
        Words(
            "Mulai ulang broker; periksa aturan aksesnya.",
            f"Let the user {MONITOR} read and write {topic} in the broker's access list; if it may, restart it.",
        ),
    )


def _endpoint(chain: Chain, password: str | None = None) -> MqttEndpoint:
    ca_file = Path(chain.card.broker_ca_file) if chain.card.broker_ca_file is not None else None
    return MqttEndpoint.from_url(
        chain.card.broker_url, username=MONITOR if password is not None else None, password=password, ca_file=ca_file
    )


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
    ingest = chain.health("ingest")
    if ingest is not None and not ingest.counts.get("store_ok", 1):
        return Finding("time-series", "broken", Words("Bacaan tidak dapat disimpan.", ingest.reason), todo)
    if ingest is not None and not ingest.counts.get("rollup_ok", 1):
        return Finding(
            "time-series",
            "note",
            Words("Rata-rata per jam tertunda.", "The hourly and daily series wait; readings are stored."),
            Words(f"Lihat {chain.log('ingest')}.", f"See {chain.log('ingest')}: it goes on by itself."),
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
