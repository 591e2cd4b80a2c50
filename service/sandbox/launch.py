"""Run as a script between spawn and exec: tie this process to its parent's life, shed root, become it.

A file of its own, with a bare interpreter (`python -I -S`, 15 ms), because the same steps in a `preexec_fn`
would run Python between fork and exec of a program that may have threads, which can deadlock and which 3.12
warns about. Standard library only, and as little of it as will do.

    launch.py <parent's pid> <signal> <identity> <command> [<argument> …]

The identity is `same`, `namespace` (user 1000 of a user namespace of its own, for programs that refuse to
run as root) or `<uid>:<gid>`.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1
FAILED = 125


def end_with_parent(death_signal: int, parent_pid: int) -> None:
    """Ask the kernel for `death_signal` when the parent ends; leave at once if it already has."""
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    # The parent may have ended before the request was in place; then nobody would ever tell us.
    if os.getppid() != parent_pid:
        os._exit(FAILED)


def enter_user_namespace() -> None:
    """Look like an ordinary user to ourselves while files stay owned by root outside."""
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        raise OSError(ctypes.get_errno(), "unshare(CLONE_NEWUSER)")
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/gid_map").write_text(f"1000 {gid} 1")
    Path("/proc/self/uid_map").write_text(f"1000 {uid} 1")


def take_identity(identity: str) -> None:
    if identity == "namespace":
        enter_user_namespace()
    elif identity != "same":
        uid, gid = (int(part) for part in identity.split(":"))
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def main(arguments: list[str]) -> None:
    parent_pid, death_signal, identity, *command = arguments
    try:
        # This order: a change of identity clears the parent-death signal.
        take_identity(identity)
        end_with_parent(int(death_signal), int(parent_pid))
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.execv(command[0], command)  # noqa: S606 — it is what this file is for
    except OSError as error:
        sys.stderr.write(f"cannot start {command[0]} as {identity}: {error}\n")
        sys.exit(FAILED)


if __name__ == "__main__":
    main(sys.argv[1:])
