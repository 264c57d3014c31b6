"""``resik deadletters``: what could not be accepted, and how it gets a second chance or goes away."""

import re
from collections import Counter
from pathlib import Path

import click

from resik.complaints import plainly
from resik.whole import CONFIG

_AGE = re.compile(r"(\d{1,4})([dh])")
_DATA = click.option("--data", type=click.Path(path_type=Path), help="Data folder of the stack [the one in var/].")


def age_ms(text: str) -> int:
    """Return an age like ``30d`` or ``12h`` [ms].

    Raises
    ------
    click.BadParameter
        If it is none.
    """
    found = _AGE.fullmatch(text)
    if found is None:
        raise click.BadParameter("write days or hours, for example 30d or 12h", param_hint="--older-than")
    return int(found[1]) * (86_400_000 if found[2] == "d" else 3_600_000)


@click.group()
def deadletters() -> None:
    """Messages that could not be accepted, each with its reason."""


@deadletters.command("list")
@_DATA
@CONFIG
@click.option("--device", help="Only of this device.")
@click.option("--code", help="Only with this reason code.")
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@plainly
def list_letters(
    *, data: Path | None, config_file: Path | None, device: str | None, code: str | None, limit: int
) -> None:
    """List them, newest first."""
    from resik.inspection import letter_lines
    from resik.letters import find_letters

    file = find_letters(data, config_file).file
    click.echo("\n".join(letter_lines(file, device=device, code=code, limit=limit)))


@deadletters.command("show")
@click.argument("letter_id", type=int)
@_DATA
@CONFIG
@plainly
def show_letter(letter_id: int, data: Path | None, config_file: Path | None) -> None:
    """Show one with what was sent."""
    from resik.inspection import letter_page
    from resik.letters import find_letters

    click.echo(letter_page(find_letters(data, config_file).file, letter_id))


@deadletters.command("replay")
@_DATA
@CONFIG
@click.option("--device", help="Only of this device.")
@click.option("--code", help="Only with this reason code.")
@click.option("--id", "ids", type=int, multiple=True, help="Only this letter; may be given more than once.")
@click.option("--dry-run", is_flag=True, help="Only say what would become of them.")
@plainly
def replay_letters(
    *,
    data: Path | None,
    config_file: Path | None,
    device: str | None,
    code: str | None,
    ids: tuple[int, ...],
    dry_run: bool,
) -> None:
    """Try them again, after a fix of devices.toml or an update.

    What can be read now is stored under its own time and leaves the list; the rest stays, with its present reason.
    Ingest does it, with the devices.toml that it read at its start: restart it after a change.
    """
    from ingest.deadletter import Choice
    from ingest.errands import Request
    from ingest.replay import Outcome
    from resik.letters import WORDS, ask, find_letters, outcome_line, preview

    letters = find_letters(data, config_file)
    choice = Choice(device=device, code=code, ids=ids or None)
    counts: Counter[str] = Counter()
    answers = preview(letters, choice) if dry_run else ask(letters, Request("replay", choice))
    for answer in answers:
        if isinstance(answer, Outcome):
            click.echo(outcome_line(answer))
            counts[answer.verdict] += 1
    total = ", ".join(f"{counts[verdict]} {words}" for verdict, words in WORDS.items())
    click.echo(f"{'(percobaan / dry run) ' if dry_run else ''}{total}")


@deadletters.command("purge")
@_DATA
@CONFIG
@click.option("--older-than", metavar="AGE", help="Only those not seen for so long, for example 30d or 12h.")
@click.option("--device", help="Only of this device.")
@click.option("--code", help="Only with this reason code.")
@click.option("--id", "ids", type=int, multiple=True, help="Only this letter; may be given more than once.")
@plainly
def purge_letters(
    *,
    data: Path | None,
    config_file: Path | None,
    older_than: str | None,
    device: str | None,
    code: str | None,
    ids: tuple[int, ...],
) -> None:
    """Delete them for good: those for which everything holds that is given. Ingest does it."""
    from ingest.deadletter import Choice
    from ingest.errands import Finish, Request
    from resik.errors import StackError
    from resik.letters import ask, find_letters, moment_before

    age = None if older_than is None else age_ms(older_than)
    letters = find_letters(data, config_file)
    before_ms = None if age is None else moment_before(letters, age)
    choice = Choice(device=device, code=code, ids=ids or None, before_ms=before_ms)
    if choice.is_everything:
        raise click.UsageError("say which: --older-than, --device, --code or --id")
    for answer in ask(letters, Request("delete", choice)):
        if isinstance(answer, Finish):
            if answer.error:
                raise StackError(answer.error)
            click.echo(f"{answer.count} surat dihapus / letters deleted")
