"""A server may say when to come back, in seconds or as a date."""

from datetime import UTC, datetime, timedelta

import pytest

from jobs.outgoing.retry_after import retry_after

NOW = datetime(2030, 1, 1, 12, 0, 0, tzinfo=UTC)

ASKED = [
    ({"retry-after": "1"}, 1),
    ({"retry-after": " 120 "}, 120),
    ({"retry-after": "3600"}, 3600),
    ({"retry-after": "86400"}, 3600),  # at most an hour
    ({"retry-after": "999999999"}, 3600),
    ({"retry-after": "Tue, 01 Jan 2030 12:01:00 GMT"}, 60),
    ({"retry-after": "Tue, 01 Jan 2030 12:01:00 -0000"}, 60),
    ({"retry-after": "Tuesday, 01-Jan-30 12:01:00 GMT"}, 60),
    ({"retry-after": "Tue, 01 Jan 2030 13:01:00 +0100"}, 60),
    ({"retry-after": "Thu, 01 Jan 9999 00:00:00 GMT"}, 3600),
    (
        {
            "retry-after": "Tue, 01 Jan 2030 09:00:30 GMT",
            "date": "Tue, 01 Jan 2030 09:00:00 GMT",  # a server whose clock is three hours behind
        },
        30,
    ),
]

NOT_ASKED = [
    {},
    {"retry-after": ""},
    {"retry-after": "0"},
    {"retry-after": "-5"},
    {"retry-after": "1.5"},
    {"retry-after": "soon"},
    {"retry-after": "١٢"},
    {"retry-after": "9999999999"},
    {"retry-after": "1, 2"},
    {"retry-after": "Tue, 01 Jan 2030 11:59:00 GMT"},
    {"retry-after": "Tue, 99 Jan 2030 11:59:00 GMT"},
    {"retry-after": "Tue, 01 Jan 99999 11:59:00 GMT"},
]


@pytest.mark.parametrize(("headers", "seconds"), ASKED)
def test_the_wait_that_is_asked_for_with_up_to_a_tenth_more(headers, seconds):
    wait = retry_after(headers, NOW)

    assert timedelta(seconds=seconds) <= wait <= timedelta(seconds=seconds * 1.1)


@pytest.mark.parametrize("headers", NOT_ASKED)
def test_what_asks_for_no_wait(headers):
    assert retry_after(headers, NOW) is None


def test_tasks_told_the_same_do_not_come_back_together():
    assert len({retry_after({"retry-after": "60"}, NOW) for _ in range(20)}) == 20
