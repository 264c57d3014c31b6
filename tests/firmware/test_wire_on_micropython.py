"""The wire module on the interpreter that the nodes run."""

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.contract import vectors
from tests.firmware import check_vectors, micropython

SETS = ("topics", "acks", "up_good", "up_bad", "status", "orders")
MPY_BUDGET_BYTES = 12_000


def compile_wire(folder: Path) -> Path:
    """Put the bytecode of the wire module, as it is flashed, into a package below ``folder`` and return its file."""
    (folder / "firmware").mkdir()
    (folder / "firmware" / "__init__.py").touch()
    target = folder / "firmware" / "wire.mpy"
    source = micropython.ROOT / "firmware" / "wire.py"
    subprocess.run(
        [*micropython.require_mpy_cross(), str(source), "-o", str(target)], check=True, capture_output=True, text=True
    )
    return target


def write_cases(path: Path, cases: list[dict[str, Any]]) -> int:
    """Write the file that check_vectors.py reads and return the number of cases."""
    with path.open("wb") as file:
        for case in cases:
            payload = case.get("payload", b"")
            rest = {key: value for key, value in case.items() if key != "payload"}
            file.write(json.dumps(rest | {"size": len(payload)}).encode() + b"\n" + payload)
    return len(cases)


def all_cases(*, on_node: bool) -> list[dict[str, Any]]:
    """Return every example; for a node without those that its JSON parser is known to be lenient about."""
    cases = [vector | {"set": name} for name in SETS for vector in vectors.load(name)]
    return [case for case in cases if not (on_node and case.get("lenient_on_node"))]


def test_every_vector_on_micropython_with_the_heap_of_a_node(tmp_path: Path) -> None:
    """Real MicroPython in 100 K of heap, running bytecode, gives the expected value or error code for every example."""
    compile_wire(tmp_path)
    count = write_cases(tmp_path / "cases", all_cases(on_node=True))
    result = micropython.run(Path(check_vectors.__file__), str(tmp_path / "cases"), first=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.splitlines()[-1] == f"checked {count} failed 0"
    assert count > 250


def test_the_runner_reports_a_wrong_expectation(tmp_path: Path) -> None:
    """A planted mistake in each kind of example makes the run fail: the runner is able to fail."""
    cases = [
        {"set": "topics", "topic": "resik/pasuruan/rsk-b001/up/bin", "expect": None},
        {"set": "acks", "name": "a", "payload": b'{"v":1,"boot":1,"upto":2}', "expect": [1, 3, []]},
        {"set": "up_bad", "name": "b", "kind": "bin", "payload": b"{}", "depth": "envelope", "error": "bad-json"},
        {"set": "status", "name": "d", "payload": b'{"v":1,"boot":1,"up_s":2}', "expect": {"boot": 1}},
        {"set": "orders", "name": "e", "decoder": "cmd", "payload": b'{"v":1,"id":1,"cmd":"reboot"}', "expect": {}},
        {
            "set": "up_good",
            "name": "c",
            "topic": "resik/pasuruan/rsk-b001/up/bin",
            "payload": b'{"v":1,"boot":1,"r":[{"seq":1,"ts":1,"fill_pct":7}]}',
            "expect": {"boot": 1, "oldest_seq": None, "up_s": None, "readings": [{"seq": 1, "ts": 1, "fill_pct": 8}]},
        },
    ]
    write_cases(tmp_path / "cases", cases)
    result = micropython.run(Path(check_vectors.__file__), str(tmp_path / "cases"))
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1] == "checked 6 failed 6"


def test_cpython_agrees_with_the_same_runner(tmp_path: Path) -> None:
    """The checker itself accepts the same examples on CPython, the lenient ones included."""
    write_cases(tmp_path / "cases", all_cases(on_node=False))
    assert check_vectors.main(str(tmp_path / "cases")) == 0


def test_wire_compiles_to_small_bytecode(tmp_path: Path) -> None:
    """mpy-cross accepts the module and the bytecode stays inside its budget; the size is printed."""
    size = compile_wire(tmp_path).stat().st_size
    print(f"firmware/wire.py: {size} bytes of bytecode")  # noqa: T201 - shown by -rP
    assert 500 < size < MPY_BUDGET_BYTES


def test_micropython_imports_the_bytecode(tmp_path: Path) -> None:
    """The compiled module, as it is flashed, loads and works without its source."""
    target = compile_wire(tmp_path)
    script = tmp_path / "main.py"
    script.write_text("from firmware import wire\nprint(wire.__file__, wire.topic_up('pasuruan', 'rsk-b001', 'bin'))\n")
    result = micropython.run(script, first=tmp_path)
    assert result.stdout.strip() == f"{target} resik/pasuruan/rsk-b001/up/bin", result.stderr
