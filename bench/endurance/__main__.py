"""Run the campaign: ``python -m bench.endurance [--only 1 7] [--short] [--seed N] [--keep] [--write PAGE]``.

Prints what became of each check and one line of JSON; exit code 1 on any loss, duplicate or failed check.
`make endure` runs all of it and writes the report into docs/endurance.md.
"""

import argparse
import json
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from bench.endurance.campaign import Check, Outcome, choose, run_campaign
from bench.endurance.report import page_with, table, totals, versions

SHORT_SCALE = 0.1
_BAR_WIDTH = 18


def main() -> int:
    """Do what the command line says; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.endurance", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=[], metavar="CHECK", help="numbers or names of checks")
    parser.add_argument("--short", action="store_true", help="a tenth of the size")
    parser.add_argument("--seed", type=int, help="repeats the choices of an earlier run")
    parser.add_argument("--keep", action="store_true", help="keep files and logs of all checks")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write the report there")
    arguments = parser.parse_args()
    checks = choose(arguments.only)
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    root = Path(tempfile.mkdtemp(prefix="resik-endurance-"))
    used = versions()  # before others change what lies in the folder
    started_s = time.monotonic()
    is_terminal = sys.stderr.isatty()

    def say(number: int, check: Check, words: str) -> None:
        filled = _BAR_WIDTH * number // len(checks)
        bar = "#" * filled + "." * (_BAR_WIDTH - filled)
        line = f"[{bar}] {time.monotonic() - started_s:4.0f} s  {check.key}: {words}"
        if is_terminal:
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", file=sys.stderr, flush=True)

    def done(outcome: Outcome) -> None:
        found = outcome.facts.verdict
        clear = "\r\x1b[K" if is_terminal else ""
        words = outcome.reason or "; ".join(outcome.facts.problems)
        print(
            f"{clear}{outcome.state:8} {outcome.check.key:8} {outcome.seconds:5.1f} s  made {found.made:,}, "
            f"stored {found.stored:,}, dead {found.dead:,}, lost {found.lost}, twice {found.duplicated}"
            f"{'  ' + words if words else ''}",
            file=sys.stderr,
            flush=True,
        )

    outcomes = run_campaign(
        checks,
        root,
        seed=seed,
        scale=SHORT_SCALE if arguments.short else 1.0,
        keep=arguments.keep,
        say=say,
        done=done,
    )
    seconds = time.monotonic() - started_s
    found = totals(outcomes, seed=seed, seconds=seconds)
    print(json.dumps(found))
    if arguments.write is not None:
        text = table(outcomes, seed=seed, seconds=seconds, is_short=arguments.short, used=used)
        page = page_with(arguments.write.read_text(encoding="utf-8"), text)
        arguments.write.write_text(page, encoding="utf-8")
    if arguments.keep or found["failed"]:
        print(f"files and logs: {root}", file=sys.stderr)
    else:
        shutil.rmtree(root, ignore_errors=True)
    return 1 if found["failed"] or found["lost"] or found["duplicated"] else 0


if __name__ == "__main__":
    sys.exit(main())
