"""Whether a broker is as it should be: files, registry, certificates, version, in plain words."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

import msgspec

from resik import broker_config, broker_tls
from resik.broker_files import BrokerFolder, is_hash_of, mosquitto_program, plan_site
from resik.broker_live import ask, running_pid
from resik.errors import StackError
from square.access import access_list
from square.errors import SquareError
from square.registry import Registry

PRODUCTION_VERSION: Final = (2, 0, 22)
"""Oldest mosquitto for production."""
DEBIAN_FIXED: Final = "2.0.11-1.2+deb12u2"
"""Oldest Debian 12 package: 2.0.11 with the fixes of eight published vulnerabilities."""

GROUP_FILE = "ingest.group"
"""File beside the secrets with the name under which the workers of a stack share; no id has a dot."""

_DENIED_PUBLISH = re.compile(r"Denied PUBLISH from (\S+) \(.*?, '(.*)', \.\.\. \(\d+ bytes\)\)")
_REFUSED_LOGIN = re.compile(r"Client (\S+) disconnected, not authorised")


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes
    ----------
    level : str
        ``good``, ``warn`` (soon or for somebody), or ``bad`` (act now).
    text : str
        What was found, and what to do.
    """

    level: Literal["good", "warn", "bad"]
    text: str


def findings(folder: BrokerFolder) -> list[Finding]:
    """Look at everything.

    Raises
    ------
    StackError, SiteError
        If there is no plan, or its site cannot be read.
    """
    folder.plan()
    return [*_users(folder), *_written(folder), *_private(folder), *_certificates(folder), *_program(folder)]


def _users(folder: BrokerFolder) -> Iterator[Finding]:
    plan = folder.plan()
    service_names, devices = folder.wanted(plan)
    wanted, known = {*service_names, *devices}, folder.users()
    missing, strangers = sorted(wanted - set(known)), sorted(set(known) - wanted)
    if missing:
        yield Finding("bad", f"in the registry but not let in: {_some(missing)}: run resik broker sync")
    if strangers:
        yield Finding("bad", f"let in but not (or no longer) wanted: {_some(strangers)}: run resik broker sync")
    wrong = [
        name
        for name in sorted(wanted & set(known))
        if (path := folder.secret_file(plan, name)).exists()
        and not is_hash_of(known[name], path.read_text(encoding="utf-8").strip())
    ]
    if wrong:
        yield Finding(
            "bad", f"the kept secret is not the one that the broker takes: {_some(wrong)}: run resik broker sync"
        )
    if not (missing or strangers or wrong):
        yield Finding("good", f"{len(devices)} devices and {len(service_names)} services get in, and nobody else")
    if plan.part == "whole" and plan.workers > 1 and not (Path(plan.secrets) / GROUP_FILE).exists():
        yield Finding(
            "warn",
            "a device could join the shared subscription of the ingest workers and hold batches up: keep the workers "
            "on a broker of their own (--part city), or share by a secret group (docs/security.md)",
        )
    active = {device.id for device in Registry.load(plan.site) if device.status == "active"}
    if forgotten := sorted(folder.revoked() & active):
        yield Finding("warn", f'revoked but active in devices.toml: {_some(forgotten)}: set status = "retired" there')


def _written(folder: BrokerFolder) -> Iterator[Finding]:
    plan = folder.plan()
    service_names, devices = folder.wanted(plan)
    stale = []
    if _text(folder.acl) != access_list(plan_site(plan), devices, service_names, plan.publishers):
        stale.append("acl")
    # the number of connections and the account are worth a sync, and no alarm
    expected = broker_config.configuration(plan, folder.root, principals=0, as_root=False)
    if _essence(_text(folder.configuration)) != _essence(expected):
        stale.append("mosquitto.conf")
    if stale:
        yield Finding("bad", f"{' and '.join(stale)} is not as we would write it: run resik broker sync")
    else:
        yield Finding("good", "configuration and access list are as the topic grammar wants them")


def _essence(configuration: str) -> list[str]:
    return [line for line in configuration.splitlines() if not line.startswith(("#", "user ", "max_connections "))]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""


def _private(folder: BrokerFolder) -> Iterator[Finding]:
    plan = folder.plan()
    papers = folder.papers
    secrets_folder = Path(plan.secrets)
    kept = [path for path in secrets_folder.iterdir() if path.is_file()] if secrets_folder.is_dir() else []
    paths = [folder.passwords, folder.acl, papers.root_key, papers.server_key, *kept]
    if open_ones := [str(path) for path in paths if path.exists() and path.stat().st_mode & 0o077]:
        yield Finding("bad", f"others may read {_some(open_ones)}: chmod 600")
    else:
        yield Finding("good", "secrets and keys are readable by their owners only")


def _certificates(folder: BrokerFolder) -> Iterator[Finding]:
    plan = folder.plan()
    if plan.listen_port is None:
        yield Finding("good", "no TLS listener: only this machine can connect")
        return
    for path, what, remedy in (
        (folder.papers.server, "the certificate", "run resik broker renew, or init with the new one"),
        (folder.papers.root, "the root", "nodes need a new one: docs/security.md, renewal"),
    ):
        if not path.exists():
            yield Finding("bad", f"{path} is missing: run resik broker init with --self-signed or --tls-cert")
            continue
        certificate = broker_tls.read_certificates(path)[0]
        left = broker_tls.days_left(certificate)
        until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
        if left <= 0:
            yield Finding("bad", f"{what} {path} expired on {until}: no node connects; {remedy}")
        elif left <= broker_tls.WARN_DAYS:
            yield Finding("warn", f"{what} {path} ends on {until}, in {left:.0f} days: {remedy}")
        elif certificate.not_valid_before_utc > datetime.now(UTC):
            yield Finding("bad", f"{what} {path} is not valid yet: is the clock of this machine right?")
        else:
            yield Finding("good", f"{what} is good until {until}")
    if folder.papers.server.exists() and not broker_tls.belongs(
        folder.papers.server_key, broker_tls.read_certificates(folder.papers.server)[0]
    ):
        yield Finding("bad", "key and certificate of the broker do not belong together: run resik broker renew")


def _program(folder: BrokerFolder) -> Iterator[Finding]:
    pid = running_pid(folder)
    if pid is None:
        yield Finding("warn", f"no broker runs with {folder.configuration}")
        yield from _judged(_installed_version())
        return
    try:
        answers = ask(folder)
    except SquareError as error:
        yield Finding("bad", f"the broker (process {pid}) runs and does not let its monitor in: {error}")
        return
    yield Finding("good", f"the broker runs (process {pid}) and takes the credentials of this folder")
    yield from _judged(answers.get("version", ""))
    if int(answers.get("dropped") or 0) > 0:
        yield Finding("warn", f"it dropped {answers['dropped']} messages since its start: is a client too slow?")
    if Path(f"/proc/{pid}").stat().st_uid == 0:
        yield Finding("warn", "it runs as root: give it an account of its own with resik broker init --account")


def installed_finding() -> Finding:
    """Judge the mosquitto that is installed here, before it is started."""
    return next(iter(_judged(_installed_version())))


def _installed_version() -> str:
    try:
        said = subprocess.run(
            [mosquitto_program(), "-h"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except StackError:
        return ""
    found = re.search(r"version (\S+)", said)
    return found[1] if found else ""


def _judged(version: str) -> Iterator[Finding]:
    """Judge a version of mosquitto."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if not numbers:
        yield Finding("warn", "the version of mosquitto is unknown: is it installed on this machine?")
    elif numbers >= PRODUCTION_VERSION:
        yield Finding("good", f"mosquitto {version}")
    elif numbers == (2, 0, 11) and _has_debian_fixes():
        yield Finding(
            "warn", f"mosquitto {version} with Debian's fixes: fit for trials; for production take 2.0.22 or newer"
        )
    else:
        yield Finding("bad", f"mosquitto {version} has published vulnerabilities: take 2.0.22 or newer")


def _has_debian_fixes() -> bool:
    dpkg, query = shutil.which("dpkg"), shutil.which("dpkg-query")
    if dpkg is None or query is None:
        return False
    package = subprocess.run(
        [query, "-W", "-f", "${Version}", "mosquitto"], capture_output=True, text=True, check=False, timeout=10
    ).stdout
    compared = [dpkg, "--compare-versions", package, "ge", DEBIAN_FIXED]
    return bool(package) and subprocess.run(compared, check=False, timeout=10).returncode == 0


def _some(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def count_denials(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    """Count what a mosquitto denied, by who and what: a topic, or ``login``.

    Publishing is logged with ``log_denials`` only; a refused login has no name in mosquitto 2.0.11.
    """
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        if found := _DENIED_PUBLISH.search(line):
            counts[found[1], found[2]] += 1
        elif found := _REFUSED_LOGIN.search(line):
            counts[found[1], "login"] += 1
    return counts
