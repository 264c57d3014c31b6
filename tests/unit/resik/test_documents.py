"""The documents of the command and the stack say what the code does."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

import resik
from resik.cli import main
from resik.demo import DemoReport

ROOT = Path(__file__).resolve().parents[3]
INSTALLED = Path(resik.__file__).parents[1]


def test_the_demo_page_explains_every_key():
    """Each key of the report has a row in docs/demo.md."""
    text = (ROOT / "docs" / "demo.md").read_text(encoding="utf-8")
    for key in DemoReport.__struct_fields__:
        assert f"`{key}`" in text


def test_links_of_the_documents_lead_somewhere():
    """Every relative link of README and docs names a file that exists."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted(ROOT.glob("*/README.md"))]

    def exists(page, target):
        file = (page.parent / target).resolve()
        # code that a page links to stands beside it, or where the wheel put it
        return file.exists() or (INSTALLED / file.relative_to(ROOT)).exists()

    missing = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not exists(page, target)
    ]
    assert not missing


@pytest.mark.parametrize("words", [[], ["up"], ["demo"], ["replay"], ["site"], ["site", "check"], ["gateway", "run"]])
def test_every_command_explains_itself(words):
    """--help works for each command and needs nothing else."""
    result = CliRunner().invoke(main, [*words, "--help"])
    assert result.exit_code == 0
    assert "Usage:" in result.output
