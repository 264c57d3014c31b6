"""Supervision of one child process."""

import sys

from resik.process import Child, last_words
from tests.services import wait_until


def child(tmp_path, code):
    return Child("example", [sys.executable, "-c", code], {}, tmp_path / "example.log")


def test_a_death_is_followed_by_a_restart(tmp_path):
    """A process that dies with any code but 2 comes back after a pause."""
    one = child(tmp_path, "import sys; sys.exit(1)")
    one.start()
    wait_until(lambda: one.exit_code == 1, 5, "the death")
    wait_until(lambda: one.supervise() is None and one.restarts >= 1, 5, "the restart")
    one.stop()


def test_a_fault_for_a_person_ends_with_its_last_words(tmp_path):
    """Exit code 2 is not retried: what the process said last is handed up."""
    one = child(tmp_path, "import sys; print('the token is wrong'); sys.exit(2)")
    one.start()
    wait_until(lambda: one.exit_code == 2, 5, "the death")
    assert one.supervise() == "the token is wrong"
    assert one.restarts == 0


def test_stop_does_not_wait_for_ever(tmp_path, monkeypatch):
    """A process that ignores SIGTERM is killed after a while."""
    monkeypatch.setattr("resik.process.STOP_WITHIN_S", 0.5)
    one = child(
        tmp_path, "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
    )
    one.start()
    wait_until(lambda: "up" in one.log.read_text(), 5, "the process to be ready")
    assert one.stop() == -9


def test_last_words_are_what_a_person_should_read(tmp_path):
    """Of a line of ours the service and message are shown, in either format; of any other line the line."""
    log = tmp_path / "ingest.log"
    log.write_text("2026-11-24T08:17:46+0000 ERROR   ingest.worker: store_token_file is wrong\n")
    assert last_words(log) == "ingest: store_token_file is wrong"
    log.write_text('{"level": "ERROR", "service": "ingest", "msg": "store_token_file is wrong"}\n')
    assert last_words(log) == "ingest: store_token_file is wrong"
    log.write_text("plain\n")
    assert last_words(log) == "plain"
    log.write_text("")
    assert last_words(log) == last_words(tmp_path / "none") == ""
