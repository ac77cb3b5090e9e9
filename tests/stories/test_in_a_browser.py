"""A person signs in with a key, and nothing planted in Redis runs in the page that they see."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from redis import Redis

from fuzz.service import Service, service
from tests.eventually import eventually
from tests.stories.browser import PROGRAM, Browser

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here"),
    pytest.mark.timeout(300),
]

JOB = "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10"
NOW = "2026-11-24T04:00:00.000000Z"
MARKUP = '"><img src=x onerror="window.planted=1"><script>window.planted=1</script>'
TEMPLATE = "<%= window.planted=1 %><% window.planted=1 %>${window.planted=1}"
PAGES = (
    "/rq/",
    "/rq/0/view/workers",
    "/rq/0/view/jobs",
    "/rq/0/view/jobs/default:normal/failed/8/asc/1",
    f"/rq/0/view/job/{JOB}",
)


@pytest.fixture(scope="module")
def found() -> Iterator[Service]:
    with service(works=False) as found:
        yield found


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


def sign_in(browser: Browser, token: str) -> None:
    browser.run(f"document.getElementById('key').value = {json.dumps(token)}")
    browser.run("document.querySelector('button').click()")


def test_a_person_is_led_to_sign_in_and_back(found: Service, browser: Browser) -> None:
    browser.go(f"{found.url}/rq/")
    assert browser.run("location.pathname") == "/sign-in"

    sign_in(browser, "dtq_wrong")
    problem = "document.getElementById('problem').textContent"
    eventually(lambda: browser.run(problem) == "This key is not valid.")

    sign_in(browser, found.token)
    eventually(lambda: browser.run("location.pathname") == "/rq/")
    assert browser.run("document.cookie") == ""  # scripts do not see it
    browser.go(f"{found.url}/docs")
    eventually(lambda: browser.run("document.querySelectorAll('.opblock').length") > 10)


def test_nothing_planted_in_redis_runs_in_the_dashboard(found: Service, browser: Browser) -> None:
    with Redis.from_url(found.environ["REDIS_URL"]) as redis:
        plant(redis)
    browser.go(f"{found.url}/sign-in?next=/rq/")
    sign_in(browser, found.token)
    eventually(lambda: browser.run("location.pathname") == "/rq/")

    for page in PAGES:
        browser.go(found.url + page)
        # What the page's own scripts fetch is shown after it is loaded.
        eventually(lambda: browser.run("jQuery.active") in (0, None))
        assert browser.run("window.planted") is None, page


def plant(redis: Redis) -> None:
    """Markup and templates wherever the dashboard may show a word."""
    evil = MARKUP + TEMPLATE
    job = {
        "data": json.dumps(["jobs.run", None, [JOB], {}]),
        "origin": "default:normal",
        "status": "failed",
        "created_at": NOW,
        "enqueued_at": NOW,
        "ended_at": NOW,
        "timeout": "180",
    }
    texts = dict.fromkeys(("description", "exc_info", "worker_name", "result"), evil)
    redis.hset(f"rq:job:{JOB}", mapping=job | texts | {"meta": json.dumps({"a": evil})})
    redis.hset(f"rq:job:{evil}", mapping=job | texts)
    redis.zadd("rq:failed:default:normal", {JOB: 2e9, evil: 2e9})
    redis.sadd("rq:queues", "rq:queue:default:normal", f"rq:queue:{evil}:high", f"rq:queue:{evil}")
    redis.sadd("rq:workers", f"rq:worker:{evil}")
    worker = dict.fromkeys(("queues", "state", "hostname", "name", "current_job"), evil)
    redis.hset(f"rq:worker:{evil}", mapping=worker | {"birth": NOW, "last_heartbeat": NOW})
