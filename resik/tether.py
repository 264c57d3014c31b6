"""Runs a command that ends when we end: ``python -m resik.tether COMMAND...``.

A stack that is killed without a word cannot stop its children. This asks the kernel to do it (Linux:
prctl(2), PR_SET_PDEATHSIG) and then becomes the command, so that no extra process stays. Elsewhere it only becomes
the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(command: list[str]) -> None:
    """Ask for SIGTERM at the death of the parent, then become ``command``."""
    parent = int(os.environ.pop("RESIK_TETHER_PARENT", "0"))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if parent and os.getppid() != parent:  # it died before we could ask
            sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - becoming the command is the purpose


if __name__ == "__main__":
    main(sys.argv[1:])
