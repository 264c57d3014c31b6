"""What a person at the terminal asks of a running stack."""

import urllib.error
import urllib.request

import pytest

from tests.e2e.square import run_resik, running_square
from tests.services import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def square(tmp_path_factory):
    """Give a square without a simulator."""
    with running_square(tmp_path_factory.mktemp("inspection")) as running:
        yield running


def resik(square, *words):
    done = run_resik(*words, "--data", str(square.stack.folder.root), timeout_s=30)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stdout + done.stderr


def status_of(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code


def test_crew_links_work_and_can_be_renewed(square):
    """Every crew member is listed with a link that opens; a renewed link replaces the old one at once."""
    code, output = resik(square, "crews")
    assert code == 0
    links = {line.split()[2]: line.split()[-1] for line in output.splitlines()}
    assert set(links) == {crew.id for crew in square.stack.site.crews}
    api = links["pagi-1"].replace("/petugas/", "/api/v1/crew/")
    assert status_of(api) == 200
    code, output = resik(square, "crews", "--renew", "pagi-1")
    assert code == 0
    assert output.strip() != links["pagi-1"]
    assert status_of(api) == 404
    assert status_of(output.strip().replace("/petugas/", "/api/v1/crew/")) == 200
    assert output.strip() in resik(square, "crews")[1]
    code, output = resik(square, "crews", "--renew", "nobody")
    assert code == 2
    assert "no crew member nobody" in output


def test_gateway_explains_itself(square):
    """The status is in words, Indonesian first, with the exit code of a check."""
    code, output = resik(square, "gateway", "status")
    assert code == 0
    assert output.startswith("Gerbang data: bekerja")
    assert "Gateway: working" in output
    assert "devices.toml" in output, "none of the devices was ever heard, and it says what to do"


def test_dead_letters_can_be_read(square):
    """A message that could not be accepted is listed with its reason and shown quoted."""
    assert "Tidak ada surat mati" in resik(square, "deadletters", "list")[1]
    device = square.device("rsk-b001", boot=1)
    device.send_raw(b'{"v":1,\x1b[31m')
    wait_until(lambda: sum(square.dead().values()) == 1, 15, "the dead letter")
    code, output = resik(square, "deadletters", "list")
    assert code == 0
    assert "bad-json" in output
    assert "rsk-b001" in output
    letter_id = output.splitlines()[1].split()[0]
    code, output = resik(square, "deadletters", "show", letter_id)
    assert code == 0
    assert "\x1b" not in output
    assert "\\u001b[31m" in output
    assert resik(square, "deadletters", "show", "999")[0] == 2
    device.close()


def test_dead_letters_can_be_tried_again_and_deleted(square):
    """A reading that is still wrong stays with its reason; it goes when somebody says so."""
    device = square.device("rsk-b002", boot=2)
    before = sum(square.dead().values())
    device.send({"seq": 1, "ts": square.now_s(), "distance_mm": 700_000})
    wait_until(lambda: sum(square.dead().values()) == before + 1, 15, "the dead letter")
    code, output = resik(square, "deadletters", "replay", "--device", "rsk-b002")
    assert code == 0, output
    assert "tetap / kept: bad-value" in output
    assert output.splitlines()[-1] == "0 tersimpan / stored, 0 selesai / done, 1 tetap / kept"
    code, output = resik(square, "deadletters", "purge", "--device", "rsk-b002")
    assert (code, output) == (0, "1 surat dihapus / letters deleted\n")
    assert sum(square.dead().values()) == before
    device.close()


def test_a_lost_store_is_completed_from_the_spool(tmp_path):
    """The time-series store is lost; `resik gateway resend` and a start bring back every reading, once each."""
    with running_square(tmp_path / "data") as square:
        device = square.device("rsk-b003", boot=5)
        start = square.now_s() - 600
        device.send(*({"seq": seq, "ts": start + seq, "fill_pct": seq} for seq in range(1, 41)))
        wait_until(lambda: device.upto == 40, 15, "the acks")
        square.settled()
        device.close()
        code, output = resik(square, "gateway", "resend")
        assert code != 0  # the running gateway keeps its spool to itself
        before = sorted(square.stored())
        assert len(before) == 40
    for file in (tmp_path / "data").glob("points.sqlite3*"):
        file.unlink()
    code, output = resik(square, "gateway", "resend", "--hours", "24")
    assert (code, output.split()[0]) == (0, "40")
    with running_square(tmp_path / "data") as square:
        wait_until(lambda: len(square.stored()) == 40, 30, "the readings to come back")
        square.settled()
        assert sorted(square.stored()) == before


def test_without_a_stack_the_sentence_says_what_to_do(tmp_path):
    """Asked in a folder where nothing runs, each command names the way to start."""
    for words in (["crews"], ["gateway", "status"], ["deadletters", "list"]):
        done = run_resik(*words, cwd=tmp_path, timeout_s=30)
        assert done.returncode == 2
        assert "make run" in done.stderr
