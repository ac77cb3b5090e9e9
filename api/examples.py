"""Examples for the OpenAPI document; tests hold that each fits the schema it stands beside."""

from typing import Any

from api.schemas import A_TIME, A_WORKER, AN_ID

SUBMISSIONS = {
    "a greeting": {"name": "example_task", "payload": {"message": "hello"}},
    "later, and urgent then": {
        "name": "example_task",
        "payload": {"message": "good morning", "seconds": 0.5},
        "priority": "high",
        "run_at": A_TIME,
        "labels": {"customer": "acme"},
    },
    "an HTTP request": {
        "name": "http.request",
        "payload": {"method": "POST", "url": "https://example.com/hooks", "json": {"order": 4711}},
        "delay": 30,
        "max_retries": 8,
    },
}

A_BATCH = {
    "two greetings": {
        "tasks": [
            {"name": "example_task", "payload": {"message": "hello"}},
            {"name": "example_task", "payload": {"message": "goodbye"}, "delay": 60},
        ]
    }
}

IDS = {"ids": [AN_ID, "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e11"]}

A_TASK: dict[str, Any] = {
    "id": AN_ID,
    "name": "example_task",
    "payload": {"message": "hello"},
    "queue_name": "default",
    "priority": "normal",
    "status": "pending",
    "result": None,
    "error": None,
    "attempts": 0,
    "max_retries": 3,
    "timeout": 300.0,
    "run_at": None,
    "expires_at": None,
    "labels": {"customer": "acme"},
    "progress": None,
    "worker": None,
    "schedule_id": None,
    "created_at": A_TIME,
    "started_at": None,
    "finished_at": None,
    "updated_at": A_TIME,
}

A_PAGE = {"items": [A_TASK], "next_cursor": "AQGYL2yNKnxOmlE9bwt8LhA"}

A_FAILURE = {"type": "ConnectionError", "message": "503 from api.example.com", "traceback": None}

ATTEMPTS = {
    "items": [
        {
            "number": 1,
            "worker": A_WORKER,
            "started_at": A_TIME,
            "ended_at": A_TIME,
            "outcome": "failed",
            "error": A_FAILURE,
        },
        {
            "number": 2,
            "worker": A_WORKER,
            "started_at": A_TIME,
            "ended_at": None,
            "outcome": None,
            "error": None,
        },
    ]
}

HISTORY = {
    "items": [
        {"at": A_TIME, "move": move, "by": by, "from": source, "to": target, "attempt": attempt}
        for move, by, source, target, attempt in (
            ("submit", "client", None, "pending", None),
            ("start", "worker", "pending", "running", 1),
            ("succeed", "worker", "running", "succeeded", 1),
        )
    ]
}

KINDS = {
    "items": [
        {
            "name": "example_task",
            "description": "Return a message, for demonstrations and smoke tests.",
            "queue_name": "default",
            "priority": "normal",
            "timeout": 300.0,
            "max_retries": 3,
            "schema": {
                "type": "object",
                "properties": {"message": {"type": "string"}},
                "required": ["message"],
                "additionalProperties": False,
            },
        }
    ]
}

QUEUES = {
    "items": [
        {
            "queue_name": "default",
            "priority": "high",
            "rq_queue": "default:high",
            "pending": 12,
            "running": 2,
            "scheduled": 1,
            "oldest_pending_seconds": 0.84,
            "submitted_per_minute": 118.0,
            "finished_per_minute": 120.0,
            "workers": 1,
            "paused": False,
        }
    ]
}

WORKERS = {
    "items": [
        {
            "name": A_WORKER,
            "host": "host",
            "pid": 4711,
            "state": "busy",
            "queues": [],
            "concurrency": 2,
            "running": 2,
            "succeeded": 1041,
            "failed": 3,
            "started_at": A_TIME,
            "last_seen_at": A_TIME,
        }
    ]
}

METRICS = {
    "metrics": [
        {
            "name": "dtq_tasks",
            "type": "gauge",
            "help": "Tasks in each status now.",
            "samples": [
                {
                    "name": "dtq_tasks",
                    "labels": {
                        "kind": "example_task",
                        "queue_name": "default",
                        "priority": "normal",
                        "status": "pending",
                    },
                    "value": 12.0,
                }
            ],
        }
    ]
}

METRICS_TEXT = """\
# HELP dtq_tasks Tasks in each status now.
# TYPE dtq_tasks gauge
dtq_tasks{kind="example_task",priority="normal",queue_name="default",status="pending"} 12.0
"""

HEALTHY = {"status": "ok", "checks": {"db": "ok", "redis": "ok"}}
UNHEALTHY = {"status": "unavailable", "checks": {"db": "ok", "redis": "unavailable"}}
