"""What is wrong with a gateway, what it means, and what to do, in a sentence each: from the figures of its health."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

import msgspec

from gateway.presence import NodeState
from square.health import Health

Level = Literal["broken", "note"]

UNANSWERED_S = 60.0
"""Ingest that says nothing to batches for so long is called silent [s]."""
MANY_WAITING = 1_000
"""A queue below this may grow a little without being told."""
RECENT_S = 86_400.0
"""A session that was lost within so long is told [s]."""
SHOWN = 5
"""How many nodes are named."""


class NodeLine(NodeState, frozen=True):
    """A node as `/nodes` tells of it.

    Attributes
    ----------
    missing, asked
        Readings that did not come although later ones did; how many of them the node was asked for.
    """

    missing: int = 0
    asked: int = 0


class NodePage(msgspec.Struct, frozen=True):
    """What `/nodes` of a gateway answers; `now_ms` is its square time."""

    now_ms: int
    nodes: list[NodeLine]


class Trouble(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes
    ----------
    code
        A word for programs.
    level
        broken: something does not do its work; note: somebody should know.
    id, en
        What is wrong and what to do, in Indonesian and in English.
    """

    code: str
    level: Level
    id: str
    en: str


def number_id(value: float) -> str:
    """Write a number as Indonesians do."""
    return number_en(value).replace(",", ".")


def number_en(value: float) -> str:
    """Write a number with thousands."""
    return f"{value:,.0f}"


def age_id(age_s: float) -> str:
    """Write an age in Indonesian.

    >>> age_id(90), age_id(7200), age_id(300_000)
    ('90 detik', '2 jam', '3 hari')
    """
    return _age(age_s, "detik", "menit", "jam", "hari")


def age_en(age_s: float) -> str:
    """Write an age in English."""
    return _age(age_s, "s", "min", "h", "days")


def _age(age_s: float, second: str, minute: str, hour: str, day: str) -> str:
    for length_s, unit in ((86_400, day), (3600, hour), (60, minute)):
        if age_s >= 2 * length_s:
            return f"{age_s / length_s:.0f} {unit}"
    return f"{age_s:.0f} {second}"


def troubles(health: Health, nodes: Sequence[NodeLine] = ()) -> list[Trouble]:
    """Return what is wrong, the worst first.

    Parameters
    ----------
    health
        What `/healthz` of the gateway answered.
    nodes
        What `/nodes` answered.
    """
    get = health.counts
    found = [*_intake(health), *_uplink(get), *_devices(get), *_missing(get), *_nodes(nodes), *_files(get)]
    if not health.ok and not any(trouble.level == "broken" for trouble in found):
        found.insert(0, Trouble(
            "not-well", "broken",
            f"Gerbang melaporkan: {health.reason} Lihat catatannya (log).",
            f"The gateway says: {health.reason} See its log.",
        ))  # fmt: skip
    return sorted(found, key=lambda trouble: trouble.level != "broken")


def exit_code(found: Sequence[Trouble]) -> int:
    """Return 1 when something does not do its work, else 0."""
    return int(any(trouble.level == "broken" for trouble in found))


def _intake(health: Health) -> Iterator[Trouble]:
    get = health.counts.get
    free = f"{get('disk_free_pct', 0.0):.0f} %"
    if get("disk_level", 0) >= 2:  # noqa: PLR2004 - stop
        yield Trouble(
            "disk-full", "broken",
            f"Disk hampir penuh ({free} bebas): gerbang tidak menerima bacaan; semuanya tetap aman di alat. Kosongkan "
            "disk, jangan hapus spool; gerbang lanjut sendiri dalam 10 detik.",
            f"The disk is almost full ({free} free): nothing is taken in, and readings stay safe on the nodes. Free "
            "space, never delete the spool; the gateway goes on by itself within 10 s.",
        )  # fmt: skip
    if get("clock_behind", 0):
        yield Trouble(
            "clock-behind", "broken",
            "Jam gerbang tertinggal lebih dari 2 menit dari kebanyakan alat, jadi tidak ada yang disimpan dengan waktu "
            "salah; bacaan tetap di alat. Setel jam komputer ini (NTP); gerbang lanjut sendiri.",
            "The gateway's clock is more than 2 minutes behind that of most nodes, so nothing is stored under a wrong "
            "time; readings stay on the nodes. Set the clock of this computer (NTP); the gateway goes on by itself.",
        )  # fmt: skip
    if get("intake_stopped", 0) and not get("clock_behind", 0) and get("disk_level", 0) < 2:  # noqa: PLR2004 - stop
        yield Trouble(
            "spool-refuses", "broken",
            "Penyimpanan setempat tidak mau menulis; bacaan tetap di alat. Periksa disk dan hak akses: "
            f"{health.reason}",
            f"The local queue takes no writes; readings stay on the nodes. Check disk and permissions: {health.reason}",
        )  # fmt: skip
    if not get("edge_connected", 0):
        yield Trouble(
            "device-broker", "broken",
            "Broker perangkat tidak menjawab: tidak ada alat yang terdengar; bacaan menunggu di alat. Jalankan broker, "
            "lalu periksa broker_url dan kata sandinya.",
            "The device broker does not answer: no node is heard, and readings wait on the nodes. Start the broker, "
            "then check broker_url and its password.",
        )  # fmt: skip
    if get("disk_level", 0) == 1:
        yield Trouble(
            "disk-low", "note",
            f"Disk tinggal {free}. Kosongkan sebelum penuh: di bawah batas berhenti (disk_stop_pct) gerbang tidak "
            "menerima bacaan.",
            f"Only {free} of the disk is free. Make room in time: below the stop mark (disk_stop_pct) nothing is taken "
            "in.",
        )  # fmt: skip


def _uplink(counts: Mapping[str, float]) -> Iterator[Trouble]:
    get = counts.get
    waiting, change = get("waiting", 0), get("waiting_change", 0)
    unanswered_s = float(get("unanswered_s", 0.0))
    if not get("uplink_connected", 0):
        yield Trouble(
            "city-broker", "broken",
            f"Broker kota tidak menjawab: {number_id(waiting)} baris menunggu di sini, tanpa batas umur, tidak ada "
            "yang "
            "hilang. Periksa jaringan ke pusat, lalu uplink_url dan kata sandinya.",
            f"The city broker does not answer: {number_en(waiting)} rows wait here, however long, and nothing is lost. "
            "Check the network to the centre, then uplink_url and its password.",
        )  # fmt: skip
    elif unanswered_s > UNANSWERED_S:
        yield Trouble(
            "ingest-silent", "broken",
            f"Penyimpan (ingest) tidak menjawab selama {age_id(unanswered_s)}: {number_id(waiting)} baris menunggu, "
            "tidak "
            "ada yang hilang. Jalankan ingest, periksa basis datanya; `resik doctor` menunjukkan mana yang putus.",
            f"Ingest has not answered for {age_en(unanswered_s)}: {number_en(waiting)} rows wait, and nothing is lost. "
            "Start ingest and look at its store; `resik doctor` names the broken link.",
        )  # fmt: skip
    elif waiting >= MANY_WAITING and change > 0:
        yield Trouble(
            "queue-grows", "note",
            f"Antrean {number_id(waiting)} baris dan bertambah {number_id(change)} per menit: yang masuk lebih banyak "
            "daripada yang disimpan pusat. Periksa beban ingest dan basis datanya, atau lebar jaringan ke pusat.",
            f"{number_en(waiting)} rows wait, {number_en(change)} more each minute: more comes in than the centre "
            "stores. Look at the load of ingest and its store, or at the width of the uplink.",
        )  # fmt: skip


def _devices(counts: Mapping[str, float]) -> Iterator[Trouble]:
    get = counts.get
    lost_s = get("session_lost_age_s", -1.0)
    if 0 <= lost_s <= RECENT_S:
        yield Trouble(
            "session-lost", "note",
            f"Broker perangkat melupakan sambungan kami {age_id(lost_s)} lalu: pesan yang sudah diterimanya bisa "
            "hilang. "
            "Alat mengirim ulang sendiri dan yang bolong diminta lagi; periksa persistence broker.",
            f"The device broker forgot our session {age_en(lost_s)} ago: messages that it had taken may be lost. Nodes "
            "send again by themselves and gaps are asked for; check the broker's persistence.",
        )  # fmt: skip
    ahead = get("devices_ahead", 0)
    if ahead and not get("clock_behind", 0):
        yield Trouble(
            "clock-doubt", "note",
            f"Jam {number_id(ahead)} alat lebih maju 2 menit dari gerbang: pusat menolak bacaannya. Periksa jam "
            "gerbang "
            "ini dan NTP alat-alat itu.",
            f"{_many(ahead, 'node')} more than 2 minutes ahead of the gateway's clock: the centre refuses such "
            "readings. Check this clock, and the NTP of the nodes.",
        )  # fmt: skip
    if let_go := get("poison_let_go", 0):
        yield Trouble(
            "poison", "note",
            f"{number_id(let_go)} pesan rusak sudah dibuang karena terlalu banyak. `resik deadletters list` "
            "menunjukkan "
            "alat mana.",
            f"{_many(let_go, 'unreadable message')} let go, as there are too many. `resik deadletters list` "
            "says "
            "of which node.",
        )  # fmt: skip


def _missing(counts: Mapping[str, float]) -> Iterator[Trouble]:
    get = counts.get
    late, asked, turn = get("missing_late", 0), get("resend_open", 0), get("resend_waiting", 0)
    if late:
        turn_id = f", {number_id(turn)} menunggu giliran" if turn else ""
        turn_en = f", {number_en(turn)} waiting for a turn" if turn else ""
        yield Trouble(
            "gaps", "note",
            f"{number_id(late)} bacaan belum sampai padahal yang lebih baru sudah; {number_id(asked)} celah sudah "
            "diminta "
            f"dari alatnya{turn_id}. Tunggu saja; bila bertahan lebih dari sehari, periksa alat itu.",
            f"{_many(late, 'reading')} missing although later ones came; {_many(asked, 'gap')} asked for"
            f"{turn_en}. Nothing to do, unless it lasts for more than a day: then look at that node.",
        )  # fmt: skip
    if vain := get("resend_unanswered", 0):
        yield Trouble(
            "gaps-unanswered", "note",
            f"{number_id(vain)} bacaan sudah diminta dan tidak pernah datang. Lihat `resik node show ALAT`.",
            f"{_many(vain, 'reading')} asked for in vain. See `resik node show DEVICE`.",
        )  # fmt: skip
    if lost := get("missing_lost", 0):
        yield Trouble(
            "lost", "note",
            f"{number_id(lost)} bacaan tidak bisa kembali: memori alat penuh sebelum sempat mengirim. Periksa sinyal "
            "radio "
            "alat itu.",
            f"{_many(lost, 'reading')} gone: the memory of the node was full before it could send. Look at its "
            "radio link.",
        )  # fmt: skip


def _nodes(nodes: Sequence[NodeLine]) -> Iterator[Trouble]:
    silent = [node.device for node in nodes if node.state == "silent"]
    never = [node.device for node in nodes if node.state == "never"]
    if silent:
        is_all = len(silent) == len(nodes) - len(never)
        yield Trouble(
            "nodes-silent", "broken" if is_all else "note",
            f"{len(silent)} alat diam: {_names(silent)}. Periksa baterai dan sinyalnya"
            + ("; karena semua diam, periksa dulu jaringan ke broker." if is_all else "."),
            f"{_many(len(silent), 'node')} silent: {_names(silent)}. Look at battery and radio"
            + ("; as all are silent, first at the network to the broker." if is_all else "."),
        )  # fmt: skip
    if never:
        yield Trouble(
            "nodes-never", "note",
            f"{len(never)} alat terdaftar belum pernah terdengar: {_names(never)}. Pasang dan nyalakan, atau beri "
            "status spare di devices.toml.",
            f"{_many(len(never), 'registered node')} never heard: {_names(never)}. Install and start them, or "
            "give them the status spare in devices.toml.",
        )  # fmt: skip


def _many(count: float, what: str) -> str:
    return f"{number_en(count)} {what}{'' if count == 1 else 's'}"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" +{len(names) - SHOWN}" if len(names) > SHOWN else "")


def _files(counts: Mapping[str, float]) -> Iterator[Trouble]:
    get = counts.get
    if get("spool_replaced", 0):
        yield Trouble(
            "spool-replaced", "note",
            "Berkas antrean pernah rusak dan diganti; yang lama tersimpan di sampingnya (.damaged-N). Selamatkan "
            "isinya "
            "(sqlite3 BERKAS .recover), lalu pindahkan.",
            "The queue file was damaged and replaced; the old one lies beside it (.damaged-N). Salvage it "
            "(sqlite3 FILE .recover), then move it away.",
        )  # fmt: skip
    if not get("orders_ok", 1):
        yield Trouble(
            "orders", "note",
            "Perintah untuk alat tidak bisa diberikan (berkas orders); bacaan tetap berjalan. Kosongkan disk, atau "
            "pindahkan berkas yang rusak.",
            "Orders for nodes cannot be given (the file of orders); readings flow on. Free the disk, or move the "
            "damaged "
            "file away.",
        )  # fmt: skip
    if get("rollouts_halted", 0):
        yield Trouble(
            "rollout-halted", "note",
            "Pembaruan alat DIHENTIKAN karena gagal; tidak ada alat lain yang menerimanya. Lihat `resik ota status`.",
            "A roll-out is HALTED after failures; no further node gets it. See `resik ota status`.",
        )  # fmt: skip
