"""The data folder of a stack: where each process keeps what it must not lose.

One folder holds one kind of square: simulated, real or replayed. Their times differ, so they never share one.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

from resik.errors import StackError
from square.files import new_secret, write_whole

KINDS = ("simulated", "real", "replay")


class DataFolder:
    """Paths of a stack's state.

    Parameters
    ----------
    root : Path
        The folder; made when missing.
    kind : str
        ``simulated``, ``real`` or ``replay``; written into the folder at first use.

    Raises
    ------
    StackError
        If the folder belongs to another kind of square or cannot be written.
    """

    def __init__(self, root: Path, kind: str) -> None:
        assert kind in KINDS
        self.root = root.absolute()
        self.kind = kind
        self._lock: TextIO | None = None
        marker = self.root / "kind"
        try:
            for name in ("logs", "run", "secrets"):
                (self.root / name).mkdir(parents=True, exist_ok=True)
            (self.root / "secrets").chmod(0o700)
            if marker.exists() and (found := marker.read_text(encoding="utf-8").strip()) != kind:
                raise StackError(
                    f"{self.root} holds a {found} square and this would be a {kind} one: their times do not mix; "
                    "name another folder with --data"
                )
            marker.write_text(kind + "\n", encoding="utf-8")
        except OSError as error:
            raise StackError(
                f"the data folder {self.root} cannot be used ({error.strerror}): name another with --data"
            ) from error

    @property
    def clock(self) -> Path:
        """Shared square time."""
        return self.root / "clock.bin"

    @property
    def spool(self) -> Path:
        """Readings that the gateway holds until ingest has them."""
        return self.root / "spool.sqlite3"

    @property
    def points(self) -> Path:
        """Embedded time-series store."""
        return self.root / "points.sqlite3"

    @property
    def relational(self) -> Path:
        """Embedded relational store."""
        return self.root / "resik.sqlite3"

    @property
    def dead_letters(self) -> Path:
        """What could not be accepted, with its reason."""
        return self.root / "deadletters.sqlite3"

    @property
    def secrets(self) -> Path:
        """One file per principal of the broker, readable by the owner only."""
        return self.root / "secrets"

    @property
    def broker(self) -> Path:
        """Files of the mosquitto of this stack, and who was shut out of any broker."""
        return self.root / "broker"

    @property
    def crew_links(self) -> Path:
        """Secret link token of each crew member (JSON)."""
        return self.root / "secrets" / "crew-links.json"

    @property
    def logs(self) -> Path:
        """One log file per process."""
        return self.root / "logs"

    @property
    def run(self) -> Path:
        """State of this run: ledger, trace, generated configuration."""
        return self.root / "run"

    def lock(self) -> None:
        """Keep a second stack out of this folder until :meth:`unlock` or the end of this process.

        Raises
        ------
        StackError
            If another process holds it.
        """
        file = (self.root / "lock").open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise StackError(
                f"{self.root} is in use by process {holder}: stop that one first (Ctrl-C in its window), or name "
                "another folder with --data"
            ) from error
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock = file

    def unlock(self) -> None:
        """Let the next stack use this folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def credentials(self, principals: Iterable[str]) -> dict[str, str]:
        """Return a password for each principal, making what is missing: 256 random bits, never shared.

        Parameters
        ----------
        principals : Iterable[str]
            Device ids and names of services.
        """
        passwords = {}
        for name in principals:
            path = self.secrets / name
            password = path.read_text(encoding="utf-8").strip() if path.exists() else ""
            if not password:
                password = new_secret()
                write_whole(path, password.encode())  # one that a power cut left empty would let anybody in
            passwords[name] = password
        return passwords


def check_unused(root: Path | None, what: str) -> None:
    """See that a folder is empty or not there yet; None is a folder that will be made.

    Raises
    ------
    StackError
        If there is something, or no folder.
    """
    if root is None or not root.exists():
        return
    if not root.is_dir() or any(root.iterdir()):
        raise StackError(f"{root} is not an empty folder: {what} needs a folder of its own")


def fresh_replay_folder(root: Path) -> DataFolder:
    """Return an empty folder for a replay, clearing what an earlier replay left there.

    Raises
    ------
    StackError
        If the folder exists and was not made by a replay: nothing of it is touched.
    """
    if root.exists() and any(root.iterdir()):
        marker = root / "kind"
        if not marker.exists() or marker.read_text(encoding="utf-8").strip() != "replay":
            raise StackError(f"{root} exists and is no replay's folder: name another with --data")
        old = DataFolder(root, "replay")
        old.lock()
        shutil.rmtree(root)
        old.unlock()
    return DataFolder(root, "replay")
