"""Tasks that send mail."""

from base64 import b64decode
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from email import policy
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from marshmallow import Schema, ValidationError, fields, validates_schema
from marshmallow.validate import Length

from jobs.handlers import checks
from jobs.outgoing.errors import Refused
from jobs.outgoing.mail import deliver
from jobs.outgoing.mail_server import MailServer, mail_address
from tasks import clock
from tasks.catalog import handles
from tasks.errors import GiveUp
from tasks.retry import Backoff

if TYPE_CHECKING:
    from jobs.context import Context

SEVEN_BIT = policy.SMTP.clone(cte_type="7bit")  # any server takes it; lone dots cannot end it early
MOST_RECIPIENTS = 100

PATIENT = Backoff(  # mail servers recover slowly: tried for about five hours
    max_retries=10, first_wait=timedelta(seconds=30), max_wait=timedelta(hours=1)
)

_server: MailServer | None = None


def configure(server: MailServer | None) -> None:
    """Say where this process hands in its mail."""
    global _server
    _server = server


def addresses(description: str, example: list[str], **terms: Any) -> fields.List[str]:
    return fields.List(
        fields.String(
            validate=[Length(max=254), checks.a_mail_address], metadata={"format": "email"}
        ),
        metadata={"description": description, "example": example},
        **terms,
    )


class Attachment(Schema):
    filename = fields.String(
        required=True,
        validate=[Length(min=1, max=255), checks.one_line],
        metadata={"description": "The name it is saved under.", "example": "invoice.pdf"},
    )
    content = fields.String(
        required=True,
        validate=checks.base64,
        metadata={"description": "Its bytes, as base64.", "format": "byte", "example": "JVBERi0="},
    )
    content_type = fields.String(
        load_default="application/octet-stream",
        validate=[Length(max=127), checks.a_media_type],
        metadata={"description": "Its media type.", "example": "application/pdf"},
    )


class Message(Schema):
    to = addresses(
        "Who gets it.", ["ada@example.com"], required=True, validate=Length(min=1, max=100)
    )
    cc = addresses("Who gets a copy.", ["bob@example.com"], load_default=list)
    bcc = addresses("Who gets a copy unseen by others.", ["eve@example.com"], load_default=list)
    reply_to = addresses("Where answers go.", ["shop@example.com"], load_default=list)
    subject = fields.String(
        required=True,
        validate=[Length(max=998), checks.one_line],
        metadata={"description": "The subject line.", "example": "Your order"},
    )
    text = fields.String(
        metadata={
            "description": "The message as plain text. At least one of `text` and `html` is given.",
            "example": "It is on its way.",
        }
    )
    html = fields.String(
        metadata={
            "description": "The message as HTML; with `text`, a reader shows one of them.",
            "example": "<p>It is on its way.</p>",
        }
    )
    attachments = fields.List(
        fields.Nested(Attachment),
        load_default=list,
        validate=Length(max=50),
        metadata={"description": "Files that go along."},
    )

    @validates_schema
    def something_to_read(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        if not {"text", "html"} & data.keys():
            raise ValidationError("Give text or html or both.", "text")

    @validates_schema
    def not_a_mailing_list(self, data: Mapping[str, Any], **kwargs: Any) -> None:
        if len({*data["to"], *data["cc"], *data["bcc"]}) > MOST_RECIPIENTS:
            raise ValidationError(f"At most {MOST_RECIPIENTS} recipients in all.", "to")


@handles(
    "email.send",
    Message,
    timeout=timedelta(minutes=10),
    retry=PATIENT,
    io=True,
)
def send(
    context: "Context",
    to: list[str],
    cc: list[str],
    bcc: list[str],
    reply_to: list[str],
    subject: str,
    attachments: list[dict[str, str]],
    text: str | None = None,
    html: str | None = None,
) -> dict[str, Any]:
    """Send one message through the operator's mail server (`SMTP_URL`, from `SMTP_FROM`).

    The result is `{"message_id", "refused"}`; `refused` maps each recipient whom the server refused
    for good to its words. Every attempt carries the same `Message-ID`, and while the server refuses
    any recipient for now, nobody gets the message, so that nobody gets it twice.

    **Tried again**, patiently, are network errors, temporary refusals (4xx) and a server that does
    not let us in. A server that refuses the message for good (5xx) fails the task at once.
    """
    if _server is None:
        raise GiveUp("No mail server is configured: set SMTP_URL and SMTP_FROM.")
    message = compose(_server, subject, text, html, clock.now())
    message["Message-ID"] = f"<{context.task_id}@{_server.sender.domain}>"
    for name, people in (("To", to), ("Cc", cc), ("Reply-To", reply_to)):
        if people:
            message[name] = ", ".join(mail_address(each) for each in people)
    attach(message, attachments)
    recipients = list(dict.fromkeys(mail_address(each) for each in (*to, *cc, *bcc)))
    try:
        refused = deliver(_server, message, recipients)
    except Refused as refusal:
        raise GiveUp(str(refusal)) from None
    return {"message_id": str(message["Message-ID"]), "refused": refused}


def compose(
    server: MailServer, subject: str, text: str | None, html: str | None, now: datetime
) -> EmailMessage:
    """A message without recipients."""
    message = EmailMessage(SEVEN_BIT)
    message["From"] = server.sender
    message["Subject"] = subject
    message["Date"] = format_datetime(now)
    if text is not None:
        message.set_content(text)
    if html is not None and text is not None:
        message.add_alternative(html, subtype="html")
    elif html is not None:
        message.set_content(html, subtype="html")
    return message


def attach(message: EmailMessage, attachments: Iterable[Mapping[str, str]]) -> None:
    for each in attachments:
        main, _, sub = each["content_type"].partition("/")
        message.add_attachment(
            b64decode(each["content"]), maintype=main, subtype=sub, filename=each["filename"]
        )
