"""``resik provision``: a new node gets its name, its secret, its files, its label and its place in the registry.

All or nothing: the bundle is made and checked in a folder beside its place, the changed registry in a copy of the
site; only then the few steps are taken that others see, and each is undone when a later one fails.
"""

import contextlib
import json
import re
import shutil
import stat
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from resik import node_bundle
from resik.complaints import plainly
from resik.errors import StackError
from resik.folder import DataFolder
from resik.label import label_pdf
from resik.node_config import DEFAULT_PARTS, Place, configuration, parts_of
from square.files import alone, new_secret, write_private, write_whole
from square.plan_check import main_text, read_site
from square.site import Bin, load_site, resolve_site, shipped_site, shipped_sites

_ID_FORMAT = {"bin": ("rsk-b", 3), "air": ("rsk-a", 2)}
_MODEL = {"bin": "Resik Bin ESP32", "air": "Resik Air ESP32"}


def next_device_id(kind: str, taken: Iterable[str]) -> str:
    """Return the id after the highest that was ever given out; a retired id is never used again."""
    prefix, digits = _ID_FORMAT[kind]
    numbers = [int(found[1]) for name in taken if (found := re.fullmatch(rf"{prefix}(\d+)", name))]
    return f"{prefix}{max(numbers, default=0) + 1:0{digits}d}"


# -- the registry ---------------------------------------------------------------------------------


def registered(text: str, *, device: str, kind: str, asset: str, replace: str | None) -> str:
    """Return devices.toml with one more device, every other line and comment as it was.

    Parameters
    ----------
    text : str
        The file as it is.
    device, kind, asset : str
        The new entry.
    replace : str | None
        Id of the device that leaves this asset: it becomes ``retired``.

    Raises
    ------
    StackError
        If the entry of the old device is not written as one ``[[device]]`` table.
    """
    if replace is not None:
        tables = list(re.finditer(r"(?m)^[ \t]*\[\[device\]\].*?(?=^[ \t]*\[|\Z)", text, re.DOTALL))
        named = re.compile(rf"""(?m)^[ \t]*id[ \t]*=[ \t]*["']{re.escape(replace)}["']""")
        status = re.compile(r"""(?m)^([ \t]*status[ \t]*=[ \t]*)(["'])\w+\2""")
        found = [table for table in tables if named.search(table[0])]
        if len(found) != 1 or not status.search(found[0][0]):
            raise StackError(f"the entry of {replace} in devices.toml is no plain [[device]] table: retire it by hand")
        table = found[0]
        text = text[: table.start()] + status.sub(r"\1\2retired\2", table[0], count=1) + text[table.end() :]
    entry = {"id": device, "kind": kind, "asset": asset, "model": _MODEL[kind], "status": "active"}
    lines = "".join(f'{key} = "{value}"\n' for key, value in entry.items())
    return text.rstrip("\n") + "\n\n[[device]]\n" + lines


def check_registry(folder: Path, text: str) -> None:
    """See that the site still loads with this devices.toml, in a copy of it.

    Raises
    ------
    StackError
        With everything that is wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        for path in folder.iterdir():
            if path.is_file() and path.suffix in (".toml", ".geojson"):
                shutil.copyfile(path, Path(scratch) / path.name)
        (Path(scratch) / "devices.toml").write_text(text, encoding="utf-8")
        if errors := read_site(Path(scratch)).errors:
            raise StackError(main_text(errors, folder).rstrip())


def _site_folder(named: str, copy_to: Path | None, undo: contextlib.ExitStack) -> Path:
    """Return the folder to register in: the person's own, or a fresh copy of a shipped one."""
    folder = resolve_site(named).resolve()
    is_shipped = folder in {shipped_site(name).resolve() for name in shipped_sites()}
    if copy_to is None:
        if is_shipped:
            raise StackError(
                f"{named} ships with Resik and is not changed in place: add --site-copy FOLDER, and let that folder be "
                "the site from then on"
            )
        return folder
    if copy_to.exists():
        raise StackError(f"--site-copy {copy_to} exists already: name it with --site instead")
    undo.callback(shutil.rmtree, copy_to, ignore_errors=True)
    shutil.copytree(folder, copy_to)
    return copy_to


def _replace_text(path: Path, text: str) -> None:
    write_whole(path, text.encode(), stat.S_IMODE(path.stat().st_mode))


# -- the whole ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Order:
    """What a person asks for; each as the option of the same name."""

    kind: str
    site: str
    asset: str
    broker: str
    wifi_ssid: str
    wifi_psk: str
    out: Path
    ca: Path | None = None
    device: str | None = None
    base: dict[str, Any] | None = None
    data: Path | None = None
    site_copy: Path | None = None
    release_key: Path | None = None
    replace: bool = False
    version: str = "0.1.0"


def provision_node(order: Order) -> tuple[Place, str]:
    """Make and register one node; return its place and its id.

    Raises
    ------
    StackError, SiteError
        If anything fails; then nothing is left of it.
    """
    if order.out.exists():
        raise StackError(f"{order.out} exists already: name a new folder with --out")
    if order.broker.startswith("mqtts") and order.ca is None:
        raise StackError("a node checks the broker's certificate: name its root with --ca")
    with contextlib.ExitStack() as undo:
        folder = _site_folder(order.site, order.site_copy, undo)
        lock = undo.enter_context(contextlib.ExitStack())
        lock.enter_context(alone(folder))
        place = _place(folder, order)
        device, old = _identity(place, order)
        registry = folder / "devices.toml"
        before = registry.read_text(encoding="utf-8")
        after = registered(before, device=device, kind=order.kind, asset=order.asset, replace=old)
        check_registry(folder, after)
        order.out.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=order.out.name + ".", dir=order.out.parent))  # mode 0700
        undo.callback(shutil.rmtree, part, ignore_errors=True)
        secret = new_secret()
        _fill(part, place, device, secret, order)
        # From here on others see it. The bundle comes last: who has a bundle has a registered node.
        if order.data is not None:
            path = DataFolder(order.data, "real").secrets / device
            if path.exists():
                raise StackError(f"{path} exists already: this id was given out before, choose another with --device")
            undo.callback(path.unlink, missing_ok=True)
            write_private(path, secret.encode())
        undo.callback(_replace_text, registry, before)
        _replace_text(registry, after)
        part.rename(order.out)
        undo.pop_all()
        lock.close()
    return place, device


def _place(folder: Path, order: Order) -> Place:
    site = load_site(folder)
    asset = site.assets.get(order.asset)
    if asset is None:
        raise StackError(f"{order.asset} is not in plan.geojson of {folder}: draw it first (docs/site-plan.md)")
    if isinstance(asset, Bin) != (order.kind == "bin"):
        raise StackError(f"{order.asset} is no place for a node of kind {order.kind}")
    return Place(folder, site, asset, order.kind)


def _identity(place: Place, order: Order) -> tuple[str, str | None]:
    """Return the id of the new node, and of the one that it replaces."""
    old = next((d.id for d in place.site.devices if d.asset == order.asset and d.status == "active"), None)
    if old is not None and not order.replace:
        raise StackError(f"{order.asset} has the active device {old}: add --replace to retire it")
    taken = {device.id for device in place.site.devices}
    if order.data is not None and (order.data / "secrets").is_dir():
        taken |= {path.name for path in (order.data / "secrets").iterdir()}
    if order.device in taken:
        raise StackError(f"{order.device} is given out already: an id is never used twice, leave --device away")
    return order.device or next_device_id(order.kind, taken), old


def _fill(part: Path, place: Place, device: str, secret: str, order: Order) -> None:
    """Write everything of a bundle into an empty folder, and check it."""
    flash = part / node_bundle.FLASH
    flash.mkdir()
    base = {"parts": parts_of(place.kind, DEFAULT_PARTS[place.kind])} if order.base is None else order.base
    config = configuration(
        place, device, broker=order.broker, wifi_ssid=order.wifi_ssid, wifi_psk=order.wifi_psk, base=base
    )
    write_private(flash / "config.json", (json.dumps(config, indent=1) + "\n").encode("ascii"))
    write_private(flash / "secret", secret.encode())
    if order.ca is not None:
        (flash / "ca.der").write_bytes(node_bundle.root_as_der(order.ca))
    if order.release_key is not None:
        from resik.release import read_public

        (flash / "ota.pub").write_bytes(read_public(order.release_key))
    node_bundle.check_configuration(flash / "config.json")
    node_bundle.write_program(flash, place.kind, order.version)
    names = {"device": device, "kind": place.kind, "site": place.site.id, "asset": order.asset}
    label = label_pdf(**names, name_id=place.asset.name_id, name_en=place.asset.name_en)
    (part / "label.pdf").write_bytes(label)
    entry = node_bundle.broker_entry(device, secret)
    if entry is not None:
        write_private(part / "broker-entry.txt", entry.encode())
    node_bundle.write_manifest(part, names)


def first_line(path: Path, option: str) -> str:
    """Return the first line of a file of plain ASCII, such as a password."""
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{option} {path} cannot be read as plain ASCII text") from error
    return text.splitlines()[0] if text else ""


def _base(path: Path) -> dict[str, Any]:
    try:
        base = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StackError(f"--config {path} cannot be read as JSON: {error}") from error
    if not isinstance(base, dict):
        raise StackError(f"--config {path} is not one JSON object")
    return base


def _installed_version() -> str:
    return version("resik-kota")


_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.option("--kind", type=click.Choice(["bin", "air"]), required=True, help="What the node measures.")
@click.option("--site", required=True, help="Folder of the square, or the name of a shipped one with --site-copy.")
@click.option("--asset", required=True, help="Bin or air station where it will sit.")
@click.option("--broker", required=True, help="Address of the broker: mqtts://host:8883.")
@click.option("--ca", type=_FILE, help="Root certificate of the broker, PEM or DER.")
@click.option("--wifi-ssid", required=True, help="Name of the wireless network.")
@click.option("--wifi-password-file", type=_FILE, required=True, help="File whose first line is its password.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New folder for the bundle.")
@click.option("--device", help="Id of the node [the next free one].")
@click.option("--parts", help="What is soldered on, such as jsn+ds18b20+lis3dh+battery+power.")
@click.option("--config", "base", type=_FILE, help="JSON with parts and settings instead of --parts.")
@click.option("--data", type=click.Path(path_type=Path), help="Data folder of a local stack, whose broker lets it in.")
@click.option(
    "--site-copy", type=click.Path(path_type=Path), help="Copy the site to this new folder and register there."
)
@click.option("--release-key", type=_FILE, help="ota.pub of the key that signs updates (resik ota keygen).")
@click.option("--firmware-version", default=_installed_version, show_default="of Resik", help="What it calls itself.")
@click.option("--replace", is_flag=True, help="Retire the device that the asset has now.")
@plainly
def provision(
    *, kind: str, site: str, asset: str, broker: str, ca: Path | None, wifi_ssid: str, wifi_password_file: Path,
    out: Path, device: str | None, parts: str | None, base: Path | None, data: Path | None, site_copy: Path | None,
    release_key: Path | None, firmware_version: str, replace: bool,
) -> None:  # fmt: skip
    """Make a node: name, secret, files for its flash, label, entry in the registry."""
    if parts is not None and base is not None:
        raise StackError("name the parts with --parts or in --config, not with both")
    chosen = _base(base) if base is not None else {"parts": parts_of(kind, parts or DEFAULT_PARTS[kind])}
    order = Order(
        kind=kind, site=site, asset=asset, broker=broker, wifi_ssid=wifi_ssid,
        wifi_psk=first_line(wifi_password_file, "--wifi-password-file"), out=out, ca=ca, device=device, base=chosen,
        data=data, site_copy=site_copy, release_key=release_key, replace=replace, version=firmware_version,
    )  # fmt: skip
    try:
        place, name = provision_node(order)
    except OSError as error:
        raise StackError(f"{error.filename or order.out}: {error.strerror}; nothing was changed") from error
    click.echo(f"{name} siap untuk {asset} ({place.asset.name_id}).")
    click.echo(f"{name} is ready for {asset} ({place.asset.name_en}).")
    click.echo(f"  berkas / bundle        {out}   (berisi rahasia / holds a secret: keep it private)")
    click.echo(f"  label                  {out / 'label.pdf'}")
    click.echo(f"  daftar / registry      {place.folder / 'devices.toml'}")
    if data is not None:
        click.echo(f"  broker lokal / local   {data}   (resik broker sync --data, atau mulai ulang / or restart)")
    if (out / "broker-entry.txt").exists():
        click.echo(f"  broker lain / other    {out / 'broker-entry.txt'}   (baris untuk / line for: password_file)")
    else:
        click.echo("  mosquitto_passwd tidak ada / is missing: no line for a mosquitto elsewhere was made")
    click.echo(
        f"  lalu / then            resik flash --port /dev/ttyUSB0 --bundle {out} --image ESP32_GENERIC-OTA.bin --erase"
    )
