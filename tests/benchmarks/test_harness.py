"""The harness measures real processes, and leaves none."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.stage import DATA, ticks_folder
from tests.eventually import eventually

pytestmark = pytest.mark.story

BENCHMARKS = [sys.executable, "-m", "benchmarks", "--tiny", "--rounds", "1"]
SYSTEMS = ["--systems", "service", "service-grown"]


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@pytest.mark.parametrize("scenario", ["run", "growth"])
def test_a_scenario_ends_with_a_table_and_without_a_trace(scenario: str) -> None:
    asked = [*BENCHMARKS, *SYSTEMS, "--", scenario]
    with subprocess.Popen(asked, stdout=subprocess.PIPE, text=True) as running:
        told, _ = running.communicate(timeout=100)

    assert running.returncode == 0
    assert "| tasks/s |" in told
    assert not (DATA / str(running.pid)).exists()
    assert not list(ticks_folder().glob(f"ticks-{running.pid}-*"))


def test_interrupted_it_leaves_no_process_and_no_folder() -> None:
    with subprocess.Popen(
        [*BENCHMARKS, *SYSTEMS, "--", "run"], stdout=subprocess.DEVNULL
    ) as running:
        folder = DATA / str(running.pid)
        server = folder / "postgres" / "data" / "postmaster.pid"
        pid = eventually(lambda: int(server.read_text().split()[0]) if server.exists() else 0)
        assert is_alive(pid)

        os.kill(running.pid, signal.SIGINT)
        running.wait(timeout=60)

    assert running.returncode != 0
    assert not is_alive(pid)
    assert not folder.exists()
