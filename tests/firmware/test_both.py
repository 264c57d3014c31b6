"""The shared tests on the interpreter and the heap of a node; pytest collects the same files on CPython by itself."""

import ast
from pathlib import Path

import pytest

from tests.firmware import micropython

BOTH = Path(__file__).parent / "both"
FILES = sorted(BOTH.rglob("test_*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_on_micropython(path: Path) -> None:
    """Every test function of the file passes on MicroPython in 100 K of heap, and none is skipped in silence."""
    wanted = [
        node.name
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    ]
    module = ".".join(path.relative_to(micropython.ROOT).with_suffix("").parts)
    result = micropython.run(Path(__file__).parent / "run_on_node.py", module)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == f"ran {len(wanted)} failed 0"


def test_the_runner_reports_a_failure(tmp_path: Path) -> None:
    """A planted failing test makes the run fail: the runner is able to fail."""
    (tmp_path / "planted.py").write_text("def test_planted():\n    assert 1 == 2\n")
    script = tmp_path / "start.py"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\nfrom tests.firmware import run_on_node\n"
        "sys.exit(run_on_node.main('planted'))\n"
    )
    result = micropython.run(script)
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "ran 1 failed 1"
