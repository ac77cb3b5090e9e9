"""Run one program for an owner, and see to it that nothing of it outlives either.

Run by `dev/leash.py` as a program of its own, with nothing but the standard library. It becomes the
parent of all that the program leaves behind (a subreaper), so that a `kill -9` of the owner, of the
program or of both still ends with an empty process table. If the guard itself is killed, the kernel
signals the program.
"""

import ctypes
import json
import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from typing import Any, NoReturn

PR_SET_PDEATHSIG, PR_SET_SECUREBITS, PR_SET_CHILD_SUBREAPER, PR_CAP_AMBIENT = 1, 28, 36, 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
CAPABILITY_VERSION_3 = 0x20080522
HEARD = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
TO_STOP = {signal.SIGTERM, signal.SIGHUP}
TO_HURRY = {signal.SIGINT}

libc = ctypes.CDLL(None, use_errno=True)


def main(order: dict[str, Any]) -> int:
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGUSR1, 0, 0, 0)  # also sent when only a thread ended
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARD)
    program = start(order)
    tell(order, program)
    status = watch(order, program)
    end_the_rest()
    if os.getppid() != order["owner"] and order["remove"]:
        shutil.rmtree(order["remove"], ignore_errors=True)
    return status


def start(order: dict[str, Any]) -> int:
    guard = os.getpid()
    program = os.fork()
    if program == 0:
        try:
            become(order, guard)
        except OSError as problem:
            os.write(2, f"cannot run {order['command'][0]}: {problem}\n".encode())
        os._exit(127)
    return program


def become(order: dict[str, Any], guard: int) -> NoReturn:
    os.setsid()
    os.close(order["report"])
    if order["user"] is not None:
        drop_privileges(*order["user"], keep_reach=order["keep_reach"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and exec would pass that on
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, HEARD)
    libc.prctl(PR_SET_PDEATHSIG, order["stop_signal"], 0, 0, 0)
    if os.getppid() != guard:
        os._exit(0)
    os.execvp(order["command"][0], order["command"])


def drop_privileges(user: int, group: int, *, keep_reach: bool) -> None:
    """Become somebody else; with `keep_reach`, still able to pass through folders of root."""
    if keep_reach:  # else a new user id, and access(2) of any but root, forget capabilities
        libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    if keep_reach and not any(map(keep_capability, (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE))):
        raise PermissionError(f"user {user} cannot reach it below a closed folder")


def keep_capability(capability: int) -> bool:
    """Keep one capability across the coming exec, and no other."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)  # effective, permitted, inheritable
    if libc.capset(header, sets) != 0:
        return False
    return bool(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0)


def watch(order: dict[str, Any], program: int) -> int:
    """Wait for the program and what it left behind; stop it if the owner says so or is gone."""
    status: int | None = None
    kill_at = float("inf")
    while True:
        told = signal.sigtimedwait(HEARD, 0.5)
        for pid, code in ended():
            if pid == program:
                status = os.waitstatus_to_exitcode(code)
                tell(order, status)
        if status is not None and (kill_at < float("inf") or not descendants(os.getpid())):
            return status
        heard = told.si_signo if told else None
        if heard in TO_HURRY:
            kill_at = 0
        elif (heard in TO_STOP or os.getppid() != order["owner"]) and kill_at == float("inf"):
            if status is not None:
                return status
            os.kill(program, order["stop_signal"])
            os.kill(program, signal.SIGCONT)
            kill_at = time.monotonic() + order["grace"]
        if status is None and time.monotonic() > kill_at:
            os.kill(program, signal.SIGKILL)


def end_the_rest() -> None:
    """Kill whatever the program left behind, and what that leaves behind."""
    patience = time.monotonic() + 1  # servers' children notice their parent's end by themselves
    while rest := descendants(os.getpid()):
        for pid in rest if time.monotonic() > patience else ():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        signal.sigtimedwait({signal.SIGCHLD}, 0.05)
        ended()


def ended() -> list[tuple[int, int]]:
    """Collect children that have ended, as (pid, status)."""
    found = []
    try:
        while (child := os.waitpid(-1, os.WNOHANG))[0]:
            found.append(child)
    except ChildProcessError:
        pass
    return found


def descendants(ancestor: int) -> list[int]:
    """Every process below this one, the nearest first."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat", "rb") as stat:  # noqa: PTH123  # no imports to spare
                state, parent = stat.read().rpartition(b")")[2].split()[:2]
        except OSError:
            continue
        if state != b"Z":
            children.setdefault(int(parent), []).append(int(entry.name))
    found = list(children.get(ancestor, ()))
    for pid in found:
        found += children.get(pid, ())
    return found


def end_with_parent() -> None:
    """Let the kernel send this process SIGTERM when its parent ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


def tell(order: dict[str, Any], number: int) -> None:
    """Report to the owner: first the program's pid, in the end its exit status."""
    with suppress(BrokenPipeError):
        os.write(order["report"], f"{number}\n".encode())


if __name__ == "__main__":
    sys.exit(abs(main(json.loads(sys.argv[1]))) & 0xFF)
