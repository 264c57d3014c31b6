"""``resik broker``: make a mosquitto, keep it in line with the registry, shut a device out, let one in."""

import logging
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import click
import msgspec

from resik import broker_tls
from resik.broker_check import count_denials, findings
from resik.broker_config import LISTEN_PORT, BrokerPlan, listen_address
from resik.broker_files import BrokerFolder, Changes, plan_site
from resik.broker_live import cut_off, reload
from resik.complaints import plainly
from resik.errors import StackError
from resik.folder import KINDS, DataFolder
from square.access import MAX_WORKERS, allowed, publisher_fault, role
from square.site import resolve_site, shipped_sites

_PATH = click.Path(path_type=Path)
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORDS = {"good": "baik / good", "warn": "awas / warning", "bad": "salah / wrong"}


def _placed(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option("--out", type=_PATH, help="Folder of the broker, e.g. /etc/resik/broker.")(function)
    return click.option("--data", type=_PATH, help="Data folder of a local stack; its broker is in it.")(function)


def broker_folder(data: Path | None, out: Path | None) -> BrokerFolder:
    """Return the folder of a broker that a person named.

    Raises
    ------
    StackError
        If none or both were named.
    """
    if (data is None) == (out is None):
        raise StackError("name the broker's folder with --out, or the data folder of its stack with --data")
    return BrokerFolder(data / "broker" if data is not None else out)  # type: ignore[arg-type]


def site_word(named: str) -> str:
    """Return a site as a plan keeps it: the name of a shipped one, else its absolute folder."""
    resolve_site(named)
    return named if named in shipped_sites() and not Path(named).exists() else str(Path(named).absolute())


def _with_rights(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a file that we may not touch into a sentence: these files belong to root and to the broker's account."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except PermissionError as error:
            raise StackError(
                f"{error.filename}: {error.strerror}: run this as root, or as who made the broker"
            ) from error

    return wrapped


@click.group()
def broker() -> None:
    """Make and keep the mosquitto of a site: TLS, users, access list."""
    logging.getLogger("square.mqtt").setLevel(logging.ERROR)  # a refused connection is an answer here


@broker.command()
@click.option("--site", help="Folder of the square, or the name of a shipped one.")
@_placed
@click.option(
    "--part",
    type=click.Choice(["whole", "square", "city"]),
    help="Whom it serves: devices and gateway (square), gateways and services (city), or all [whole].",
)
@click.option(
    "--self-signed", "hosts", multiple=True, metavar="HOST", help="Make a certificate; name or address of it."
)
@click.option("--tls-cert", type=_FILE, help="Certificate from elsewhere, PEM with its chain.")
@click.option("--tls-key", type=_FILE, help="Its key, PEM.")
@click.option("--tls-ca", type=_FILE, help="Its root, PEM, which nodes pin.")
@click.option("--listen", help="Port or host:port of the TLS listener [8883].")
@click.option("--port", type=click.IntRange(1, 65535), help="Loopback port without TLS [1883].")
@click.option("--workers", type=click.IntRange(1, MAX_WORKERS), help="Number of ingest workers [1].")
@click.option(
    "--publisher",
    "publishers",
    multiple=True,
    metavar="NAME=FILTER",
    help="Who publishes for sensors of other makes, and its topic filter; replaces those before.",
)
@click.option("--account", help="Account that the broker runs as, e.g. mosquitto [the one that starts it].")
@click.option("--log-denials/--no-log-denials", default=None, help="Log each forbidden publish; 4 lines per message.")
@plainly
@_with_rights
def init(
    *, site: str | None, data: Path | None, out: Path | None, hosts: tuple[str, ...],
    tls_cert: Path | None, tls_key: Path | None, tls_ca: Path | None, listen: str | None,
    publishers: tuple[str, ...], **chosen: Any,
) -> None:  # fmt: skip
    """Make the configuration of a mosquitto from the registry, or change it; secrets stay."""
    folder = broker_folder(data, out)
    if (tls_cert is None) != (tls_key is None):
        raise StackError("--tls-cert and --tls-key belong together: name both")
    if tls_cert is not None and hosts:
        raise StackError("a certificate is made here (--self-signed) or comes from elsewhere (--tls-cert), not both")
    asked = {key: value for key, value in chosen.items() if value is not None}
    if hosts or tls_cert is not None:
        asked["hosts"] = hosts
    if publishers:
        asked["publishers"] = _publishers(publishers)
    if listen is not None:
        asked["listen_host"], asked["listen_port"] = listen_address(listen)
    with folder.alone():
        plan = _planned(folder, data, site, asked)
        if plan.listen_port is not None and not (plan.hosts or tls_cert or folder.papers.server.exists()):
            raise StackError("a TLS listener needs a certificate: --self-signed HOST, or --tls-cert and --tls-key")
        folder.keep_plan(plan)
        folder.write_papers((tls_cert, tls_key) if tls_cert is not None and tls_key is not None else None, tls_ca)
        done = folder.write()
        folder.write_notes()
        is_running = reload(folder)
    click.echo(f"Broker {plan_site(plan)} siap di / is ready in {folder.root}")
    _say_changes(done, is_running=is_running)
    if plan.listen_port is not None:
        click.echo(f"  simpul / nodes         resik provision --ca {folder.papers.root_der}")
    click.echo(f"  mulai / start          mosquitto -c {folder.configuration}")
    click.echo(f"  petunjuk / note        {folder.root / 'OPERATOR.md'}")


def _publishers(words: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for word in words:
        name, _, topic_filter = word.partition("=")
        if (fault := publisher_fault(name, topic_filter)) is not None:
            raise StackError(f"--publisher {word}: {fault}; write NAME=FILTER")
        found[name] = topic_filter
    return found


def _planned(folder: BrokerFolder, data: Path | None, site: str | None, asked: dict[str, Any]) -> BrokerPlan:
    """Return the plan that is there, or a new one, with what was asked for now."""
    if folder.is_made:
        plan = folder.plan()
        if site is not None:
            asked["site"] = site_word(site)
    elif site is None:
        raise StackError("a new broker needs --site")
    else:
        plan = BrokerPlan(site=site_word(site), secrets=str(_secrets(folder, data)))
    if "hosts" in asked and plan.listen_port is None:
        asked.setdefault("listen_port", LISTEN_PORT)
    return msgspec.structs.replace(plan, **asked)


def _secrets(folder: BrokerFolder, data: Path | None) -> Path:
    if data is None:
        return folder.root / "secrets"
    marker = data / "kind"
    kind = marker.read_text(encoding="utf-8").strip() if marker.exists() else "real"
    return DataFolder(data, kind if kind in KINDS else "real").secrets


def _say_changes(done: Changes, *, is_running: bool) -> None:
    for word, names in (
        ("masuk / let in", done.added),
        ("keluar / shut out", done.removed),
        ("rahasia baru / new secret", done.renewed),
    ):
        if names:
            more = f" +{len(names) - 6}" if len(names) > 6 else ""  # noqa: PLR2004 - as many as fit a line
            click.echo(f"  {word:22} {', '.join(names[:6])}{more}")
    if not done.is_changed:
        click.echo("  tidak ada perubahan / nothing had to change")
    if is_running:
        click.echo("  broker membaca ulang / the running broker reads its files again")


@broker.command()
@_placed
@plainly
@_with_rights
def sync(data: Path | None, out: Path | None) -> None:
    """Let new devices of the registry in and retired ones out."""
    folder = broker_folder(data, out)
    with folder.alone():
        done = folder.write()
        is_running = done.is_changed and reload(folder)
    _say_changes(done, is_running=is_running)


@broker.command()
@_placed
@plainly
@_with_rights
def renew(data: Path | None, out: Path | None) -> None:
    """Make a new certificate for the TLS listener, signed by the same authority."""
    folder = broker_folder(data, out)
    with folder.alone():
        plan = folder.plan()
        if not plan.hosts:
            raise StackError("this certificate comes from elsewhere: run resik broker init with the new --tls-cert")
        broker_tls.issue_server(folder.papers, plan.hosts)
        folder.write()
        is_running = reload(folder)
    until = broker_tls.read_certificates(folder.papers.server)[0].not_valid_after_utc
    click.echo(f"Sertifikat baru sampai / new certificate until {until:%Y-%m-%d}: {', '.join(plan.hosts)}")
    click.echo("  broker membaca ulang / reads it now" if is_running else "  broker tidak berjalan / is not running")


@broker.command()
@click.argument("device")
@_placed
@plainly
@_with_rights
def revoke(device: str, data: Path | None, out: Path | None) -> None:
    """Shut a device out at once, also when it is connected; others notice nothing."""
    folder = broker_folder(data, out)
    if role(device) != "device":
        raise StackError(f"{device} is a service: stop it, and give it a new secret with resik broker grant {device}")
    with folder.alone():
        if not folder.is_made:
            _revoke_embedded(folder, device, data)
            return
        plan = folder.plan()
        if device not in {*folder.users(), *folder.wanted(plan)[1], *folder.revoked()}:
            raise StackError(f"{device} is no user of this broker: see devices.toml of {plan.site}")
        folder.set_revoked(device, is_revoked=True)
        folder.secret_file(plan, device).unlink(missing_ok=True)
        took_s = cut_off(folder, device)
    click.echo(f"{device} dicabut / is shut out.")
    if took_s is None:
        click.echo("  broker tidak berjalan / the broker does not run: it will not let it in")
    else:
        click.echo(f"  sambungan diputus dalam / cut off and tried within {took_s:.1f} s")
    click.echo(f'  lalu / then            status = "retired", devices.toml ({plan.site})')


def _revoke_embedded(folder: BrokerFolder, device: str, data: Path | None) -> None:
    """Shut a device out of the embedded broker, which reads its users at its start only."""
    secret = data / "secrets" / device if data is not None else None
    if secret is None or not (secret.exists() or device in folder.revoked()):
        raise StackError(f"there is no broker in {folder.root}, and no device {device} beside it")
    folder.set_revoked(device, is_revoked=True)
    secret.unlink(missing_ok=True)
    click.echo(f"{device} dicabut mulai dari jalan berikutnya / is shut out from the next start on.")
    click.echo("  broker tertanam: mulai ulang resik up / embedded broker: start resik up again now")


@broker.command()
@click.argument("user")
@_placed
@click.option("--entry", type=_FILE, help="broker-entry.txt of a bundle: lets a node in whose secret is not kept here.")
@plainly
@_with_rights
def grant(user: str, data: Path | None, out: Path | None, entry: Path | None) -> None:
    """Let a device in again, or give any user a new secret; the old one is worth nothing at once."""
    folder = broker_folder(data, out)
    with folder.alone():
        plan = folder.plan()
        was_revoked = user in folder.revoked()
        folder.set_revoked(user, is_revoked=False)
        try:
            _let_in(folder, plan, user, entry)
        except StackError:
            folder.set_revoked(user, is_revoked=was_revoked)
            raise
        folder.write()
        is_running = reload(folder)
    click.echo(f"{user} boleh masuk / is let in{', broker membaca ulang / at once' if is_running else ''}.")
    if entry is None:
        where = "ke simpul / into the node: /secret" if role(user) == "device" else "mulai ulang / restart the service"
        click.echo(f"  rahasia / secret       {folder.secret_file(plan, user)}   ({where})")


def _let_in(folder: BrokerFolder, plan: BrokerPlan, user: str, entry: Path | None) -> None:
    if user not in {name for names in folder.wanted(plan) for name in names}:
        raise StackError(f"{user} is neither a service nor an active device of {plan.site}: enter it there first")
    if entry is not None:
        folder.take_entry(plan, user, entry.read_text(encoding="utf-8", errors="replace"))
    else:
        folder.give_secret(plan, user)


@broker.command()
@_placed
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@plainly
@_with_rights
def check(data: Path | None, out: Path | None, *, as_json: bool) -> None:
    """Compare files, registry, certificates and the running broker; exits 1 when something is wrong."""
    found = findings(broker_folder(data, out))
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        for finding in found:
            click.echo(f"{_WORDS[finding.level]:16} {finding.text}")
    sys.exit(1 if any(finding.level == "bad" for finding in found) else 0)


@broker.command()
@click.argument("topic")
@_placed
@plainly
@_with_rights
def who(topic: str, data: Path | None, out: Path | None) -> None:
    """Say who may use a topic, e.g. resik/alun-alun/rsk-b001/up/bin."""
    folder = broker_folder(data, out)
    plan = folder.plan()
    names = [name for group in folder.wanted(plan) for name in group]
    for way, word in (("write", "menulis / write"), ("read", "membaca / read")):
        found = [name for name in names if allowed(plan_site(plan), name, topic, way, plan.publishers)]  # type: ignore[arg-type]
        click.echo(f"{word:18} {', '.join(found) or '-'}")


@broker.command()
@click.argument("log", type=click.File(errors="replace"))
@plainly
def denials(log: Any) -> None:
    """Count what a log of mosquitto (or - for stdin) says was denied, by user and topic."""
    counts = count_denials(log)
    for (user, what), number in counts.most_common():
        click.echo(f"{number:8} {user!r:36} {what!r}")
    click.echo(f"{counts.total():8} ditolak / denied")
