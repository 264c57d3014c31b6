"""What a number of a model is: value, unit, and where it comes from; and the table of all of them.

`python -m simulators.parameters docs/simulator.md` puts the table between the marks of the page.
"""

import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

BEGIN, END = "<!-- parameters: begin -->", "<!-- parameters: end -->"
_HEAD = "| parameter | value | unit | source |\n|---|---|---|---|\n"


class Parameter(NamedTuple):
    """One number of a model; docs/simulator.md has a row for each.

    Attributes
    ----------
    value, unit
        The number and what it counts.
    source
        Where it comes from; starts with "assumed" when nobody published it.
    """

    value: float
    unit: str
    source: str


def every_parameter() -> Iterator[tuple[str, str, Parameter]]:
    """Yield module, name and parameter of each `PARAMETERS` table of the simulators, in the order of the modules."""
    package = import_module("simulators")
    for found in pkgutil.walk_packages(package.__path__, "simulators."):
        if "device_fakes" in found.name:  # modules of the device, for another interpreter
            continue
        for name, parameter in getattr(import_module(found.name), "PARAMETERS", {}).items():
            yield found.name.removeprefix("simulators."), name, parameter


def table() -> str:
    """Return the table of all parameters as Markdown."""
    rows, before = [], ""
    for module, name, one in every_parameter():
        if module != before:
            rows.append(f"| **`{module}`** | | | |\n")
            before = module
        rows.append(f"| `{name}` | {one.value:g} | {one.unit} | {one.source} |\n")
    return _HEAD + "".join(rows)


def write_table(page: Path) -> None:
    """Put the table between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{table()}{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    write_table(Path(sys.argv[1]))
