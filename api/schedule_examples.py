"""Examples of schedules for the OpenAPI document; tests hold that each fits its schema."""

from typing import Any

from api.schemas import A_TIME, AN_ID

SCHEDULES = {
    "every working day at six, in Paris": {
        "name": "morning report",
        "task": {"name": "example_task", "payload": {"message": "good morning"}},
        "cron": "0 6 * * mon-fri",
        "timezone": "Europe/Paris",
        "overlap": "skip",
        "pause_after_failures": 5,
    },
    "every five minutes": {
        "name": "heartbeat",
        "task": {
            "name": "http.request",
            "payload": {"method": "GET", "url": "https://example.com/health"},
        },
        "every": 300,
        "jitter": 20,
        "missed": "skip",
    },
    "once": {
        "name": "end of the trial",
        "task": {"name": "example_task", "payload": {"message": "goodbye"}},
        "at": "2030-01-31T12:00:00Z",
    },
}

A_CHANGE = {
    "an hour later, on all days": {"cron": "0 7 * * *"},
    "another message": {"task": {"payload": {"message": "hello again"}}},
}

PAUSES = {
    "with a reason": {"reason": "the supplier moves house"},
    "without one": {},
}

BACKFILLS = {
    "what would run": {
        "from": "2026-01-30T00:00:00Z",
        "to": "2026-01-31T00:00:00Z",
        "dry_run": True,
    },
    "run it": {"from": "2026-01-30T00:00:00Z", "to": "2026-01-31T00:00:00Z"},
}

A_SCHEDULE: dict[str, Any] = {
    "id": AN_ID,
    "name": "morning report",
    "task": {
        "name": "example_task",
        "payload": {"message": "good morning"},
        "queue_name": "default",
        "priority": "normal",
        "labels": {},
        "max_retries": 3,
        "timeout": 300.0,
    },
    "cron": "0 6 * * mon-fri",
    "every": None,
    "at": None,
    "timezone": "Europe/Paris",
    "starts_at": None,
    "ends_at": None,
    "gap": "run_after",
    "jitter": 0.0,
    "overlap": "skip",
    "missed": "run_once",
    "catchup_window": 86400.0,
    "pause_after_failures": 5,
    "paused": False,
    "pause_reason": None,
    "note": None,
    "next_fire_at": "2026-02-02T05:00:00.000000Z",
    "last_fire_at": None,
    "created_at": A_TIME,
    "updated_at": A_TIME,
}

A_SCHEDULE_PAGE = {"items": [A_SCHEDULE], "next_cursor": None}

UPCOMING = {
    "items": [
        {
            "scheduled_for": "2026-03-28T01:30:00Z",
            "local": "2026-03-28T02:30:00+01:00",
            "note": None,
        },
        {
            "scheduled_for": "2026-03-29T01:00:00Z",
            "local": "2026-03-29T03:00:00+02:00",
            "note": "gap: 02:30:00 does not exist on this day; right after the gap",
        },
    ]
}

BACKFILLED = A_SCHEDULE | {
    "backfill": {
        "dry_run": True,
        "count": 1,
        "items": [
            {
                "scheduled_for": "2026-01-30T05:00:00Z",
                "local": "2026-01-30T06:00:00+01:00",
                "note": None,
            }
        ],
    }
}

FIRES = {
    "items": [
        {
            "scheduled_for": A_TIME,
            "fired_at": "2026-01-31T12:00:00.021300Z",
            "outcome": "fired",
            "reason": None,
            "task_id": AN_ID,
        },
        {
            "scheduled_for": "2026-01-31T11:55:00.000000Z",
            "fired_at": "2026-01-31T11:55:00.018000Z",
            "outcome": "skipped_overlap",
            "reason": f"task {AN_ID} has not finished",
            "task_id": None,
        },
    ],
    "next_cursor": None,
}
