"""The shared tests against the application with the names that a node has: whoever calls it means the same."""

import re
import shutil
from pathlib import Path

import pytest

from resik import release
from square.renaming import renaming
from square.shortening import with_names
from tests.firmware import micropython

BOTH = Path(__file__).parent / "both"
FILES = sorted(BOTH.rglob("test_*.py"))


@pytest.fixture(scope="module")
def renamed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a tree of firmware and shared tests in which every name that may be short is short."""
    short = renaming({**release.application_files("air"), **release.application_files("bin")})
    root = tmp_path_factory.mktemp("renamed")
    models = micropython.ROOT / "simulators/device_fakes/parts"
    shutil.copytree(models, root / "simulators/device_fakes/parts")
    # models of parts are no code of a node: what they call by a name, and keywords that make their worlds, stay
    words = set(re.findall(r"\w+", " ".join(path.read_text() for path in models.glob("*.py"))))
    words.update(re.findall(r"\b(\w+)=", " ".join(path.read_text() for path in BOTH.rglob("*.py"))))
    short = {name: new for name, new in short.items() if name not in words}
    assert len(short) > 150
    for folder in (micropython.ROOT / "firmware", BOTH):
        for path in folder.rglob("*.py"):
            target = root / path.relative_to(micropython.ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text(encoding="utf-8")
            target.write_text(text if "device" in path.parts else with_names(text, short), encoding="utf-8")
    for folder in ("tests", "tests/firmware"):
        (root / folder / "__init__.py").touch()
    return root


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_on_micropython(path: Path, renamed: Path) -> None:
    """As many tests pass as there are; a text of a test that names something of the application is no obstacle."""
    wanted = len(re.findall(r"^def test_", path.read_text(encoding="utf-8"), re.MULTILINE))
    module = ".".join(path.relative_to(micropython.ROOT).with_suffix("").parts)
    result = micropython.run(Path(__file__).parent / "run_on_node.py", module, first=renamed, heap="400K")
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == f"ran {wanted} failed 0"
