"""``resik power``: how long the battery of a node lasts, and what it goes on."""

import json
from pathlib import Path
from typing import Any

import click

from resik import node_bundle
from resik.complaints import plainly
from resik.errors import StackError

# part of a day -> words, Indonesian and English
SHARES = {
    "radio": ("bangun dan mengirim", "awake and sending"),
    "measure": ("bangun dan mengukur saja", "awake, measuring only"),
    "fan": ("kipas sensor partikel", "fan of the particle sensor"),
    "sleep": ("tidur", "asleep"),
}
# input -> words, unit
INPUTS = {
    "battery_mah": ("kapasitas baterai / capacity of the cell", "mAh"),
    "usable_pct": ("terpakai / usable", "%"),
    "self_discharge_pct_month": ("susut sendiri / self-discharge", "%/bulan"),
    "active_ma": ("arus saat bangun / current awake", "mA"),
    "sleep_ua": ("arus saat tidur / current asleep", "uA"),
    "wake_s": ("lama bangun bila mengirim / awake when sending", "s"),
    "measure_s": ("lama bangun tanpa mengirim / awake without", "s"),
    "send_every": ("mengirim tiap .. bacaan / sends every .. readings", ""),
    "fan_ma": ("arus kipas pada 5 V / current of the fan at 5 V", "mA"),
    "warm_s": ("pemanasan kipas / warm-up of the fan", "s"),
}
_OF_FAN = ("fan_ma", "warm_s")
_SHORT_DAYS = 30


def _figure(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"


def power_text(energy: dict[str, Any]) -> str:
    """Render what the node's check says of energy for a terminal; Indonesian first.

    Parameters
    ----------
    energy : dict
        ``inputs``, the shares of a day [uAh], ``total`` [uAh/day], ``wakes``, ``update`` [uAh] and ``days``.
    """
    shares = {name: int(energy.get(name, 0)) for name in SHARES}
    total = int(energy["total"])
    most = max(shares, key=lambda name: shares[name])
    days = int(energy["days"])
    lines = [
        f"Umur baterai sekitar {days} hari pada {energy['wakes']} bacaan sehari (model, bukan pengukuran).",
        f"The battery lasts about {days} days at {energy['wakes']} readings a day (a model, not a measurement).",
        "",
    ]
    for name, (indonesian, english) in SHARES.items():
        if shares[name]:
            words = f"{indonesian} / {english}"
            lines.append(f"  {words:<56} {shares[name] / 1000:8.2f} mAh/hari {100 * shares[name] / total:5.1f} %")
    lines += [f"  {'jumlah / total':<56} {total / 1000:8.2f} mAh/hari", ""]
    lines.append(f"  Yang menentukan / what dominates: {SHARES[most][0]} / {SHARES[most][1]}.")
    if energy.get("update"):
        lines.append(f"  Satu pembaruan / one update: {int(energy['update']) / 1000:.1f} mAh.")
    if days < _SHORT_DAYS:
        lines.append(
            "  Terlalu singkat untuk baterai saja: listrik atau surya. / Too short for a cell alone: mains or solar."
        )
    lines += ["", "  Masukan / inputs:"]
    for name, value in energy.get("inputs", {}).items():
        if name in _OF_FAN and not shares["fan"]:
            continue
        words, unit = INPUTS.get(name, (name, ""))
        lines.append(f"    {name:<26} {_figure(value):>8} {unit:<8} {words}")
    return "\n".join(lines)


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="config.json of a node.")
@click.option("--wakes-per-day", type=click.IntRange(1, 8640), help="Readings a day [as configured].")
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plainly
def power(config: Path, wakes_per_day: int | None, as_json: bool) -> None:
    """Say how long a battery lasts with this configuration, and what it goes on."""
    if not config.is_file():
        raise StackError(f"there is no file {config}: name the config.json of a node")
    energy = node_bundle.check_configuration(config, wakes_per_day)
    click.echo(json.dumps(energy, indent=1) if as_json else power_text(energy))
