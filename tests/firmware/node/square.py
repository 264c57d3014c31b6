"""The real square around real nodes: mosquitto, the gateway and ingest as processes, the embedded store."""

import contextlib
import sqlite3
from contextlib import ExitStack
from pathlib import Path

from ingest.stores import open_store
from tests.integration.gateway_process import GatewayProcess
from tests.integration.test_ingest_worker import BINS, SITE, Ingest
from tests.services import Server, start_mosquitto, wait_until

__all__ = ["BINS", "SITE", "Square"]

DAY_MS = 86_400_000


class Square:
    """Everything between a node and the store.

    Parameters
    ----------
    folder
        Where it all lives.
    """

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self.broker: Server = start_mosquitto(folder / "broker")
        self._stack.callback(self.broker.stop)
        store_url = f"sqlite:///{folder / 'points.sqlite3'}"
        (folder / "ingest").mkdir()
        self.ingest = Ingest(folder / "ingest", self.broker.port, store_url).start()
        self._stack.callback(self.ingest.end)
        (folder / "gateway").mkdir()
        self.gateway = GatewayProcess(folder / "gateway", self.broker.port).start()
        self._stack.callback(self.gateway.stop)
        self._store_url = store_url

    def stored(self, device: str, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """Return boot and seq of every point of a device, duplicates included, by point time."""
        store = open_store(self._store_url, read_only=True)
        try:
            found = store.identities("bin", site=SITE, start_ms=from_ms - DAY_MS, end_ms=to_ms + DAY_MS)
            return [(boot, seq) for name, boot, seq in found if name == device]
        finally:
            store.close()

    def arrived(self) -> list[tuple[str, int]]:
        """End the gateway, which locks its spool, and return device and seq of every reading as it first took it."""
        self.gateway.stop()
        with contextlib.closing(sqlite3.connect(f"file:{self.gateway.spool_file}?mode=ro", uri=True)) as spool:
            return spool.execute("SELECT device, seq FROM rows WHERE kind = 'bin' ORDER BY id").fetchall()

    def settle(self) -> None:
        """Wait until the store has everything that the gateway took."""
        wait_until(lambda: self.gateway.counts()["waiting"] == 0, 20, "the spool to be settled")

    def close(self) -> None:
        """End every process."""
        self._stack.close()
