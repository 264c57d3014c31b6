"""The folder of a mosquitto: users, access list, configuration and certificates, in line with the registry.

::

    DIR/
      broker.json           what it is made from (BrokerPlan)
      mosquitto.conf        configuration            passwords   salted hashes, one line per user
      acl                   access list              revoked     devices that were shut out, one per line
      tls/                  certificates             state/      what mosquitto remembers
      secrets/              one file per user; that of a data folder where a stack has one
      OPERATOR.md, resik-broker.service

Everything can be written again at any time. What is never written over: a secret, and the key of the authority.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import pwd
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from resik import broker_config, broker_tls
from resik.broker_config import BrokerPlan
from resik.broker_tls import Papers
from resik.errors import MissingPart, StackError
from square.access import access_list, role, services
from square.files import alone, new_secret, write_whole
from square.registry import Registry

ITERATIONS: Final = 101
"""Rounds of the hash, as `mosquitto_passwd` has them: more would protect guessable passwords, and ours are 256 bits."""
_SALT_BYTES: Final = 12
_ENTRY: Final = re.compile(r"\$[A-Za-z0-9$+/=,.]{20,500}")
_CITY: Final = {"gateway-uplink", "ingest", "alerts"}


def hashed(secret: str) -> str:
    """Return what stands for a secret in mosquitto's password file: PBKDF2-SHA512 with a fresh salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = hashlib.pbkdf2_hmac("sha512", secret.encode(), salt, ITERATIONS)
    return f"$7${ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(digest).decode()}"


def is_hash_of(entry: str, secret: str) -> bool:
    """Whether an entry of a password file stands for a secret; False for a kind of hash that we do not make."""
    try:
        _, kind, rounds, salt, digest = entry.split("$")
        found = hashlib.pbkdf2_hmac("sha512", secret.encode(), base64.b64decode(salt), int(rounds))
        return kind == "7" and hmac.compare_digest(found, base64.b64decode(digest))
    except (ValueError, binascii.Error, OverflowError):
        return False


def mosquitto_program() -> str:
    """Return the path of mosquitto.

    Raises
    ------
    MissingPart
        If it is not installed.
    """
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None:
        raise MissingPart("mosquitto is not installed: apt-get install mosquitto, or use --broker embedded")
    return program


@dataclass(frozen=True, slots=True)
class Changes:
    """What a synchronisation did.

    Attributes
    ----------
    added, removed, renewed : tuple[str, ...]
        Users that came, went, and got another secret.
    is_changed : bool
        Whether any file of the broker changed: it has to read them again.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    renewed: tuple[str, ...]
    is_changed: bool


class BrokerFolder:
    """Files of one broker.

    Parameters
    ----------
    root : Path
        The folder; made at the first writing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.papers = Papers(self.root / "tls")
        self.configuration = self.root / "mosquitto.conf"
        self.passwords = self.root / "passwords"
        self.acl = self.root / "acl"
        self.pid_file = self.root / "state" / "mosquitto.pid"
        self._plan_file = self.root / "broker.json"
        self._revoked_file = self.root / "revoked"

    # -- the plan -------------------------------------------------------------------------------

    @property
    def is_made(self) -> bool:
        """Whether there is a plan, so that everything else can be written."""
        return self._plan_file.exists()

    def plan(self) -> BrokerPlan:
        """Return what the broker is made from.

        Raises
        ------
        StackError
            If there is no plan, or a damaged one.
        """
        try:
            return msgspec.json.decode(self._plan_file.read_bytes(), type=BrokerPlan)
        except OSError as error:
            raise StackError(
                f"{self.root} is no folder of a broker ({error.strerror}): make it with resik broker init"
            ) from error
        except msgspec.MsgspecError as error:
            raise StackError(f"{self._plan_file} is damaged ({error}): run resik broker init again") from error

    def keep_plan(self, plan: BrokerPlan) -> None:
        """Make the folder and remember its plan, once it is seen that it can be followed.

        Raises
        ------
        StackError
            If an account, a host or a device of it cannot be.
        """
        _account(plan)
        broker_tls.check_hosts(plan.hosts)
        self.wanted(plan)
        for path, mode in ((self.root, 0o755), (self.papers.folder, 0o755), (self.root / "state", 0o700)):
            path.mkdir(parents=True, exist_ok=True, mode=mode)
        self._write(self._plan_file, msgspec.json.format(msgspec.json.encode(plan), indent=1).decode() + "\n")

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Let one command at a time change this folder."""
        self.root.mkdir(parents=True, exist_ok=True)
        with alone(self.root):
            yield

    # -- users ----------------------------------------------------------------------------------

    def revoked(self) -> frozenset[str]:
        """Return the devices that were shut out and not let in again."""
        try:
            lines = self._revoked_file.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return frozenset()
        return frozenset(line.split()[0] for line in lines if line.strip())

    def set_revoked(self, device: str, *, is_revoked: bool) -> None:
        """Note that a device is shut out (with the time), or no longer."""
        self.root.mkdir(parents=True, exist_ok=True)
        lines = self._revoked_file.read_text(encoding="utf-8").splitlines() if self._revoked_file.exists() else []
        if is_revoked and device in self.revoked():
            return
        lines = [line for line in lines if line.split()[:1] != [device]]
        if is_revoked:
            lines.append(f"{device} {datetime.now(UTC).isoformat(timespec='seconds')}")
        write_whole(self._revoked_file, "".join(line + "\n" for line in lines).encode(), 0o644)

    def users(self) -> dict[str, str]:
        """Return the hash of each user in the password file as it is."""
        try:
            lines = self.passwords.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def wanted(self, plan: BrokerPlan) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the services and the devices that are to get in: active in the registry, and not revoked.

        Raises
        ------
        StackError
            If a device has the name of a service.
        """
        # a sensor of another make does not come here itself: somebody publishes for it
        active = [device for device in Registry.load(plan.site) if device.status == "active"]
        devices = [device.id for device in active if device.foreign is None]
        for device in devices:
            if role(device) != "device" or device in plan.publishers:
                raise StackError(f"the device {device} of {plan.site} is called like a service: give it another id")
        names = services(plan.workers)
        if plan.part != "city":
            names += self._admitted(sorted(plan.publishers))
        if plan.part == "square":
            return tuple(name for name in names if role(name) not in _CITY), self._admitted(devices)
        if plan.part == "city":
            return tuple(name for name in names if name != "gateway"), ()
        return names, self._admitted(devices)

    def _admitted(self, devices: list[str]) -> tuple[str, ...]:
        revoked = self.revoked()
        return tuple(device for device in devices if device not in revoked)

    def secret_file(self, plan: BrokerPlan, name: str) -> Path:
        """Where the secret of a user lies, as far as it is kept."""
        return Path(plan.secrets) / name

    def _secret(self, plan: BrokerPlan, name: str) -> str:
        try:
            return self.secret_file(plan, name).read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""

    def give_secret(self, plan: BrokerPlan, name: str) -> str:
        """Make a secret for a user and keep it, readable by the owner only; an older one is gone."""
        secret = new_secret()
        path = self.secret_file(plan, name)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(path, secret.encode())
        return secret

    def take_entry(self, plan: BrokerPlan, name: str, entry: str) -> None:
        """Let in a user of whom only the hash is known: the line that ``resik provision`` made for the password file.

        Raises
        ------
        StackError
            If the line is that of another user, or none.
        """
        owner, _, value = entry.strip().partition(":")
        # one line of one user: a second line in the file would be somebody else's way in
        if owner != name or not _ENTRY.fullmatch(value):
            raise StackError(f"the line is not that of {name}: name the broker-entry.txt of its bundle")
        self.secret_file(plan, name).unlink(missing_ok=True)
        self._write_users(plan, self.users() | {name: value})

    # -- writing --------------------------------------------------------------------------------

    def write(self, passing: Mapping[str, str] | None = None) -> Changes:
        """Bring every file in line with plan, registry and secrets.

        A user with a kept secret gets in by that one; one without, by the hash that is there; one with neither gets
        a new secret. Everybody else's entry goes.

        Parameters
        ----------
        passing : Mapping[str, str] | None
            Users that get in for a moment, by a secret that is not kept and without any right.
        """
        plan = self.plan()
        service_names, devices = self.wanted(plan)
        before = self.users()
        after: dict[str, str] = {}
        for name in (*service_names, *devices):
            secret, entry = self._secret(plan, name), before.get(name)
            if not secret and entry is None:
                secret = self.give_secret(plan, name)
            after[name] = entry if entry is not None and (not secret or is_hash_of(entry, secret)) else hashed(secret)
        known = tuple(after)
        after |= {name: hashed(secret) for name, secret in (passing or {}).items()}
        changed = [self._write_users(plan, after)]
        acl = access_list(plan_site(plan), devices, service_names, plan.publishers)
        changed.append(self._write(self.acl, acl, plan))
        changed.append(
            self._write(
                self.configuration,
                broker_config.configuration(
                    plan, self.root, principals=len(known), as_root=os.geteuid() == 0 and not plan.account
                ),
                plan,
                mode=0o644,
            )
        )
        self._give_to_account(plan)
        return Changes(
            added=tuple(name for name in known if name not in before),
            removed=tuple(name for name in before if name not in known),
            renewed=tuple(name for name in known if name in before and before[name] != after[name]),
            is_changed=any(changed),
        )

    def write_papers(self, certificate: tuple[Path, Path] | None = None, root: Path | None = None) -> None:
        """Make or take the certificates of the TLS listener; ours are made anew when they have to be.

        Parameters
        ----------
        certificate : tuple[Path, Path] | None
            Certificate and key from elsewhere; None makes them for the hosts of the plan.
        root : Path | None
            Root of the certificate from elsewhere.
        """
        plan = self.plan()
        if certificate is not None:
            broker_tls.take_server(self.papers, *certificate, root)
        elif plan.hosts and not broker_tls.is_current(self.papers, plan.hosts):
            broker_tls.make_root(self.papers, plan_site(plan))
            broker_tls.issue_server(self.papers, plan.hosts)
        self._give_to_account(plan)

    def write_notes(self) -> None:
        """Write what a person needs: the note, and the sample of a unit."""
        plan = self.plan()
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self._write(self.root / "resik-broker.service", broker_config.unit(plan, self.root, program), mode=0o644)
        self._write(self.root / "OPERATOR.md", broker_config.operator_note(plan, self.root), mode=0o644)

    def _write_users(self, plan: BrokerPlan, users: Mapping[str, str]) -> bool:
        return self._write(self.passwords, "".join(f"{name}:{users[name]}\n" for name in sorted(users)), plan)

    def _write(self, path: Path, text: str, plan: BrokerPlan | None = None, mode: int = 0o600) -> bool:
        """Write a file if that changes anything."""
        try:
            if path.read_text(encoding="utf-8") == text:
                return False
        except FileNotFoundError:
            pass
        try:
            write_whole(path, text.encode(), mode, None if plan is None else _account(plan))
        except PermissionError as error:
            raise StackError(
                f"{error.filename or path} cannot be written for the broker's account: run this as root"
            ) from error
        return True

    def _give_to_account(self, plan: BrokerPlan) -> None:
        """Let the account of the broker read what it must read, and no more."""
        state = self.root / "state"
        state.mkdir(exist_ok=True, mode=0o700)
        owner = _account(plan)
        if owner is None:
            return
        for path in (self.passwords, self.acl, self.configuration, self.papers.server_key, state, *state.iterdir()):
            if path.exists() and (path.stat().st_uid, path.stat().st_gid) != owner:
                try:
                    os.chown(path, *owner)
                except PermissionError as error:
                    raise StackError(f"only root may give {path} to {plan.account}: run this as root") from error


def _account(plan: BrokerPlan) -> tuple[int, int] | None:
    """Return user and group of the broker's account; None for one that starts it itself."""
    if not plan.account:
        return None
    try:
        found = pwd.getpwnam(plan.account)
    except KeyError as error:
        raise StackError(f"there is no account {plan.account} on this machine: name another with --account") from error
    return found.pw_uid, found.pw_gid


def plan_site(plan: BrokerPlan) -> str:
    """Return the id of the site of a plan."""
    return Registry.load(plan.site).site
