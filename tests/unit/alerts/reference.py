"""Where the reference data sets are; tests on them skip with a printed reason when they are not there."""

import os
from pathlib import Path

import pytest


def reference_file(name: str) -> Path:
    """Return a file of the reference data, or skip the test."""
    folder = os.environ.get("RESIK_REFERENCE_DATA")
    default = Path(__file__).parents[4] / "shared" / "data"
    path = (Path(folder) if folder else default) / name
    if not path.is_file():
        pytest.skip(f"reference data {name} is not in {path.parents[1]}: set RESIK_REFERENCE_DATA")
    return path
