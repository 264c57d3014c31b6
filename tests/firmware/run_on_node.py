# ruff: noqa: UP031, T201 - runs on MicroPython: the report is its output
"""Runs the plain `test_*` functions of one file under MicroPython, which has no pytest.

Prints `ok NAME` or `FAILED NAME` with the traceback, then `ran N failed M`.
"""

import gc
import sys


def main(module_name):
    module = __import__(module_name)
    for part in module_name.split(".")[1:]:
        module = getattr(module, part)
    ran = failed = 0
    for name in sorted(dir(module)):
        if not name.startswith("test_"):
            continue
        gc.collect()
        ran += 1
        try:
            getattr(module, name)()
            print("ok", name)
        except Exception as error:  # noqa: BLE001 - a test may fail in any way
            failed += 1
            print("FAILED", name)
            sys.print_exception(error)  # type: ignore[attr-defined]
    print("ran %d failed %d" % (ran, failed))
    return 1 if failed or not ran else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
