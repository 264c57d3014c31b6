"""A look along the whole chain: every link, the first broken one, and the books, for people and for programs."""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from ingest.errors import StoreError
from resik import balance, checkup, checkup_broker, checkup_flow
from resik.balance import Line
from resik.chain import NAMES, Chain, Finding, Words
from square.errors import SquareError

EXIT_SOUND: Final = 0
EXIT_BROKEN: Final = 1
EXIT_UNKNOWN: Final = 2

_MARKS: Final = {"ok": "✓", "note": "!", "broken": "✗", "unknown": "?", "skipped": "-"}
_SKIPPED: Final = Words("Tidak dapat diperiksa sekarang.", "Not looked at: an earlier link is broken.")


class Report(msgspec.Struct, frozen=True):
    """What a look along the chain found.

    Attributes
    ----------
    findings : list[Finding]
        In the order of the chain.
    lines : list[Line]
        The books.
    """

    findings: list[Finding]
    lines: list[Line]

    @property
    def first_broken(self) -> Finding | None:
        """The link that carries the others and is broken."""
        return next((found for found in self.findings if found.state == "broken"), None)

    @property
    def exit_code(self) -> int:
        """0 sound, 1 something is broken, 2 something could not be checked."""
        if self.first_broken is not None:
            return EXIT_BROKEN
        return EXIT_UNKNOWN if any(found.state == "unknown" for found in self.findings) else EXIT_SOUND


def examine(chain: Chain, *, with_ledger: bool = False) -> Report:
    """Look at every link. A link that fails us in a way nobody foresaw is unknown, and the others are still seen."""
    findings = list(_findings(chain))
    lines = balance.balance(chain)
    if with_ledger:
        with contextlib.suppress(StoreError, SquareError):  # the link of that store says so
            if (line := balance.ledger_line(chain)) is None:
                findings.append(checkup_flow.no_ledger(chain))
            else:
                lines.append(line)
    findings.append(checkup_flow.books(lines))
    return Report(findings, lines)


def _findings(chain: Chain) -> Iterator[Finding]:
    yield _safely("disk", lambda: checkup.disk(chain))
    yield _safely("stack", lambda: checkup.stack(chain))
    yield _safely("clock", lambda: checkup.clock(chain))
    if chain.is_running:
        broker = _safely("broker", lambda: checkup_broker.broker(chain))
        yield broker
        if broker.state == "broken":
            yield from (Finding(link, "skipped", _SKIPPED) for link in ("credentials", "probe"))
        else:
            for link, look in (
                ("broker-files", checkup_broker.broker_files),
                ("certificates", checkup_broker.certificates),
            ):
                found = _safely(link, partial(look, chain))
                if found is not None:
                    yield found
            yield from _broker_findings(chain)
    yield _safely("time-series", lambda: checkup.time_series(chain))
    beats: list[dict[str, Any]] = []

    def relational() -> Finding:
        found, more = checkup.relational(chain)
        beats.extend(more)
        return found

    yield _safely("relational", relational)
    if chain.is_running:
        yield _safely("gateway", lambda: checkup_flow.service(chain, "gateway"))
        yield _safely("ingest", lambda: checkup_flow.ingest(chain))
        yield _safely("flow", lambda: checkup_flow.flow(chain))
        yield _safely("alerts", lambda: checkup_flow.engine(chain, beats))
        yield _safely("dashboard", lambda: checkup_flow.dashboard(chain))
        yield _safely("nodes", lambda: checkup_flow.nodes(chain))
    yield _safely("dead-letters", lambda: checkup_flow.dead_letters(chain))


def _broker_findings(chain: Chain) -> Iterator[Finding]:
    try:
        yield from checkup_broker.login_and_probe(chain)
    except Exception as error:  # noqa: BLE001 - as in _safely
        yield _unknown("credentials", error)


def _safely(link: str, look: Callable[[], Any]) -> Any:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - one link that cannot be looked at must not hide the others
        return _unknown(link, error)


def _unknown(link: str, error: Exception) -> Finding:
    text = f"{type(error).__name__}: {error}"
    return Finding(link, "unknown", Words("Tidak dapat diperiksa.", f"Could not be checked ({text})."))


# -- saying it --------------------------------------------------------------------------------------------------------


def text(report: Report, data: Path) -> str:
    """Return the report for a person, Indonesian first."""
    lines = [f"Resik: {data}", ""]
    for found in report.findings:
        name_id, name_en = NAMES[found.link]
        lines.append(f"{_MARKS[found.state]} {name_id} / {name_en}: {found.what.id} {found.what.en}")
    lines += ["", *_books(report.lines)]
    broken = report.first_broken
    if broken is None:
        notes = [found for found in report.findings if found.state in {"note", "unknown"}]
        lines += ["", "Rantai utuh." if not notes else "Rantai utuh, dengan catatan:"]
        lines += ["The chain is sound." if not notes else "The chain is sound, with remarks:"]
        for found in notes:
            lines += [f"  {NAMES[found.link][0]}: {found.todo.id or found.what.id}"]
            lines += [f"  {NAMES[found.link][1]}: {found.todo.en or found.what.en}"]
    else:
        name_id, name_en = NAMES[broken.link]
        lines += [
            "",
            f"Mata rantai pertama yang putus: {name_id}. {broken.what.id}",
            f"Yang perlu dilakukan: {broken.todo.id}",
            f"First broken link: {name_en}. {broken.what.en}",
            f"What to do: {broken.todo.en}",
        ]
    return "\n".join(lines)


def _books(lines: Sequence[Line]) -> Iterator[str]:
    if not lines:
        return
    yield "Neraca / balance (masuk = jadinya / came = became):"
    for line in lines:
        came = " + ".join(f"{name} {value}" for name, value in line.came.items())
        became = " + ".join(f"{name} {value}" for name, value in line.became.items())
        yield f"  {line.name.id} / {line.name.en}: {came} = {became}; selisih / difference {line.difference}"


def as_json(report: Report) -> str:
    """Return the report for a program: one object."""
    broken = report.first_broken
    return json.dumps(
        {
            "ok": report.exit_code == EXIT_SOUND,
            "first_broken": None if broken is None else broken.link,
            "links": msgspec.to_builtins(report.findings),
            "balance": [msgspec.to_builtins(line) | {"difference": line.difference} for line in report.lines],
        },
        ensure_ascii=False,
    )
