"""What clients send and receive about API keys and the audit, field by field."""

from marshmallow import Schema, fields
from marshmallow.validate import Length, OneOf, Range

from api.fields import Number, Spelled, WrittenWhole
from api.schemas import A_TIME, AN_ID, LONGEST_PAGE, PAGE, QUEUE_NAME, told
from tasks.key_actions import LONGEST_OVERLAP
from tasks.keys import LONGEST_LIFE, MEANINGS, NAME_LENGTH, QUEUES_LIMIT, Scope

A_KEY_ID = "k3v9w2x7q1"
A_TOKEN = "dtq_k3v9w2x7q1_…"  # noqa: S105  # an example
DAY = 24 * 3600.0
SCOPES = [str(scope) for scope in Scope]
SCOPES_TOLD = "; ".join(f"`{scope}`: {meaning}" for scope, meaning in MEANINGS.items())


class KeyRequest(Schema):
    """An API key as an admin asks for it."""

    name = fields.String(
        required=True,
        validate=Length(min=1, max=NAME_LENGTH),
        metadata=told("What people call it.", "billing, production"),
    )
    scopes = fields.List(
        fields.String(validate=OneOf(SCOPES)),
        required=True,
        validate=Length(min=1, max=len(SCOPES)),
        metadata=told(f"What it may do. {SCOPES_TOLD}.", ["tasks:submit", "tasks:read"]),
    )
    queue_names = fields.List(
        fields.String(
            validate=Spelled(QUEUE_NAME, "Must be 1 to 64 letters, digits, '_' and '-'.")
        ),
        load_default=list,
        validate=Length(max=QUEUES_LIMIT),
        metadata=told(
            "The only queue names it may submit to, see and manage; `[]`: all.", ["mail"]
        ),
    )
    expires_in = Number(
        allow_none=True,
        load_default=None,
        validate=Range(min=1, max=LONGEST_LIFE.total_seconds() - 1),
        metadata=told("Seconds from now until it ends by itself.", 90 * DAY),
    )
    submit_rate = Number(
        allow_none=True,
        load_default=None,
        validate=Range(min=0.001, max=1_000_000),
        metadata=told("Tasks it may submit per second; the service's own rate if left out.", 100),
    )


class RotateRequest(Schema):
    """How a key is rotated."""

    overlap = Number(
        load_default=DAY,
        validate=Range(min=0, max=LONGEST_OVERLAP.total_seconds()),
        metadata=told("Seconds the token before stays valid; a day if left out.", DAY),
    )


class ExpireRequest(Schema):
    """When a key is to end."""

    expires_in = Number(
        required=True,
        validate=Range(min=1, max=LONGEST_LIFE.total_seconds() - 1),
        metadata=told("Seconds from now.", 7 * DAY),
    )


class TokenBody(Schema):
    """A token of a key, as far as it can be shown."""

    prefix = fields.String(required=True, metadata=told("How it begins.", "dtq_k3v9w2x7q1_Yb2k"))
    created_at = fields.AwareDateTime(required=True, metadata=told("When it was made.", A_TIME))
    expires_at = fields.AwareDateTime(
        required=True,
        allow_none=True,
        metadata=told("When it ends, if another has taken its place."),
    )


class KeyBody(Schema):
    """An API key."""

    id = fields.String(
        required=True, metadata=told("Its public name, part of its tokens.", A_KEY_ID)
    )
    name = fields.String(required=True, metadata=told("What people call it."))
    scopes = fields.List(
        fields.String(validate=OneOf(SCOPES)), required=True, metadata=told("What it may do.")
    )
    queue_names = fields.List(
        fields.String(), required=True, metadata=told("The only queue names it may use; `[]`: all.")
    )
    submit_rate = fields.Float(
        required=True, allow_none=True, metadata=told("Tasks it may submit per second, or null.")
    )
    created_at = fields.AwareDateTime(required=True, metadata=told("When it was made.", A_TIME))
    expires_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it ends by itself, or null.")
    )
    revoked_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it was revoked, or null.")
    )
    last_used_at = fields.AwareDateTime(
        required=True, allow_none=True, metadata=told("When it was last used, to a minute or two.")
    )
    tokens = fields.List(
        fields.Nested(TokenBody), required=True, metadata=told("Its tokens, the newest last.")
    )


class NewKeyBody(KeyBody):
    """An API key with its new token, which is not shown again."""

    token = fields.String(
        required=True, metadata=told("To be sent as `Authorization: Bearer …`.", A_TOKEN)
    )


class KeyList(Schema):
    """Every API key there ever was."""

    items = fields.List(fields.Nested(KeyBody), required=True, metadata=told("Newest first."))


class AuditFilter(Schema):
    """Which entries of the audit a list shows."""

    principal = fields.String(
        validate=Spelled("^[a-z0-9]{0,20}$", "Not the id of an API key."),
        metadata=told("Only by this API key id.", A_KEY_ID),
    )
    action = fields.String(
        validate=Spelled("^[a-z_]{1,40}\\.[a-z_]{1,40}$", "Not the name of an action."),
        metadata=told("Only this action.", "task.cancel"),
    )
    subject = fields.String(
        validate=Spelled("^[A-Za-z0-9_:./-]{1,200}$", "Not an id."),
        metadata=told("Only what was done to this: an id of any kind.", A_KEY_ID),
    )
    limit = WrittenWhole(
        load_default=PAGE,
        validate=Range(min=1, max=LONGEST_PAGE),
        metadata=told("How many at most."),
    )
    cursor = fields.String(
        validate=Length(max=200), metadata=told("The `next_cursor` of the page before.")
    )


class AuditEntryBody(Schema):
    """Who did what, when and from where."""

    at = fields.AwareDateTime(required=True, metadata=told("When.", A_TIME))
    principal = fields.String(
        required=True,
        metadata=told('The API key id; `""` with AUTH=off, `cli` for the command line.', A_KEY_ID),
    )
    address = fields.String(
        required=True, allow_none=True, metadata=told("Where it came from.", "203.0.113.7")
    )
    action = fields.String(required=True, metadata=told("What was done.", "task.cancel"))
    subject = fields.String(
        required=True, allow_none=True, metadata=told("What it was done to: an id, or null.")
    )
    from_status = fields.String(
        required=True, allow_none=True, metadata=told("For a move: the status before.", "pending")
    )
    details = fields.Dict(
        required=True, allow_none=True, metadata=told("What else was said, or null.")
    )


class AuditPage(Schema):
    """Entries of the audit, newest first."""

    items = fields.List(fields.Nested(AuditEntryBody), required=True, metadata=told("The entries."))
    next_cursor = fields.String(
        required=True,
        allow_none=True,
        metadata=told("Where the next page begins; null on the last."),
    )


A_KEY = {
    "id": A_KEY_ID,
    "name": "billing, production",
    "scopes": ["tasks:read", "tasks:submit"],
    "queue_names": ["mail"],
    "submit_rate": None,
    "created_at": A_TIME,
    "expires_at": None,
    "revoked_at": None,
    "last_used_at": A_TIME,
    "tokens": [{"prefix": "dtq_k3v9w2x7q1_Yb2k", "created_at": A_TIME, "expires_at": None}],
}
A_NEW_KEY = A_KEY | {"token": A_TOKEN}
KEYS = {"items": [A_KEY]}
AN_AUDIT = {
    "items": [
        {
            "at": A_TIME,
            "principal": A_KEY_ID,
            "address": "203.0.113.7",
            "action": "task.cancel",
            "subject": AN_ID,
            "from_status": "pending",
            "details": None,
        }
    ],
    "next_cursor": None,
}
