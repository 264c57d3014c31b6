"""The commands about dead letters, asked of an ingest that runs in a thread."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ingest.deadletter import DeadLetter, SqliteDeadLetters
from ingest.errands import Errands, folder_of
from ingest.replay import Replay
from resik import letters as asking
from resik.cli import main
from square.registry import Registry
from tests.unit.ingest.batches import BOOT, NOW_MS, NOW_S
from tests.unit.ingest.test_replay import Store
from tests.unit.square.small_site import write_site


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a configured ingest with three dead letters: two that can be read today, one that cannot."""
    write_site(tmp_path / "site")
    (tmp_path / "resik.toml").write_text(
        f'[ingest]\nsite = "{tmp_path / "site"}"\ndead_letter_file = "{tmp_path / "dead.sqlite3"}"\n'
    )
    store = SqliteDeadLetters(tmp_path / "dead.sqlite3")
    store.prepare()
    for seq, distance_mm in ((1, 700), (2, 800), (3, 99_999)):
        body = json.dumps({"seq": seq, "ts": NOW_S, "distance_mm": distance_mm}).encode()
        topic = "resik/small/rsk-b001/up/bin"
        store.put([DeadLetter("rsk-b001", topic, "unknown-device", "why", body, boot=BOOT, seq=seq)], NOW_MS)
    store.close()
    return tmp_path


def resik(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["deadletters", *words, "--config", str(folder / "resik.toml")])


@contextmanager
def running_ingest(folder: Path, points: Store) -> Iterator[None]:
    """Do errands as a worker does, until the end of the block."""
    letters = SqliteDeadLetters(folder / "dead.sqlite3")
    errands = Errands(Replay(Registry.load(folder / "site"), points, letters), letters)
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            errands._next_look_s = 0.0
            errands.step()

    worker = threading.Thread(target=work)
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(10)
        errands.close()
        letters.close()


def left(folder: Path) -> dict[str, int]:
    reader = SqliteDeadLetters(folder / "dead.sqlite3", read_only=True)
    try:
        return reader.counts()
    finally:
        reader.close()


def test_letters_of_a_configured_ingest_are_listed_and_shown(folder: Path) -> None:
    """Services that run one by one have no data folder: their file of settings names the letters."""
    listed = resik(folder, "list", "--limit", "1")
    assert listed.exit_code == 0, listed.output
    head, newest = listed.output.splitlines()
    assert head == "3: unknown-device 3"
    shown = resik(folder, "show", newest.split()[0])
    assert shown.exit_code == 0, shown.output
    assert "99999" in shown.output


def test_replay_says_of_each_letter_what_became_of_it(folder: Path) -> None:
    """Two are stored and gone, the third stays with the reason of today; nothing is left in the folder of requests."""
    points = Store()
    with running_ingest(folder, points):
        result = resik(folder, "replay")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["1", "2", "3"]
    assert "tersimpan / stored: bin-001 boot 305419896 seq 1" in lines[0]
    assert "tetap / kept: bad-value: distance_mm" in lines[2]
    assert lines[3] == "2 tersimpan / stored, 0 selesai / done, 1 tetap / kept"
    assert (len(points.points), left(folder)) == (2, {"bad-value": 1})
    assert not list(folder_of(folder / "dead.sqlite3").iterdir())


def test_a_dry_run_needs_no_ingest_and_changes_nothing(folder: Path) -> None:
    """The same verdicts; letters, requests and store are as before."""
    result = resik(folder, "replay", "--dry-run", "--id", "1", "--id", "3")
    assert result.exit_code == 0, result.output
    assert (
        result.output.splitlines()[-1] == "(percobaan / dry run) 1 tersimpan / stored, 0 selesai / done, 1 tetap / kept"
    )
    assert left(folder) == {"unknown-device": 3}
    assert not folder_of(folder / "dead.sqlite3").exists()


def test_a_request_that_nobody_takes_is_kept_for_later(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a running ingest the command says so; when it runs, the letters are tried."""
    monkeypatch.setattr(asking, "ANSWER_WITHIN_S", 0.0)
    result = resik(folder, "replay")
    assert result.exit_code == 2
    assert "the request is kept" in result.output
    points = Store()
    monkeypatch.setattr(asking, "ANSWER_WITHIN_S", 10.0)
    with running_ingest(folder, points):
        resik(folder, "purge", "--id", "99")  # requests are done in order: behind this one the first is done
    assert left(folder) == {"bad-value": 1}
    assert len(points.points) == 2


def test_purge_deletes_what_is_named_and_asks_for_a_name(folder: Path) -> None:
    """By code and age together; without a choice nothing happens; an age that is none is refused."""
    assert resik(folder, "purge").exit_code == 2
    refused = resik(folder, "purge", "--older-than", "soon")
    assert refused.exit_code == 2
    assert "30d" in refused.output
    with running_ingest(folder, Store()):
        kept = resik(folder, "purge", "--older-than", "9999d", "--code", "unknown-device")
        gone = resik(folder, "purge", "--id", "2", "--device", "rsk-b001")
    assert kept.output == "0 surat dihapus / letters deleted\n"
    assert gone.output == "1 surat dihapus / letters deleted\n"
    assert left(folder) == {"unknown-device": 2}


def test_letters_that_were_never_kept_are_named_in_one_sentence(folder: Path) -> None:
    """No file, no traceback."""
    (folder / "dead.sqlite3").unlink()
    result = resik(folder, "replay")
    assert result.exit_code == 2
    assert "not there yet" in result.output
