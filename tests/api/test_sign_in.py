"""A browser signs in with a key, may then look, and can be made to do nothing by other sites."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer

from api import create_app
from api.browser_sessions import LIFETIME
from api.keyring import FRESH
from settings import Settings
from tasks import database, key_actions, keys
from tests.api.guarded import MAKER, SECRET_KEY, Caller, make_key
from tests.eventually import eventually

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
PAGES = ("/docs", "/rq/", "/rq/0/view/jobs")


def signed_in(app: Flask, *scopes: str) -> FlaskClient:
    client = app.test_client()
    answer = Caller(client, make_key(*scopes)).post("/sign-in")
    assert answer.status_code == 204
    return client


def cookie_of(app: Flask, base_url: str) -> str:
    answer = Caller(app.test_client(), make_key("admin")).post("/sign-in", base_url=base_url)
    return answer.headers["Set-Cookie"]


@pytest.mark.parametrize("path", PAGES)
def test_a_person_without_a_session_is_led_to_sign_in_and_back(guarded: Flask, path: str) -> None:
    answer = guarded.test_client().get(path, headers=HTML)

    assert answer.status_code == 303
    assert answer.headers["Location"] == f"/sign-in?next={path}"
    page = guarded.test_client().get(answer.headers["Location"])
    assert f'data-next="{path}"' in page.text


@pytest.mark.parametrize("path", ["/api/v1/tasks/", "/api/v1/keys/"])
def test_a_program_is_told_401_and_not_led_anywhere(guarded: Flask, path: str) -> None:
    assert guarded.test_client().get(path, headers=HTML).status_code == 401
    assert guarded.test_client().get("/docs").status_code in (303, 401)


@pytest.mark.parametrize("path", [*PAGES, "/openapi.json", "/rq/0/data/queues.json"])
def test_a_signed_in_browser_sees_the_pages(guarded: Flask, path: str) -> None:
    assert signed_in(guarded, "metrics:read").get(path, headers=HTML).status_code == 200


def test_a_session_has_the_scopes_of_its_key(guarded: Flask) -> None:
    browser = signed_in(guarded, "tasks:read")

    assert browser.get("/docs").status_code == 200
    assert browser.get("/rq/").status_code == 403


def test_a_session_opens_pages_and_nothing_of_the_api(guarded: Flask) -> None:
    browser = signed_in(guarded, "admin")
    task = {"name": "example_task", "payload": {"message": "hi"}}

    assert browser.get("/api/v1/tasks/").status_code == 401
    assert browser.post("/api/v1/tasks/", json=task).status_code == 401
    assert browser.post("/api/v1/keys/", json={"name": "x", "scopes": ["admin"]}).status_code == 401
    assert browser.post("/rq/").status_code in (401, 405)


def test_the_cookie_is_signed_hidden_from_scripts_and_of_this_site_alone(guarded: Flask) -> None:
    cookie = cookie_of(guarded, "https://tasks.example")

    assert cookie.startswith("__Host-dtq=")
    for word in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/", f"Max-Age={LIFETIME}"):
        assert word in cookie.split("; ")
    assert "Domain" not in cookie


def test_only_on_this_machine_the_cookie_travels_without_https(guarded: Flask) -> None:
    assert "Secure" not in cookie_of(guarded, "http://127.0.0.1:8000")
    assert "Secure" in cookie_of(guarded, "http://tasks.example")
    assert "Secure" in cookie_of(guarded, "http://127.0.0.1.evil.example")


def test_the_cookie_does_not_hold_the_token(guarded: Flask) -> None:
    token = make_key("admin")
    answer = Caller(guarded.test_client(), token).post("/sign-in")

    assert token.rpartition("_")[2] not in str(answer.headers)


@pytest.mark.parametrize("secret", ["another secret, which was guessed wrong", ""])
def test_a_cookie_that_we_did_not_sign_is_worth_nothing(guarded: Flask, secret: str) -> None:
    token = make_key("admin")
    forged = URLSafeTimedSerializer(secret, salt="browser session").dumps(keys.hashed(token).hex())
    browser = guarded.test_client()
    browser.set_cookie("dtq", forged)

    assert browser.get("/openapi.json").status_code == 401


@pytest.mark.parametrize("value", ["", "x", "x.y.z", "é", "a" * 5000, None, 1, ["00"]])
def test_a_signed_cookie_with_nonsense_inside_is_worth_nothing(
    guarded: Flask, value: object
) -> None:
    browser = guarded.test_client()
    signer = URLSafeTimedSerializer(SECRET_KEY, salt="browser session")
    browser.set_cookie("dtq", str(signer.dumps(value)))

    assert browser.get("/openapi.json").status_code == 401


def test_the_cookie_of_a_revoked_key_ends_within_seconds(guarded: Flask) -> None:
    key, token = key_actions.create(MAKER, "a test", ["admin"])
    browser = guarded.test_client()
    Caller(browser, token).post("/sign-in")
    assert browser.get("/openapi.json").status_code == 200

    key_actions.revoke(MAKER, key.id)

    eventually(lambda: browser.get("/openapi.json").status_code == 401, within=FRESH + 0.5)


def test_signing_out_ends_the_session(guarded: Flask) -> None:
    browser = signed_in(guarded, "admin")

    assert browser.post("/sign-out").status_code == 204
    assert browser.get("/openapi.json").status_code == 401


def test_a_form_posted_by_another_site_signs_nobody_in(guarded: Flask) -> None:
    token = make_key("admin")
    browser = guarded.test_client()

    answer = browser.post("/sign-in", data={"key": token})

    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
@pytest.mark.parametrize(
    "browser",
    [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}],
)
def test_pages_of_other_sites_neither_sign_in_nor_out(
    guarded: Flask, path: str, browser: dict[str, str]
) -> None:
    answer = Caller(guarded.test_client(), make_key("admin")).post(path, headers=browser)

    assert answer.status_code == 403
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "next_page",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/rq//evil.example/%2e%2e",
        "javascript:alert(1)",
        '"><script>alert(1)</script>',
        "/docs?next=//evil.example",
        "/docs/..//evil.example",
        "/rq//evil.example",
        "/rq/../sign-out",
        "/rq/../../evil",
    ],
)
def test_nobody_is_led_away_from_here_after_signing_in(guarded: Flask, next_page: str) -> None:
    page = guarded.test_client().get("/sign-in", query_string={"next": next_page})

    assert page.status_code == 200
    assert 'data-next="/docs"' in page.text
    assert "evil" not in page.text and "<script>alert" not in page.text


def test_the_page_runs_our_script_alone(guarded: Flask) -> None:
    page = guarded.test_client().get("/sign-in")
    policy = page.headers["Content-Security-Policy"]

    assert "default-src 'none'" in policy and "script-src 'self'" in policy
    assert "unsafe-inline" not in policy.partition("script-src")[2].partition(";")[0]
    assert "frame-ancestors 'none'" in policy
    assert "<script>" not in page.text and "onclick" not in page.text


def test_a_browser_that_came_by_https_comes_by_it_from_then_on(guarded: Flask) -> None:
    client = guarded.test_client()

    assert "Strict-Transport-Security" not in client.get("/sign-in").headers
    secure = client.get("/sign-in", base_url="https://tasks.example").headers
    assert secure["Strict-Transport-Security"] == "max-age=31536000"


def test_without_a_secret_key_nobody_signs_in_and_the_page_says_why(
    guarded: Flask, postgres_url: str, redis_url: str
) -> None:
    database.close()
    app = create_app(Settings(database_url=postgres_url, redis_url=redis_url, auth=True))

    assert "SECRET_KEY is not set" in app.test_client().get("/sign-in").text
    assert Caller(app.test_client(), make_key("admin")).post("/sign-in").status_code == 403
    assert Caller(app.test_client(), make_key("admin")).get("/docs").status_code == 200
