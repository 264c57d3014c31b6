"""How the suite is spread over processes: one whole square at a time, everything else beside it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each file to one process, and all tests of whole squares to the same one, which begins with them.

    A square starts about eight processes: two squares at once on two cores would measure each other. The files with
    the longest waits come first, so that no process is left alone with one at the end.
    """
    for item in items:
        is_square = ROOT / "e2e" in item.path.parents
        item.add_marker(pytest.mark.xdist_group("squares" if is_square else str(item.path.relative_to(ROOT))))
    order = {"e2e": 0, "integration": 1, "firmware": 2}
    items.sort(key=lambda item: order.get(item.path.relative_to(ROOT).parts[0], 3))
