"""HTTP: what clients ask, told to `tasks`, and what they read back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from redis import Redis
from werkzeug.middleware.proxy_fix import ProxyFix

from api import (
    audit,
    dashboard,
    documentation,
    errors,
    headers,
    health,
    keys,
    kinds,
    monitoring,
    quotas,
    request_ids,
    sign_in,
)
from api import schedules as schedule_views
from api import tasks as task_views
from api.application import Application
from api.auth import Access, Gate
from api.browser_sessions import BrowserSessions
from api.keyring import Keyring, refuse_without_keys
from api.waiting import open_waiting_room
from tasks import actions, broker, catalog, database, sealing
from tasks.actions import Terms
from tasks.broker import Broker
from tasks.keys import Scope
from tasks.quotas import Backlogs, Quotas
from tasks.sealing import Vault
from tasks.waiting import Waiters

if TYPE_CHECKING:
    from settings import Settings

PREFIX = "/api/v1"
CONNECTIONS = 8  # to PostgreSQL, per process; submissions share one
PATIENCE = 1.5  # seconds PostgreSQL has to answer, so that a 503 comes within two
PUSH_PATIENCE = 0.15  # seconds Redis has to take a push
LISTEN_PATIENCE = 5.0  # seconds without a message, between which the listener looks around


def create_app(settings: Settings) -> Application:
    """The web application of one process, with its way to PostgreSQL and Redis.

    It knows the kinds of task that the catalog holds by now.
    """
    terms = Terms(
        timeout=settings.default_task_timeout,
        max_retries=settings.max_retry_attempts,
        max_payload_bytes=settings.max_payload_bytes,
        idempotency_key_hours=settings.idempotency_key_hours,
    )
    actions.configure(terms)
    sealing.configure(Vault(settings.payload_keys))

    def redis(patience: float) -> Redis:
        return broker.connect(
            settings.redis_url, patience=patience, verify_tls=settings.redis_tls_verify
        )

    way = Broker(redis(PUSH_PATIENCE))
    broker.refuse_unfit(way.redis)
    database.open(settings.database_url, way, connections=CONNECTIONS, patience=PATIENCE)
    if settings.auth:
        refuse_without_keys()

    app = Application(__name__)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.extensions |= {
        "terms": terms,
        "broker": way,
        "waiting_room": open_waiting_room(Waiters(redis(LISTEN_PATIENCE)), settings.web_threads),
    }
    request_ids.register(app)
    headers.register(app)
    errors.register(app)
    gate = Gate(Keyring() if settings.auth else None, BrowserSessions(settings.secret_key))
    gate.guard(app)
    quotas.register(
        app,
        Quotas(redis(PUSH_PATIENCE), settings.submit_rate),
        Backlogs(settings.max_queue_backlog),
    )
    sign_in.register(app, gate)

    app.url_map.converters["key_id"] = keys.KeyId
    api = documentation.begin_document(app, catalog.kinds().values())
    api.register_converter(keys.KeyId, keys.KeyId.documented)
    for module in (task_views, schedule_views, kinds, monitoring, keys, audit):
        api.register_blueprint(module.blueprint, url_prefix=PREFIX + module.blueprint.url_prefix)
    api.register_blueprint(health.blueprint)
    documentation.finish_document(app, api)

    shown = dashboard.create_dashboard(redis(PATIENCE))
    gate.guard(shown, Access(scopes=(Scope.METRICS_READ,), by_browser=True))
    app.mounted["rq"] = shown
    if hops := settings.trusted_proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]  # as Flask's documentation does
    return app
