"""Every endpoint declares who may call it, and nobody else can: a table over all routes."""

from __future__ import annotations

from itertools import product
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from api import create_app
from settings import Settings
from tasks import database
from tasks.errors import NoKeys
from tasks.keys import MEANINGS, Scope
from tests.api.guarded import Caller, make_key

OPEN = {"/", "/static/<path:filename>", "/sign-in", "/sign-out"} | {
    "/health",
    "/health/db",
    "/health/redis",
}
ANY_KEY = {"/docs", "/openapi.json", "/api/v1/task-types/"}
IN_PATHS = {
    "task_id": "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10",
    "schedule_id": "01982f6c-8d2a-7c4e-9a51-3d6f0b7c2e10",
    "key_id": "nobody0000",
    "queue_name": "default",
    "filename": "sign_in.css",
}
DASHBOARD = ("/rq/", "/rq/0/view/workers", "/rq/0/data/queues.json", "/rq/0/data/workers.json")


def calls(app: Flask) -> list[tuple[str, Rule]]:
    """Every method of every rule."""
    return [
        (method, rule)
        for rule in app.url_map.iter_rules()
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def path_of(rule: Rule) -> str:
    _, path = rule.build({name: IN_PATHS[name] for name in rule.arguments}) or ("", "")
    return path


def test_every_endpoint_declares_who_may_call_it(guarded: Flask) -> None:
    undeclared = [
        endpoint
        for endpoint, view in guarded.view_functions.items()
        if getattr(view, "access", None) is None
    ]

    assert undeclared == []


def test_only_these_endpoints_are_open_and_only_those_take_any_key(guarded: Flask) -> None:
    declared = {
        rule.rule: guarded.view_functions[rule.endpoint].access for _, rule in calls(guarded)
    }
    signing_in = {"/sign-in"}  # GET is open, POST takes any key

    assert {
        rule for rule, access in declared.items() if access.open
    } - signing_in == OPEN - signing_in
    assert {
        rule for rule, access in declared.items() if not access.open and not access.scopes
    } - signing_in == ANY_KEY


def test_an_endpoint_that_declares_nothing_is_closed_even_to_an_admin(guarded: Flask) -> None:
    guarded.add_url_rule("/forgotten", "forgotten", lambda: "secret")

    answer = Caller(guarded.test_client(), make_key("admin")).get("/forgotten")

    assert answer.status_code == 403
    assert b"secret" not in answer.data


def test_every_endpoint_lets_in_each_scope_that_it_declares_and_no_other(guarded: Flask) -> None:
    client = guarded.test_client()
    tokens = {scope: make_key(scope) for scope in Scope}
    wrong = []

    for (method, rule), scope in product(calls(guarded), Scope):
        access = guarded.view_functions[rule.endpoint].access
        allowed = access.open or not access.scopes or scope in access.scopes or scope is Scope.ADMIN
        with Caller(client, tokens[scope]).ask(method, path_of(rule)) as answer:
            status = answer.status_code
        if (status in (401, 403)) == allowed or status >= 500:
            wrong.append(f"{method} {rule.rule} with {scope}: {status}")

    assert wrong == []


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer dtq_guess",
        "Bearer " + "x" * 5000,
        "Basic YTpi",
        "Bearer \u00e9",
        "dtq_nobody0000_x",
    ],
)
def test_every_endpoint_but_the_open_ones_refuses_whoever_has_no_key(
    guarded: Flask, header: str | None
) -> None:
    client = guarded.test_client()
    headers = {} if header is None else {"Authorization": header}
    wrong = []

    for method, rule in calls(guarded):
        open_to_all = guarded.view_functions[rule.endpoint].access.open
        with client.open(path_of(rule), method=method, headers=headers) as answer:
            if (answer.status_code == 401) == open_to_all:
                wrong.append(f"{method} {rule.rule}: {answer.status_code}")
            if answer.status_code == 401:
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                assert answer.json["code"] == 401

    assert wrong == []


@pytest.mark.parametrize("path", DASHBOARD)
def test_the_dashboard_is_behind_the_same_keys(guarded: Flask, path: str) -> None:
    client = guarded.test_client()

    assert client.get(path).status_code == 401
    assert Caller(client, make_key("tasks:read")).get(path).status_code == 403
    assert Caller(client, make_key("metrics:read")).get(path).status_code == 200
    assert Caller(client, make_key("admin")).get(path).status_code == 200


def test_the_document_tells_the_scope_of_every_operation(guarded: Flask) -> None:
    document = Caller(guarded.test_client(), make_key("tasks:read")).get("/openapi.json").json
    told = {
        (method.upper(), path): operation
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method in ("get", "post", "put", "patch", "delete")
    }

    assert document["components"]["securitySchemes"]["ApiKey"]["scheme"] == "bearer"
    for (_method, path), operation in told.items():
        if path.startswith("/health"):
            assert "security" not in operation
            continue
        scopes = [scope for need in operation["security"] for scope in need["ApiKey"]]
        assert all(f"`{scope}`" in operation["description"] for scope in scopes)
        assert {"401", "403", "503"} <= operation["responses"].keys()


def test_each_scope_has_a_meaning() -> None:
    assert set(MEANINGS) == set(Scope)


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/nowhere", "/rq/nowhere/x", "/api/v1/keys/x"])
def test_what_does_not_exist_is_not_found_and_tells_nothing_else(guarded: Flask, path: str) -> None:
    assert guarded.test_client().get(path).status_code in (401, 404)


def test_with_no_valid_key_the_application_refuses_to_start(
    postgres_url: str, redis_url: str
) -> None:
    with pytest.raises(NoKeys, match="python -m api keys create"):
        create_app(Settings(database_url=postgres_url, redis_url=redis_url, auth=True))
    database.close()


def test_while_the_database_is_away_a_key_is_neither_right_nor_wrong(guarded: Flask) -> None:
    token = make_key("admin")
    database.close()
    database.open("postgresql+psycopg2://nobody@127.0.0.1:1/nothing")

    for anybody in (token, "dtq_guess", None):
        caller = Caller(guarded.test_client(), anybody)
        answer = caller.get("/api/v1/audit/")
        if anybody == token:
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        else:
            assert answer.status_code == 401


def test_a_key_bound_to_queue_names_uses_only_those(guarded: Flask) -> None:
    everything = Caller(guarded.test_client(), make_key("admin"))
    bound = Caller(
        guarded.test_client(),
        make_key("tasks:submit", "tasks:read", "tasks:manage", queues=["mail"]),
    )
    task = {"name": "example_task", "payload": {"message": "hi"}}

    foreign = everything.post("/api/v1/tasks/", json=task).json["id"]
    own = bound.post("/api/v1/tasks/", json=task | {"queue_name": "mail"}).json["id"]

    assert bound.post("/api/v1/tasks/", json=task).status_code == 403
    batch = {"tasks": [task | {"queue_name": "mail"}, task]}
    assert bound.post("/api/v1/tasks/batch", json=batch).status_code == 403
    assert (
        bound.post("/api/v1/tasks/", json=task, headers={"Idempotency-Key": "k"}).status_code == 403
    )
    assert [each["id"] for each in bound.get("/api/v1/tasks/").json["items"]] == [own]
    assert bound.get("/api/v1/tasks/?queue_name=default").status_code == 403
    for method, path in (
        ("GET", ""),
        ("GET", "?wait=60"),  # told at once: a wait would tell that it exists
        ("GET", "/attempts"),
        ("GET", "/history"),
        ("POST", "/cancel"),
        ("POST", "/rerun"),
    ):
        assert bound.ask(method, f"/api/v1/tasks/{foreign}{path}").status_code == 404
    assert everything.get(f"/api/v1/tasks/{foreign}").json["status"] == "pending"
    assert bound.post(f"/api/v1/tasks/{own}/cancel").status_code == 200
    assert len(everything.get("/api/v1/tasks/").json["items"]) == 2


def test_payloads_results_and_errors_need_a_permission_of_their_own(guarded: Flask) -> None:
    submitter = Caller(guarded.test_client(), make_key("tasks:submit"))
    reader = Caller(guarded.test_client(), make_key("tasks:read"))
    seer = Caller(guarded.test_client(), make_key("tasks:read", "payloads:read"))
    task = {"name": "example_task", "payload": {"message": "a canary"}}

    made = submitter.post("/api/v1/tasks/", json=task)
    path = f"/api/v1/tasks/{made.json['id']}"

    assert b"canary" not in made.data
    assert b"canary" not in reader.get(path).data
    assert b"canary" not in reader.get("/api/v1/tasks/").data
    assert seer.get(path).json["payload"] == {"message": "a canary"}
    assert seer.get("/api/v1/tasks/").json["items"][0]["payload"] == {"message": "a canary"}


def test_one_keys_idempotency_keys_mean_nothing_to_another(guarded: Flask) -> None:
    task = {"name": "example_task", "payload": {"message": "hi"}}
    ids = {
        Caller(guarded.test_client(), make_key("tasks:submit"))
        .post("/api/v1/tasks/", json=task, headers={"Idempotency-Key": "same"})
        .json["id"]
        for _ in range(2)
    }

    assert len(ids) == 2


def test_a_request_without_a_key_is_refused_before_its_body_is_read(guarded: Flask) -> None:
    class Endless:
        def read(self, size: int = -1) -> bytes:
            raise AssertionError("the body was read")

        readline = read

    for path in (
        "/api/v1/tasks/",
        "/api/v1/tasks/batch",
        "/sign-in",
        f"/api/v1/tasks/{uuid4()}/cancel",
    ):
        answer = guarded.test_client().post(
            path,
            environ_overrides={"wsgi.input": Endless(), "CONTENT_LENGTH": "1000"},
            content_type="application/json",
        )
        assert answer.status_code == 401
