"""docs/api.md names every route and every error code."""

import re
from pathlib import Path

import dashboard_api
from dashboard_api.access import ROLES

ROOT = Path(__file__).parents[3]
PACKAGE = Path(dashboard_api.__file__).parent
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def test_every_api_route_is_documented_with_its_role() -> None:
    """The table of calls has a line per API route, and its role is the declared one."""
    lines = dict(re.findall(r"^\| `((?:GET|POST) /\S+)` \| (\w+) \|", PAGE, re.MULTILINE))
    expected = {f"{method} {path}": str(role) for (method, path), role in ROLES.items() if path.startswith("/api/v1/")}
    assert {call: role for call, role in lines.items() if call != "GET /healthz"} == expected


def test_every_error_code_is_documented() -> None:
    """Each code that the package can answer stands in the table of errors, and no other does."""
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.glob("**/*.py")]
    raised = {code for text in sources for code in re.findall(r'Error\(\s*(?:# [^\n]*\n\s*)?"([a-z-]+)",', text)}
    handlers = (PACKAGE / "handlers.py").read_text(encoding="utf-8")
    raised |= set(re.findall(r'\d{3}: \("([a-z-]+)"', handlers))
    raised |= {f"{store}-{word}" for store in ("database", "store") for word in ("unavailable", "refused")}
    table = PAGE.partition("| status | codes |")[2]
    documented = set(re.findall(r"`([a-z]+(?:-[a-z]+)*)`", table)) - {"state", "current", "where"}
    assert documented == raised
