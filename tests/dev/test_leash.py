"""A program on a leash ends when its owner says so or is gone, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dev.leash import Leash
from tests.eventually import eventually

ROOT = Path(__file__).resolve().parents[2]

# A program with a child of its own that wants to live on, in a session of its own.
STUBBORN_CHILD = "(trap '' TERM HUP; exec setsid sleep 1000) & exec sleep 1000"

OWNER = """
import signal, sys, time
from pathlib import Path
from dev.leash import Leash
leash = Leash(["sh", "-c", sys.argv[1]], remove=Path(sys.argv[2]))
print(leash.pid, flush=True)
signal.pause()
"""


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False


def all_gone(pids: list[int]) -> bool:
    return not any(map(alive, pids))


@pytest.fixture
def stubborn():
    with Leash(["sh", "-c", STUBBORN_CHILD]) as leash:
        eventually(lambda: len(leash.processes()) == 2)
        yield leash


@pytest.fixture
def owned(tmp_path):
    """A process that owns a stubborn program; gives the owner, all pids, and a folder."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, STUBBORN_CHILD, folder],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    program = int(owner.stdout.readline())
    guard = int(Path(f"/proc/{program}/stat").read_text().rpartition(")")[2].split()[1])
    eventually(lambda: len(children(program)) == 1)
    yield owner, [guard, program, *children(program)], folder
    owner.kill()
    owner.wait()
    owner.stdout.close()


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_its_output_and_exit_status_are_the_programs(tmp_path):
    with (tmp_path / "out").open("wb") as output:
        leash = Leash(["sh", "-c", "echo out; echo err >&2; exit 3"], output=output)

    assert leash.wait(timeout=10) == 3
    assert leash.stop() == 3
    assert (tmp_path / "out").read_text() == "out\nerr\n"


def test_a_signal_that_ended_the_program_is_a_negative_status():
    leash = Leash(["sleep", "1000"])

    leash.kill()

    assert leash.poll() == -signal.SIGKILL
    assert leash.stop() == -signal.SIGKILL


def test_a_program_that_does_not_exist_says_so(tmp_path):
    with (tmp_path / "out").open("wb") as output:
        leash = Leash(["no-such-program"], output=output)

    assert leash.wait(timeout=10) == 127
    leash.stop()
    assert "cannot run no-such-program" in (tmp_path / "out").read_text()


def test_stopping_ends_what_the_program_started_too(stubborn):
    pids = stubborn.processes()

    stubborn.stop()

    assert all_gone(pids)


def test_what_a_killed_program_leaves_behind_lives_until_stop(stubborn):
    program, child = stubborn.processes()

    stubborn.kill()

    assert stubborn.processes() == [child]
    stubborn.stop()
    assert all_gone([program, child])


def test_a_program_that_ignores_its_signal_is_killed_after_its_grace():
    with Leash(["sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"], grace=0.1) as leash:
        eventually(lambda: len(leash.processes()) > 1)

        assert leash.stop() == -signal.SIGKILL


def test_hurry_takes_the_grace_away():
    with Leash(["sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"], grace=600) as leash:
        eventually(lambda: len(leash.processes()) > 1)
        leash.ask_to_stop()
        leash.hurry()

        assert leash.wait(timeout=10) == -signal.SIGKILL


def test_waiting_for_a_program_that_goes_on_is_a_timeout():
    with Leash(["sleep", "1000"]) as leash, pytest.raises(TimeoutError):
        leash.wait(timeout=0.01)


def test_kill_9_of_the_owner_ends_all_and_removes_the_temporary_folder(owned):
    owner, pids, folder = owned

    owner.kill()

    eventually(lambda: all_gone(pids))
    eventually(lambda: not folder.exists())


def test_kill_9_of_owner_and_guard_together_ends_the_program(owned):
    owner, (guard, program, child), _ = owned

    os.kill(guard, signal.SIGKILL)
    owner.kill()

    eventually(lambda: all_gone([guard, program]))
    os.kill(child, signal.SIGKILL)  # it took care to survive, and nobody is left to end it


def test_a_program_hears_no_ctrl_c_of_its_owners_terminal(owned):
    owner, pids, _ = owned

    assert os.getpgid(owner.pid) not in {os.getpgid(pid) for pid in pids}
