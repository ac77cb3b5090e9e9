"""Every setting is read from the environment, once, and a wrong one is refused in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields
from ipaddress import ip_network
from pathlib import Path

import pytest

import settings
from dev import configuration
from settings import SettingError, Settings

ROOT = Path(__file__).resolve().parent.parent
A_KEY = "ABCDEFGH" * 5 + "ABC="  # 32 bytes in base64
SERVERS = {"DATABASE_URL": "postgresql://u:p@db/tasks", "REDIS_URL": "redis://cache:6379/0"}


def load(**environ: str) -> Settings:
    return settings.load(SERVERS | environ)


def test_defaults_hold_when_only_the_servers_are_named():
    found = load()

    assert (found.api_host, found.api_port) == ("127.0.0.1", 8000)
    assert found.worker_concurrency == settings.cpu_count()
    assert found.retention_days == {"succeeded": 7, "failed": 30, "cancelled": 7}
    assert found.auth is True


def test_an_empty_value_means_the_default():
    assert load(API_PORT="", TASK_MODULES=" ").api_port == 8000


def test_settings_cannot_be_changed_later():
    with pytest.raises(FrozenInstanceError):
        load().api_port = 1  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_of_a_postgresql_url_names_the_driver(scheme):
    assert load(DATABASE_URL=f"{scheme}://u:p@db/tasks").database_url == (
        "postgresql+psycopg2://u:p@db/tasks"
    )


def test_the_platforms_port_wins_and_opens_the_host():
    found = load(PORT="5123", API_PORT="8000")

    assert (found.api_host, found.api_port) == ("0.0.0.0", 5123)


def test_the_port_that_honcho_sets_for_every_process_is_not_the_platforms():
    found = load(PORT="5000", HONCHO_PROCESS_NAME="web.1")

    assert (found.api_host, found.api_port) == ("127.0.0.1", 8000)


def test_the_spool_lies_in_the_data_folder_unless_it_is_named():
    assert load(DATA_DIR="/var/lib/queue").spool_dir == Path("/var/lib/queue/spool")
    assert load(DATA_DIR="/var/lib/queue", SPOOL_DIR="/spool").spool_dir == Path("/spool")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("3", {"succeeded": 3, "failed": 3, "cancelled": 3}),
        ("failed=0.5", {"succeeded": 7, "failed": 0.5, "cancelled": 7}),
        ("succeeded=1, failed=2,cancelled=3", {"succeeded": 1, "failed": 2, "cancelled": 3}),
    ],
)
def test_retention_is_one_number_or_a_number_per_status(text, days):
    assert load(RETENTION_DAYS=text).retention_days == days


def test_lists_are_separated_by_commas():
    found = load(TASK_MODULES="json.tool, logs,", HTTP_ALLOW_NETWORKS="10.0.0.0/8,::1/128")

    assert found.task_modules == ("json.tool", "logs")
    assert found.http_allow_networks == (ip_network("10.0.0.0/8"), ip_network("::1/128"))


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("API_PORT", "http", "API_PORT must be a whole number, not 'http'."),
        ("API_PORT", "70000", "API_PORT must be from 0 to 65535, not '70000'."),
        ("WORKER_LEASE", "nan", "WORKER_LEASE must be a number, not 'nan'."),
        ("WEB_THREADS", "0", "WEB_THREADS must be from 1 to 4096, not '0'."),
        ("MAX_CRASHES", "0", "MAX_CRASHES must be 1 or more, not '0'."),
        ("AUTH", "maybe", "AUTH must be on or off, not 'maybe'."),
        ("QUEUE_STRATEGY", "fair", "QUEUE_STRATEGY must be strict or weighted, not 'fair'."),
        ("DATABASE_URL", "mysql://x", "DATABASE_URL must be a postgresql:// or postgres:// URL."),
        (
            "TASK_MODULES",
            "json,no.such",
            "TASK_MODULES must be names of modules that can be imported, and no.such cannot, "
            "not 'json,no.such'.",
        ),
        (
            "HTTP_ALLOW_NETWORKS",
            "10.0.0.0/99",
            "HTTP_ALLOW_NETWORKS must be networks such as 10.0.0.0/8, separated by commas, "
            "not '10.0.0.0/99'.",
        ),
        (
            "RETENTION_DAYS",
            "pending=3",
            "RETENTION_DAYS must be a number of days, or a list such as "
            "succeeded=7,failed=30,cancelled=7, not 'pending=3'.",
        ),
    ],
)
def test_a_wrong_setting_is_refused_in_one_sentence_that_names_it(name, text, sentence):
    with pytest.raises(SettingError) as refusal:
        load(**{name: text})

    assert str(refusal.value) == sentence


@pytest.mark.parametrize("text", ["3,4", "failed=", "-1", "=", "failed=x", "inf", ","])
def test_retention_that_makes_no_sense_is_refused(text):
    with pytest.raises(SettingError, match="^RETENTION_DAYS must be"):
        load(RETENTION_DAYS=text)


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_both_servers_must_be_named(name):
    with pytest.raises(SettingError, match=f"^{name} is not set"):
        load(**{name: ""})


def test_access_without_keys_is_refused_off_loopback():
    with pytest.raises(SettingError, match=r"^AUTH may be off only on loopback"):
        load(AUTH="off", API_HOST="0.0.0.0")
    assert load(AUTH="off").auth is False


@pytest.mark.parametrize("module", ["api", "jobs", "scheduler", "alembic current"])
def test_every_process_says_one_sentence_and_ends(module):
    environ = {**os.environ, **SERVERS, "WORKER_LEASE": "soon"}

    ended = subprocess.run(
        [sys.executable, "-m", *module.split()],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
    )

    assert ended.returncode == 1
    assert ended.stderr == "WORKER_LEASE must be a number, not 'soon'.\n"


def test_secrets_stay_out_of_messages_and_of_the_printed_settings():
    with pytest.raises(SettingError) as refusal:
        load(REDIS_URL="http://:hunter2@cache")

    assert "hunter2" not in str(refusal.value)
    assert "hunter2" not in repr(load(REDIS_URL="redis://:hunter2@cache", SECRET_KEY="hunter2" * 5))


def test_env_files_stand_below_the_environment(tmp_path, monkeypatch):
    (tmp_path / ".data").mkdir()
    (tmp_path / ".data/dev.env").write_text(
        "DATABASE_URL=postgresql://dev/tasks\nREDIS_URL='redis://dev'\nLOG_LEVEL=debug\n"
    )
    (tmp_path / ".env").write_text("# mine\nREDIS_URL=redis://mine\n")
    monkeypatch.chdir(tmp_path)
    for name in SERVERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LOG_LEVEL", "error")

    found = settings.load()

    assert found.database_url == "postgresql+psycopg2://dev/tasks"
    assert found.redis_url == "redis://mine"
    assert found.log_level == "error"


def test_the_example_file_shows_every_setting_as_the_code_has_it():
    assert (ROOT / ".env.example").read_text() == configuration.env_example()


def test_the_readme_shows_every_setting_as_the_code_has_it():
    readme = ROOT / "README.md"
    if not readme.exists() or configuration.START not in readme.read_text():
        pytest.skip("the README has no table of settings")
    assert readme.read_text() == configuration.readme_with_table(readme.read_text())


def test_the_table_takes_its_place_between_the_markers():
    readme = f"Above\n{configuration.START}outdated\n{configuration.END}Below\n"

    written = configuration.readme_with_table(readme)

    assert written.startswith("Above\n") and written.endswith("Below\n")
    assert written.count("\n| `") == len(fields(Settings))
    assert "outdated" not in written


def test_the_values_shown_in_the_example_are_the_defaults():
    shown = {
        name.lstrip("#"): value
        for line in configuration.env_example().splitlines()
        if (name := line.partition("=")[0]).startswith("#") and " " not in name
        if (value := line.partition("=")[2])
    }

    assert load(**shown) == load()


@pytest.mark.parametrize("wrong", ["1", "1:short", f"1:{A_KEY},1:{A_KEY}"])
def test_wrong_payload_keys_are_refused_without_being_shown(wrong: str):
    with pytest.raises(SettingError, match="PAYLOAD_KEYS must be") as refusal:
        load(PAYLOAD_KEYS=wrong)

    assert A_KEY not in str(refusal.value)


def test_payload_keys_are_read_newest_first():
    assert load(PAYLOAD_KEYS=f"2:{A_KEY}, 1:{A_KEY}").payload_keys == (f"2:{A_KEY}", f"1:{A_KEY}")


def test_a_short_secret_key_is_refused():
    with pytest.raises(SettingError, match="SECRET_KEY must be 32 characters or more"):
        load(SECRET_KEY="changeme")


def test_the_router_of_the_platform_is_believed_about_who_asks():
    assert load().trusted_proxies == 0
    assert load(PORT="5000").trusted_proxies == 1
    assert load(PORT="5000", TRUSTED_PROXIES="2").trusted_proxies == 2
