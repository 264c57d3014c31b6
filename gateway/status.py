"""What the gateway's health means, in plain words for the person who asks."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from gateway.troubles import (
    NodeLine,
    NodePage,
    Trouble,
    age_en,
    age_id,
    exit_code,
    number_en,
    number_id,
    troubles,
)
from square.health import Health

TABLE_LIMIT = 20
"""So many nodes are listed unless all are asked for."""

Pair = tuple[str, str]
"""The same in Indonesian and in English."""

_CONNECTED = {True: ("tersambung", "connected"), False: ("TERPUTUS", "NOT CONNECTED")}
_HEADINGS = (
    "alat / node",
    "keadaan / state",
    "terdengar / heard",
    "berikut / next",
    "putus / will",
    "kurang / missing",
    "diminta / asked",
)
_STATES = {"online": "hadir / online", "late": "telat / late", "silent": "DIAM / SILENT", "never": "belum / never"}


def status_text(health: Health, page: NodePage | None = None, *, everyone: bool = False) -> str:
    """Explain a gateway's health, Indonesian first, English below, then the nodes that want a look.

    Parameters
    ----------
    health
        What `/healthz` of the gateway answered.
    page
        What `/nodes` answered; None when it did not.
    everyone
        List every node, not only those that want a look.

    Returns
    -------
    str
        Paragraphs of short lines.
    """
    nodes = page.nodes if page is not None else []
    found = troubles(health, nodes)
    lines = [_verdict(found), *_facts(health.counts, nodes)]
    lines += [(f"{_mark(trouble)} {trouble.id}", f"{_mark(trouble)} {trouble.en}") for trouble in found]
    english = [line for _, line in lines]
    if health.reason:
        english.append(f"In the gateway's own words: {health.reason}")
    parts = ["\n".join(line for line, _ in lines), "\n".join(english)]
    if page is not None and (table := _table(page, everyone=everyone)):
        parts.append(table)
    return "\n\n".join(parts)


def status_object(health: Health, page: NodePage | None = None) -> dict[str, Any]:
    """Return the same for programs: health, troubles, nodes, and `exit_code`."""
    found = troubles(health, page.nodes if page is not None else ())
    return {
        "ok": not exit_code(found),
        "exit_code": exit_code(found),
        "troubles": msgspec.to_builtins(found),
        "counts": health.counts,
        "reason": health.reason,
        **msgspec.to_builtins(page or NodePage(0, [])),
    }


def _verdict(found: Sequence[Trouble]) -> Pair:
    count = len(found)
    things_id = f", {count} hal perlu diketahui" if count else ""
    things = "" if not count else ", 1 thing to know" if count == 1 else f", {count} things to know"
    return (
        f"Gerbang data: {'TIDAK BEKERJA SEMESTINYA' if exit_code(found) else 'bekerja'}{things_id}.",
        f"Gateway: {'NOT WORKING AS IT SHOULD' if exit_code(found) else 'working'}{things}.",
    )


def _facts(counts: Mapping[str, float], nodes: Sequence[NodeLine]) -> Iterator[Pair]:
    def count(*names: str) -> Pair:
        total = sum(counts.get(name, 0) for name in names)
        return number_id(total), number_en(total)

    (received_id, received), (repeats_id, repeats) = count("received"), count("duplicates")
    yield (
        f"Diterima {received_id} bacaan sejak mulai; {repeats_id} kiriman ulang yang sudah ada tidak dihitung lagi.",
        f"{received} readings received since start; {repeats} repeats that were here already are not counted again.",
    )
    (waiting_id, waiting), oldest_s = count("waiting"), float(counts.get("oldest_waiting_age_s", 0.0))
    is_waiting = bool(counts.get("waiting", 0))
    trend_id, trend = _trend(counts)
    yield (
        f"Menunggu dikirim ke pusat: {waiting_id}{f' (tertua {age_id(oldest_s)})' if is_waiting else ''}.{trend_id}",
        f"Waiting to go to the centre: {waiting}{f' (oldest {age_en(oldest_s)})' if is_waiting else ''}.{trend}",
    )
    (stored_id, stored), (dead_id, dead) = count("settled_stored"), count("settled_dead")
    yield (
        f"Sudah aman di pusat: {stored_id}; ditolak pusat dan disimpan sebagai bukti: {dead_id}.",
        f"Safe at the centre: {stored}; refused there and kept as evidence: {dead}.",
    )
    missing_id, missing = count("missing_lost", "missing_late")
    if missing == "0":
        yield "Tidak ada bacaan yang hilang.", "No reading is missing."
    else:
        yield f"Hilang atau belum sampai: {missing_id} bacaan.", f"Missing or not yet here: {missing} readings."
    free = f"{counts.get('disk_free_pct', 0.0):.0f} %"
    yield f"Ruang disk bebas: {free}.", f"Free disk: {free}."
    edge, uplink = counts.get("edge_connected", 0), counts.get("uplink_connected", 0)
    yield (
        f"Broker perangkat: {_CONNECTED[bool(edge)][0]}. Broker kota: {_CONNECTED[bool(uplink)][0]}.",
        f"Device broker: {_CONNECTED[bool(edge)][1]}. City broker: {_CONNECTED[bool(uplink)][1]}.",
    )
    if nodes:
        n = Counter(node.state for node in nodes)
        yield (
            f"Alat: {n['online']} hadir, {n['late']} telat, {n['silent']} diam, {n['never']} belum pernah terdengar.",
            f"Nodes: {n['online']} online, {n['late']} late, {n['silent']} silent, {n['never']} never heard.",
        )


def _mark(trouble: Trouble) -> str:
    return "[!]" if trouble.level == "broken" else "[-]"


def _trend(counts: Mapping[str, float]) -> Pair:
    """Say that an outage is being worked off, and for how long still."""
    waiting, change = counts.get("waiting", 0), counts.get("waiting_change", 0)
    if not counts.get("draining", 0) or change >= 0:
        return "", ""
    left_s = 60 * waiting / -change
    return (
        f" Sisa gangguan sedang dikirim, selesai sekitar {age_id(left_s)} lagi; bacaan baru tidak menunggu.",
        f" An outage is being worked off, for about {age_en(left_s)} more; new readings do not wait.",
    )


def _table(page: NodePage, *, everyone: bool) -> str:
    wanted = [node for node in page.nodes if everyone or node.state in {"late", "silent"} or node.missing]
    if not wanted:
        return ""
    order = list(_STATES)
    shown = sorted(wanted, key=lambda node: (-order.index(node.state) if node.state != "never" else 1, node.device))
    shown = shown if everyone else shown[:TABLE_LIMIT]
    rows = [_HEADINGS]
    rows += [
        (
            node.device,
            _STATES[node.state],
            _ago(node.heard_ms, page.now_ms),
            _ago(node.expected_ms, page.now_ms),
            _ago(node.will_ms, page.now_ms),
            str(node.missing or "-"),
            str(node.asked or "-"),
        )
        for node in shown
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    if len(shown) < len(wanted):
        lines.append(f"... {len(wanted) - len(shown)} lagi / more: --all")
    lines.append("jam:menit; - lalu, + nanti / hours:minutes; - ago, + from now")
    return "\n".join(lines)


def _ago(at_ms: int | None, now_ms: int) -> str:
    """Write how far a moment is from now, in a form for both languages.

    >>> _ago(0, 3_900_000), _ago(300_000, 0), _ago(None, 0)
    ('-1:05', '+0:05', '')
    """
    if at_ms is None:
        return ""
    minutes = abs(at_ms - now_ms) // 60_000
    return f"{'+' if at_ms > now_ms else '-'}{minutes // 60}:{minutes % 60:02d}"
