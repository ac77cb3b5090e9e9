"""API keys: made, looked at, rotated, expired and revoked by an admin."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from flask import Response, url_for
from marshmallow import Schema, ValidationError
from werkzeug.routing import BaseConverter

from api import wire
from api.auth import client, requires
from api.contract import Blueprint
from api.crowds import is_crowded
from api.key_schemas import (
    A_KEY,
    A_NEW_KEY,
    KEYS,
    ExpireRequest,
    KeyBody,
    KeyList,
    KeyRequest,
    NewKeyBody,
    RotateRequest,
)
from tasks import key_actions, key_store
from tasks.database import sessions
from tasks.errors import InvalidKey, KeyEnded, KeyNotFound
from tasks.keys import Scope
from tasks.models import ApiKey

blueprint = Blueprint("keys", __name__, url_prefix="/keys", description="Who may ask for what.")

MOST_FIELDS = 1000  # values in a body
ONE_KEY = "<key_id:key_id>"


class KeyId(BaseConverter):
    """The id of an API key in a path."""

    regex = "[a-z0-9]{10}"

    def documented(self) -> dict[str, str]:
        """What the OpenAPI document says of it."""
        return {"type": "string", "pattern": f"^{self.regex}$"}


def read_as(schema: Schema) -> Callable[[Any], dict[str, Any]]:
    """What the schema makes of a body, or `InvalidKey` naming every wrong field."""

    def read(body: Any) -> dict[str, Any]:
        if is_crowded(body, MOST_FIELDS):
            raise InvalidKey({"_schema": [f"More than {MOST_FIELDS} values."]})
        try:
            found: dict[str, Any] = schema.load(body)
        except ValidationError as error:
            raise InvalidKey(error.normalized_messages()) from None
        return found

    return read


def written(key: ApiKey, token: str | None = None) -> dict[str, Any]:
    """A key as a client receives it."""
    shown = {
        "id": key.id,
        "name": key.name,
        "scopes": key.scopes,
        "queue_names": key.queue_names,
        "submit_rate": key.submit_rate,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
        "tokens": [
            {
                "prefix": secret.prefix,
                "created_at": secret.created_at,
                "expires_at": secret.expires_at,
            }
            for secret in key.secrets
        ],
    }
    return shown if token is None else shown | {"token": token}


def written_all(found: Sequence[ApiKey]) -> dict[str, Any]:
    return {"items": [written(key) for key in found]}


@blueprint.route("/", methods=["POST"])
@blueprint.takes(
    KeyRequest,
    read_as(KeyRequest()),
    examples={
        "a producer": {
            "name": "billing, production",
            "scopes": ["tasks:submit", "tasks:read"],
            "queue_names": ["mail"],
        },
        "an admin for a week": {"name": "on call", "scopes": ["admin"], "expires_in": 604800},
    },
)
@blueprint.may_answer(201, NewKeyBody, example=A_NEW_KEY, headers={"Location": "Where the key is."})
@blueprint.raises(InvalidKey)
@requires(Scope.ADMIN)
def create(wanted: dict[str, Any]) -> Response:
    """Make an API key.

    The token is in this answer and nowhere else: only its hash is stored.
    """
    key, token = key_actions.create(
        client(),
        wanted["name"],
        wanted["scopes"],
        queue_names=wanted["queue_names"],
        lifetime=wanted["expires_in"] and timedelta(seconds=wanted["expires_in"]),
        submit_rate=wanted["submit_rate"],
    )
    where = url_for("keys.get", key_id=key.id)
    return wire.Answer(written(key, token), 201, [("Location", where)])


@blueprint.route("/")
@blueprint.answers(200, KeyList, write=written_all, example=KEYS)
@requires(Scope.ADMIN)
def every() -> Sequence[ApiKey]:
    """List all API keys, those that have ended included."""
    with sessions.begin() as session:
        return key_store.every(session)


@blueprint.route(f"/{ONE_KEY}")
@blueprint.answers(200, KeyBody, write=written, example=A_KEY)
@blueprint.raises(KeyNotFound)
@requires(Scope.ADMIN)
def get(key_id: str) -> ApiKey:
    """Show one API key."""
    with sessions.begin() as session:
        return key_store.find(session, key_id)


@blueprint.route(f"/{ONE_KEY}/rotate", methods=["POST"])
@blueprint.takes(
    RotateRequest,
    read_as(RotateRequest()),
    examples={"with an hour's overlap": {"overlap": 3600}, "with a day's": {}},
)
@blueprint.may_answer(200, NewKeyBody, example=A_NEW_KEY)
@blueprint.raises(KeyNotFound, KeyEnded, InvalidKey)
@requires(Scope.ADMIN)
def rotate(wanted: dict[str, Any], key_id: str) -> Response:
    """Give an API key a new token.

    The token before stays valid for `overlap` seconds, so that clients can change over; older
    ones end at once. The key keeps its id, scopes and quota.
    """
    key, token = key_actions.rotate(client(), key_id, timedelta(seconds=wanted["overlap"]))
    return wire.Answer(written(key, token))


@blueprint.route(f"/{ONE_KEY}/expire", methods=["POST"])
@blueprint.takes(
    ExpireRequest, read_as(ExpireRequest()), examples={"in a week": {"expires_in": 604800}}
)
@blueprint.answers(200, KeyBody, write=written, example=A_KEY)
@blueprint.raises(KeyNotFound, KeyEnded, InvalidKey)
@requires(Scope.ADMIN)
def expire(wanted: dict[str, Any], key_id: str) -> ApiKey:
    """Let an API key end by itself some time from now."""
    return key_actions.expire(client(), key_id, timedelta(seconds=wanted["expires_in"]))


@blueprint.route(f"/{ONE_KEY}/revoke", methods=["POST"])
@blueprint.answers(200, KeyBody, write=written, example=A_KEY)
@blueprint.raises(KeyNotFound)
@requires(Scope.ADMIN)
def revoke(key_id: str) -> ApiKey:
    """End an API key, everywhere within two seconds. Again, it changes nothing."""
    return key_actions.revoke(client(), key_id)
