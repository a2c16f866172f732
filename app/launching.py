"""Becomes another program: as another user if asked, and not outliving whoever started it.

    python -I -S app/launching.py [--user UID:GID] [--reach CAPABILITY] [--nice N]
        SIGNAL PROGRAM [ARGUMENT…]

It stands between the supervisor and each program and is gone once the program runs (`exec`).

1. `--user` gives up root: PostgreSQL refuses to run as root.
2. `--reach` keeps one Linux capability for that user, so that PostgreSQL can reach a DATA_DIR or
   a virtual environment below a folder that only root may enter (`/root`), without changing the
   permissions of anything.
3. On Linux the kernel sends SIGNAL to the program when its parent dies, so that killing the
   supervisor with SIGKILL leaves nothing behind. Elsewhere the next start finds such processes.

Standard library only, and nothing of Riverain: it starts in a few hundredths of a second.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys

# prctl(2) and capabilities(7); the numbers are part of the kernel's stable interface.
PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


def main(arguments: list[str]) -> None:
    """Do what the module says; returns only by raising."""
    parser = argparse.ArgumentParser(prog="launching")
    parser.add_argument("--user", help="UID:GID to become")
    parser.add_argument("--reach", type=int, help="number of the capability to keep")
    parser.add_argument("--nice", type=int, default=0, help="how far to give way to others")
    parser.add_argument("signal", help="name of the signal to get when the parent dies")
    parser.add_argument("program", nargs=argparse.REMAINDER)
    asked = parser.parse_args(arguments)
    if asked.user:
        uid, gid = (int(number) for number in asked.user.split(":"))
        become(uid, gid, asked.reach)
    if asked.nice:
        os.nice(asked.nice)
    # Changing the user clears this setting, so it comes last.
    _prctl(PR_SET_PDEATHSIG, int(getattr(signal, asked.signal)))
    os.execv(asked.program[0], asked.program)


def become(uid: int, gid: int, capability: int | None) -> None:
    """Give up root for that user, keeping one capability if a number is given (Linux)."""
    if capability is not None:
        _prctl(PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if capability is not None:
        _keep(capability)


def _keep(capability: int) -> None:
    """Reduce the capabilities to one that programs started from here have too (ambient)."""
    mask = 1 << capability  # both capabilities in question lie in the first of the two words
    header = (ctypes.c_uint32 * 2)(LINUX_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)  # effective, permitted, inheritable
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capset(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capset")
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def _prctl(option: int, *values: int) -> None:
    if not sys.platform.startswith("linux"):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    padded = [ctypes.c_ulong(value) for value in (*values, 0, 0, 0, 0)[:4]]
    if libc.prctl(option, *padded) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option})")


if __name__ == "__main__":
    main(sys.argv[1:])
