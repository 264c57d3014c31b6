"""What flows over it: each service, the hand-over between them, nodes, dead letters, and whether the books balance."""

import http.client
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from ingest.deadletter import SqliteDeadLetters
from ingest.errors import StoreError
from resik.balance import Line
from resik.chain import NAMES, NOTHING, Chain, Finding, Words
from square.clock import now_ms
from square.errors import SquareError

WAITS_TOO_LONG_S: Final = 60.0
"""A row that waits so long while everybody answers is stuck, wall time."""
ENGINE_LATE_S: Final = 120.0
"""As on the office's page: an engine without a sign of life for so long decides nothing."""
RECENT_MS: Final = 3_600_000
MANY_LETTERS: Final = 20
MANY_OF_ROWS: Final = 0.05
"""So many dead letters in an hour, and so many of all rows, are no accident."""
SHOWN: Final = 5
ANSWER_S: Final = 5.0
_GRAVITY: Final = ("ok", "skipped", "note", "unknown", "broken")


def ingest(chain: Chain) -> Finding:
    """Ask every ingest worker how it is; the one that is worst off stands for all."""
    found = [service(chain, "ingest", worker) for worker in chain.workers]
    worst = max(found, key=lambda finding: _GRAVITY.index(finding.state))
    if len(found) == 1 or worst.state != "ok":
        return worst
    parts = ", ".join(f"{chain.figure(worker, 'stored'):.0f}" for worker in chain.workers)
    return Finding(
        "ingest",
        "ok",
        Words(f"{len(found)} pekerja bekerja.", f"{len(found)} workers work; since their starts they stored {parts}."),
    )


def service(chain: Chain, name: str, part: str | None = None) -> Finding:
    """Ask a service how it is; ``part`` is one of several ingest workers."""
    link, name = name, part or name
    health = chain.health(name)
    title_id, title_en = NAMES[link]
    if name != link:
        title_id, title_en = f"{title_id} {name}", f"{title_en} worker {name}"
    log = chain.log(name)
    if name not in chain.card.health_ports:
        return Finding(
            link,
            "unknown",
            Words("Tidak punya health_port.", "It has no health_port."),
            Words(f"Isi health_port di [{name}].", f"Set health_port in [{name}] of the settings."),
        )
    if health is None:
        words = chain.last_words(name)
        return Finding(
            link,
            "broken",
            Words(f"{title_id.capitalize()} tidak menjawab.", f"The {title_en} does not answer."),
            Words(
                f"Lihat {log}, lalu mulai ulang layanan ini.",
                f"See {log}{f' (last: {words})' if words else ''}, then start it again.",
            ),
        )
    if not health.ok:
        return Finding(
            link,
            "broken",
            Words(
                f"{title_id.capitalize()} tidak bekerja.", health.reason if name == link else f"{name}: {health.reason}"
            ),
            Words(f"Baca sebabnya, lalu lihat {log}.", f"Mend what it says; more in {log}."),
        )
    if health.reason:
        return Finding(link, "note", Words("Bekerja, dengan catatan.", f"Works, and says: {health.reason}"))
    return Finding(link, "ok", Words("Bekerja.", "Works."))


def flow(chain: Chain) -> Finding:
    """See whether what the gateway sends is acknowledged by ingest: rows wait for ever if not."""
    waiting = int(chain.count("gateway", "waiting"))
    speed = chain.open_clock().speed()
    age_s = chain.count("gateway", "oldest_waiting_age_s") / speed if speed > 0 else 0.0
    is_answered = chain.count("gateway", "unanswered_s") < WAITS_TOO_LONG_S
    if waiting and age_s > WAITS_TOO_LONG_S and chain.count("gateway", "draining") and is_answered:
        return Finding(
            "flow",
            "note",
            Words(
                f"{waiting} baris dari gangguan sedang dikirim dengan laju terbatas; yang baru tidak menunggu.",
                f"{waiting} rows of an outage go up at their limited pace; new ones do not wait.",
            ),
            Words(
                "Tunggu saja, atau naikkan backlog_rows_per_s pada gerbang.",
                "Wait, or raise backlog_rows_per_s of the gateway.",
            ),
        )
    if waiting and age_s > WAITS_TOO_LONG_S:
        return Finding(
            "flow",
            "broken",
            Words(
                f"{waiting} baris menunggu di gerbang, yang tertua {age_s:.0f} detik; tidak diterima penyimpan.",
                f"{waiting} rows wait at the gateway, the oldest for {age_s:.0f} s: ingest does not acknowledge them.",
            ),
            Words(
                "Periksa aturan akses broker untuk gerbang dan penyimpan, lalu mulai ulang penyimpan. "
                "Tidak ada yang hilang.",
                "Check that ingest may read resik/<site>/gw/+/batch and write .../ack, and the broker's queue limits; "
                "then restart ingest. Nothing is lost: the rows stay in the spool.",
            ),
        )
    return Finding(
        "flow", "ok", Words(f"{waiting} baris menunggu.", f"{waiting} rows wait, the oldest for {age_s:.0f} s.")
    )


def engine(chain: Chain, beats: Sequence[Mapping[str, Any]]) -> Finding:
    """Ask the alert engine, and look when it last left a sign of life in the relational store."""
    found = service(chain, "alerts")
    if found.state == "broken":
        return found
    age_s = min((time.time() - beat["wall_s"] for beat in beats if beat["service"] == "alerts"), default=None)
    if age_s is None or age_s > ENGINE_LATE_S:
        since_id = "belum pernah" if age_s is None else f"{age_s:.0f} detik lalu"
        since_en = "never" if age_s is None else f"{age_s:.0f} s ago"
        return Finding(
            "alerts",
            "broken",
            Words(f"Penilaian terakhir: {since_id}.", f"It last evaluated {since_en}."),
            Words("Mulai ulang mesin peringatan.", f"Restart it; see {chain.log('alerts')}."),
        )
    if found.state == "note":
        return found
    return Finding("alerts", "ok", Words(f"Menilai {age_s:.0f} detik lalu.", f"Evaluated {age_s:.0f} s ago."))


def dashboard(chain: Chain) -> Finding:
    """Open the map's page as a browser does, and ask for its health."""
    found = service(chain, "dashboard")
    if found.state == "broken":
        return found
    try:
        with urllib.request.urlopen(chain.card.address, timeout=ANSWER_S) as reply:  # noqa: S310 - our own address
            size = len(reply.read())
    except (OSError, http.client.HTTPException, urllib.error.URLError) as error:
        return Finding(
            "dashboard",
            "broken",
            Words("Halaman peta tidak terbuka.", f"The page of the map does not open: {error}."),
            Words("Bangun ulang halaman (`make web`).", "Build the page with `make web`, and start again."),
        )
    return Finding(
        "dashboard",
        found.state,
        Words(f"Terbuka di {chain.card.address}.", f"Opens at {chain.card.address} ({size} bytes)."),
    )


def nodes(chain: Chain) -> Finding:
    """See which nodes are silent."""
    silent, assets = int(chain.count("alerts", "silent")), int(chain.count("alerts", "assets"))
    if not silent:
        return Finding("nodes", "ok", Words("Tidak ada alat yang diam.", "No node is silent."))
    names = _silent_names(chain)
    listed = ", ".join(names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
    return Finding(
        "nodes",
        "broken" if silent == assets else "note",
        Words(f"{silent} dari {assets} alat diam: {listed}.", f"{silent} of {assets} nodes are silent: {listed}."),
        Words(
            "Periksa baterai dan sinyal alat itu; bila semuanya diam, periksa jaringan ke broker.",
            "Look at their batteries and their radio; if all are silent, at the network between them and the broker.",
        ),
    )


def _silent_names(chain: Chain) -> list[str]:
    try:
        with urllib.request.urlopen(f"{chain.card.address}api/v1/state", timeout=ANSWER_S) as reply:  # noqa: S310
            state = msgspec.json.decode(reply.read())
        return sorted({found["asset_id"] for found in state["incidents"] if found["rule"] == "silent"})
    except (OSError, http.client.HTTPException, msgspec.MsgspecError, KeyError, TypeError):
        return []


def dead_letters(chain: Chain) -> Finding:
    """See what was put aside within the last hour of square time."""
    if not chain.dead_letters.exists():
        return Finding("dead-letters", "ok", Words("Belum ada.", "None yet."))
    letters = SqliteDeadLetters(chain.dead_letters, read_only=True)
    try:
        since_ms = now_ms(chain.open_clock()) - RECENT_MS
        recent = [letter for letter in letters.list(limit=500) if letter.last_ms >= since_ms]
    except (StoreError, SquareError) as error:
        return Finding(
            "dead-letters",
            "broken",
            Words("Surat mati tidak terbaca.", str(error)),
            Words("Periksa berkas surat mati.", f"Look at {chain.dead_letters}."),
        )
    finally:
        letters.close()
    if not recent:
        return Finding("dead-letters", "ok", Words("Tidak ada yang baru.", "None within the last hour."))
    codes = ", ".join(f"{code} {count}" for code, count in Counter(letter.code for letter in recent).most_common(3))
    devices = ", ".join(name or "?" for name, _ in Counter(letter.device for letter in recent).most_common(3))
    rows, dead = chain.count("ingest", "rows_taken"), chain.count("ingest", "dead_lettered")
    is_flood = len(recent) >= MANY_LETTERS and rows > 0 and dead / rows > MANY_OF_ROWS
    return Finding(
        "dead-letters",
        "broken" if is_flood else "note",
        Words(
            f"{len(recent)} dalam satu jam terakhir ({codes}) dari {devices}.",
            f"{len(recent)} within the last hour ({codes}) from {devices}.",
        ),
        Words("Lihat `resik deadletters list`.", "See `resik deadletters list`: each says what is wrong with it."),
    )


def no_ledger(chain: Chain) -> Finding:
    """Say why the ledger of the simulated nodes was not looked up in the store, and when it can be."""
    if chain.is_running:
        return Finding(
            "ledger",
            "unknown",
            Words(
                f"Tidak ada bacaan di {chain.ledger}, yang hanya ditulis alat simulasi.",
                f"There is no reading in {chain.ledger}, which only simulated nodes write.",
            ),
            Words(
                "Pada `resik up` tanpa --real tunggu bacaan pertama; selain itu hilangkan --ledger.",
                "Of `resik up` without --real wait for the first reading; otherwise leave --ledger out.",
            ),
        )
    todo = Words(
        "Jalankan `resik doctor --ledger` selagi `resik up` berjalan; setiap awal memulai catatan baru.",
        "Run `resik doctor --ledger` while `resik up` runs; each start begins a new ledger.",
    )
    # the report ends with what to do about the stack, so what to do about the ledger stands here
    what = Words(
        f"{chain.ledger} tidak dibandingkan dengan penyimpan karena tidak ada layanan yang berjalan. {todo.id}",
        f"{chain.ledger} was not compared with the store, as no stack runs that knows what is on its way. {todo.en}",
    )
    return Finding("ledger", "unknown", what, todo)


def books(lines: Sequence[Line]) -> Finding:
    """Judge the balance."""
    off = [line for line in lines if line.difference]
    if not lines:
        return Finding("balance", "unknown", Words("Tidak ada angka.", "There are no figures."), NOTHING)
    if not off:
        return Finding("balance", "ok", Words("Tidak ada bacaan yang hilang.", "No reading is unaccounted for."))
    names_id = ", ".join(f"{line.name.id} {line.difference:+d}" for line in off)
    names_en = ", ".join(f"{line.name.en} {line.difference:+d}" for line in off)
    return Finding(
        "balance",
        "broken",
        Words(f"Selisih: {names_id}.", f"Difference: {names_en}."),
        Words(
            "Simpan folder data dan catatan (log) ini, lalu laporkan.",
            "Keep the data folder and its logs and report it: no known fault leads here.",
        ),
    )
