"""Every process refuses to start on what would break the guarantee, in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dev.servers import Redis

ROOT = Path(__file__).resolve().parent.parent
PROCESSES = ["api", "jobs", "scheduler"]


@pytest.fixture(scope="module")
def evicting(tmp_path_factory) -> Iterator[Redis]:
    """A Redis that drops keys when it is full."""
    folder = tmp_path_factory.mktemp("evicting")
    with Redis(folder, temporary=True, settings={"maxmemory-policy": "allkeys-lru"}) as server:
        yield server


def refusal_of(process: str, environ: dict[str, str]) -> str:
    """What it says at its end, which comes by itself."""
    ended = subprocess.run(
        [sys.executable, "-m", process],
        cwd=ROOT,
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert ended.returncode == 1, ended
    return ended.stderr


@pytest.mark.parametrize("process", PROCESSES)
def test_a_redis_that_evicts_jobs_is_refused(process, environ, evicting):
    assert refusal_of(process, environ | {"REDIS_URL": evicting.url}) == (
        "Redis has maxmemory-policy 'allkeys-lru', which drops jobs silently; set it to"
        " noeviction.\n"
    )


def test_a_mail_server_that_cannot_be_one_is_refused(environ):
    assert refusal_of("jobs", environ | {"SMTP_URL": "smtp://mail.example.com"}).startswith(
        "SMTP_FROM must be like"
    )
