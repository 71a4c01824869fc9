"""Turns into another program that is killed as soon as its parent is gone, however that ends.

Run as `python tied.py PARENT COMMAND…`. A program of its own, as the kernel must be asked by the
child itself, and nothing may run between fork and exec where there are threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def tied(command: Sequence[str]) -> list[str]:
    """The command to run instead, from the thread that is to be outlived by nothing of it."""
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def main(parent: int, command: list[str]) -> None:
    """Becomes the command. Linux alone can be asked; elsewhere the next start sweeps."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # gone before we could ask
            return
    os.execv(command[0], command)  # noqa: S606 (a command that was found, without a shell)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
