"""The files that deploy the service say the same as its Procfile."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import yaml

from dev.processes import RELEASE, procfile

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())


def command_of(service: str) -> str:
    return " ".join(COMPOSE["services"][service]["command"])


def test_the_procfile_names_the_three_forces_and_the_migration():
    assert list(procfile()) == ["release", "web", "worker", "scheduler"]


def test_docker_compose_follows_the_compose_specification():
    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "docker-compose.yml",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stdout


def test_docker_compose_runs_what_the_procfile_runs():
    commands = procfile()

    assert commands.pop(RELEASE).startswith(command_of("migration"))
    assert {name: command_of(name) for name in commands} == commands


def test_processes_wait_for_the_migration_and_healthy_servers():
    for name in ("web", "worker", "scheduler"):
        assert COMPOSE["services"][name]["depends_on"] == {
            "migration": {"condition": "service_completed_successfully"},
            "postgres": {"condition": "service_healthy"},
            "redis": {"condition": "service_healthy"},
        }
    for name in ("postgres", "redis", "web"):
        assert COMPOSE["services"][name]["healthcheck"]["test"]


def test_a_worker_in_a_container_gets_more_time_than_its_grace():
    assert int(COMPOSE["services"]["worker"]["stop_grace_period"].rstrip("s")) > 25


def test_the_image_runs_as_an_ordinary_user_and_holds_only_what_it_needs():
    dockerfile = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    assert "USER queue" in dockerfile
    assert ignored[0] == "*"
    assert not {"!.env", "!.git", "!tests", "!dev"} & set(ignored)
