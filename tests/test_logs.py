"""Every line is one event: JSON for machines, readable for people, with what is bound around it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

import logs
import settings

ROOT = Path(__file__).resolve().parent.parent
SERVERS = {"DATABASE_URL": "postgresql://db/tasks", "REDIS_URL": "redis://cache"}


@pytest.fixture
def configured(capsys):
    """Configure logging, and give back what was printed, line by line."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level, sys.excepthook)

    def configure(**environ: str):
        logs.configure(settings.load(SERVERS | environ))
        return lambda: capsys.readouterr().out.splitlines()

    yield configure
    root.handlers[:], sys.excepthook = before[0], before[2]
    root.setLevel(before[1])
    logging.captureWarnings(False)
    structlog.reset_defaults()


def test_both_ways_of_logging_give_the_same_json_line(configured):
    printed = configured()

    logging.getLogger("tasks").info("pushed %d", 3, extra={"queue": "default"})
    structlog.get_logger("tasks").info("pushed 3", queue="default")

    first, second = map(json.loads, printed())
    assert first.pop("time").endswith("Z") and second.pop("time")
    assert first == second
    assert first == {
        "level": "info",
        "message": "pushed 3",
        "logger": "tasks",
        "queue": "default",
    }


def test_what_is_bound_is_on_every_line_inside(configured):
    printed = configured()

    with structlog.contextvars.bound_contextvars(task_id="t", request_id="r", worker="w"):
        logging.getLogger("rq.worker").warning("inside")
    logging.getLogger("rq.worker").warning("outside")

    inside, outside = map(json.loads, printed())
    assert (inside["task_id"], inside["request_id"], inside["worker"]) == ("t", "r", "w")
    assert "task_id" not in outside


def test_the_level_hides_what_is_below(configured):
    printed = configured(LOG_LEVEL="warning")

    logging.getLogger("tasks").info("hidden")
    structlog.get_logger("tasks").info("hidden")
    structlog.get_logger("tasks").error("shown")

    assert [json.loads(line)["message"] for line in printed()] == ["shown"]


def test_an_exception_is_one_json_line(configured):
    printed = configured()

    try:
        {}["missing"]
    except KeyError:
        logging.getLogger("jobs").exception("went wrong")

    (line,) = printed()
    assert "KeyError: 'missing'" in json.loads(line)["exception"]


def test_text_shows_no_local_variables_in_tracebacks(configured):
    printed = configured(LOG_FORMAT="text")

    password = "hunter2"
    try:
        raise ValueError("went wrong")
    except ValueError:
        logging.getLogger("jobs").exception("failed")

    text = "\n".join(printed())
    assert "ValueError: went wrong" in text
    assert password not in text.replace('password = "hunter2"', "")


@pytest.mark.parametrize("odd", ["\udc80", 2**80, {1: {2}}, object])
def test_nothing_that_is_logged_breaks_the_line(configured, odd):
    printed = configured()

    structlog.get_logger("jobs").info("odd", value=odd)

    (line,) = printed()
    assert json.loads(line)["message"] == "odd"


def test_the_exception_that_ends_a_process_is_a_log_line():
    program = (
        "import logs, settings, threading\n"
        f"logs.configure(settings.load({SERVERS!r}))\n"
        "thread = threading.Thread(target=lambda: 1 / 0); thread.start(); thread.join()\n"
        "raise RuntimeError('the end')\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True
    )

    thread, process = map(json.loads, ended.stdout.splitlines())
    assert "ZeroDivisionError" in thread["exception"]
    assert "RuntimeError: the end" in process["exception"]
    assert ended.returncode == 1
