"""docs/site-plan.md describes the format that the code reads."""

from pathlib import Path

import pytest

from square import plan_schema
from square.plan_check import REACH_M
from square.plan_schema import ROLES

DOC = (Path(__file__).parents[3] / "docs" / "site-plan.md").read_text(encoding="utf-8")
TABLES = {name: value for name, value in vars(plan_schema).items() if name.endswith("_FIELDS")}
FIELDS = [
    *[(name, field) for name, fields in TABLES.items() for field in fields],
    *[(f"role {role.name}", field) for role in ROLES.values() for field in role.fields],
]


@pytest.mark.parametrize(("table", "field"), FIELDS, ids=[f"{table}-{field.name}" for table, field in FIELDS])
def test_every_key_is_documented(table, field):
    """Each key has its row: value, whether it is required with its default, meaning."""
    has_default = field.default not in (None, (), "")
    need = "yes" if field.required else f"no, {field.default}" if has_default else "no"
    assert f"| `{field.name}` | {field.expected} | {need} | {field.about} |" in DOC, table


@pytest.mark.parametrize("role", ROLES.values(), ids=ROLES)
def test_every_role_is_documented(role):
    """Each role has its row with geometry, meaning and further properties."""
    further = ", ".join(f"`{field.name}`" for field in role.fields)
    assert f"| `{role.name}` | {role.geometry} | {role.about} | {further} |" in DOC


def test_reach_is_documented():
    """The distance within which a bin needs a path is the one the check uses."""
    assert f"a path vertex within {REACH_M:.0f} m" in " ".join(DOC.split())
