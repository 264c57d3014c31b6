"""Where the reference data sets are; tests on them skip with a printed reason when they are not there."""

import os
from pathlib import Path

import pytest

_DEFAULT = Path(__file__).resolve().parents[4] / "shared" / "data"


def reference_file(name: str) -> Path:
    """Return a file of the reference data, or skip the test."""
    folder = Path(os.environ.get("RESIK_REFERENCE_DATA", _DEFAULT))
    path = folder / name
    if not path.exists():
        pytest.skip(f"reference data {name} is not in {folder}: set RESIK_REFERENCE_DATA")
    return path
