"""Fixtures of the gateway's unit tests: a spool in a folder of its own, and a disk with plenty of room."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.spool import Spool
from tests.unit.gateway.fakes import NOW_MS, roomy


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """Give an empty spool."""
    spool = Spool(tmp_path / "spool.sqlite3", now_ms=NOW_MS, disk=roomy(tmp_path))
    yield spool
    spool.close()
