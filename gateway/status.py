"""What the gateway's health means, in plain words for the person who asks."""

from square.health import Health


def status_text(health: Health) -> str:
    """Explain a gateway's health, Indonesian first, English below.

    Parameters
    ----------
    health
        What `/healthz` of the gateway answered.

    Returns
    -------
    str
        Two paragraphs of short lines.
    """
    get = health.counts.get
    received, repeats = _number(get("received", 0)), _number(get("duplicates", 0))
    stored, dead = _number(get("settled_stored", 0)), _number(get("settled_dead", 0))
    missing = get("missing_lost", 0) + get("missing_late", 0)
    waiting, oldest_s = get("waiting", 0), float(get("oldest_waiting_age_s", 0.0))
    old_id = f" (tertua {_age(oldest_s, 'detik', 'menit', 'jam')})" if waiting else ""
    old_en = f" (oldest {_age(oldest_s, 's', 'min', 'h')})" if waiting else ""
    free = f"{get('disk_free_pct', 0.0):.0f} %"
    edge, uplink = get("edge_connected", 0), get("uplink_connected", 0)
    indonesian = [
        f"Gerbang data: {'bekerja' if health.ok else 'BUTUH PERHATIAN'}.",
        f"Diterima {received} bacaan sejak mulai; {repeats} kiriman ulang yang sudah ada tidak dihitung lagi.",
        f"Menunggu dikirim ke pusat: {_number(waiting)}{old_id}.",
        f"Sudah aman di pusat: {stored}; ditolak pusat dan disimpan sebagai bukti: {dead}.",
        f"Hilang atau belum sampai: {_number(missing)} bacaan." if missing else "Tidak ada bacaan yang hilang.",
        f"Ruang disk bebas: {free}.",
        f"Broker perangkat: {'tersambung' if edge else 'TERPUTUS'}.",
        f"Broker kota: {'tersambung' if uplink else 'TERPUTUS; bacaan disimpan dulu di sini'}.",
    ]
    english = [
        f"Gateway: {'working' if health.ok else 'NEEDS ATTENTION'}.",
        f"{received} readings received since start; {repeats} repeats that were here already are not counted again.",
        f"Waiting to go to the centre: {_number(waiting)}{old_en}.",
        f"Safe at the centre: {stored}; refused there and kept as evidence: {dead}.",
        f"Missing or not yet here: {_number(missing)} readings." if missing else "No reading is missing.",
        f"Free disk: {free}.",
        f"Device broker: {'connected' if edge else 'NOT CONNECTED'}.",
        f"City broker: {'connected' if uplink else 'NOT CONNECTED; readings are kept here meanwhile'}.",
    ]
    if health.reason:
        indonesian.append(f"Keterangan sistem: {health.reason}")
        english.append(f"Reason: {health.reason}")
    return "\n".join([*indonesian, "", *english])


def _number(value: float) -> str:
    return f"{value:,.0f}".replace(",", ".")


def _age(age_s: float, second: str, minute: str, hour: str) -> str:
    for length_s, unit in ((3600, hour), (60, minute)):
        if age_s >= 2 * length_s:
            return f"{age_s / length_s:.0f} {unit}"
    return f"{age_s:.0f} {second}"
