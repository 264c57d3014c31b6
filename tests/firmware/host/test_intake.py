"""What takes the bytes of an update: every byte once and in order, whatever is there, and no more than was signed."""

from hypothesis import given
from hypothesis import strategies as st

from firmware.core.manifest import MAX_MANIFEST_BYTES, PREFIX_BYTES, SIGNATURE_BYTES
from firmware.core.slots import PIECE_BYTES
from firmware.intake import MAX_HEAD_BYTES, Head, Intake
from tests.firmware.host.update_bench import Flash, Power

SIZES = st.lists(st.integers(1, 2000), min_size=1, max_size=12)


def fill(intake, stream, most=10_000):
    """Answer from `stream`; returns the pieces asked for."""
    asked = []
    while len(asked) < most and (request := intake.next()) is not None:
        at, length = request
        assert 0 < length <= PIECE_BYTES
        intake.take(stream[at : at + length])
        asked.append(request)
    return asked


@given(SIZES, st.data())
def test_missing_files_come_whole_and_once(sizes, data):
    """Whatever is there, and wherever a link ends, each missing byte comes once, in order, into its file."""
    head = data.draw(st.integers(72, 600))
    done = data.draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    flash = Flash(Power())
    stream = bytes(head) + bytes(at * at % 251 for at in range(sum(sizes)))
    table = [(f"f{index}", size, b"") for index, size in enumerate(sizes)]
    starts = [head + sum(sizes[:index]) for index in range(len(sizes))]
    wanted = {
        at
        for start, size, is_there in zip(starts, sizes, done, strict=True)
        for at in range(start, start + size)
        if not is_there
    }
    asked = []
    for most in (data.draw(st.integers(0, 6)), 10_000):
        if all(done):
            break
        intake = Intake(flash, "/", table, bytearray(done), head)
        asked += fill(intake, stream, most)
        # what the next boot does: whole files get their name, of the others the first one goes on
        for index, (name, size, _) in enumerate(table):
            if len(flash.files.get(f"/{name}.part", b"")) == size:
                flash.rename(f"/{name}.part", f"/{name}")
                done[index] = True
    assert sorted(wanted) == [at for start, length in asked for at in range(start, start + length)]
    for start, size, (name, _, _) in zip(starts, sizes, table, strict=True):
        if start in wanted:
            assert flash.files[f"/{name}"] == stream[start : start + size]
    assert not [name for name in flash.files if name.endswith(".part")]


@given(st.binary(min_size=1, max_size=3 * PIECE_BYTES), st.integers(1, 100_000), st.integers(0, 5))
def test_a_head_takes_no_more_flash_than_a_head_may(start, bundle_bytes, pieces):
    """Anybody's bytes are bounded by the longest head, by the bundle, and by the length that they name themselves."""
    stream = (start + bytes(bundle_bytes))[:bundle_bytes]
    flash = Flash(Power())
    for most in (pieces, 10_000):  # in two boots
        intake = Intake(flash, "", Head(flash, "/ota.head", bundle_bytes), bytearray(1), 0)
        fill(intake, stream, most)
    kept = flash.files["/ota.head.part"]
    assert stream.startswith(kept)
    assert len(kept) <= min(bundle_bytes, MAX_HEAD_BYTES)
    if len(stream) >= PREFIX_BYTES:
        named = PREFIX_BYTES + (stream[5] << 8 | stream[6]) + SIGNATURE_BYTES
        assert len(kept) == max(min(named, bundle_bytes, MAX_HEAD_BYTES), min(PIECE_BYTES, bundle_bytes))


def test_the_longest_head_is_that_of_the_longest_manifest():
    """The two modules agree: only one of them is in memory at a time."""
    assert MAX_HEAD_BYTES == PREFIX_BYTES + MAX_MANIFEST_BYTES + SIGNATURE_BYTES
