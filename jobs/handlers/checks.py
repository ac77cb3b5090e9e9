"""What fields of payloads are checked for beyond their JSON type: URLs, headers, mail addresses."""

import re
from base64 import b64decode
from collections.abc import Mapping

from marshmallow import ValidationError

from jobs.outgoing.mail_server import mail_address
from jobs.outgoing.target import InvalidUrl, parse

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
VISIBLE = re.compile(r"([!-~]([\t -~]*[!-~])?)?")
MEDIA_TYPE = re.compile(  # RFC 6838, 4.2, of one part
    r"(?!multipart/|message/)[a-z0-9][a-z0-9!#$&^_.+-]*/[a-z0-9][a-z0-9!#$&^_.+-]*", re.IGNORECASE
)
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

MOST_HEADERS = 100
SET_BY_US = {  # what frames a message or belongs to a connection, and what names the task
    *("host", "content-length", "transfer-encoding", "connection", "keep-alive", "te", "trailer"),
    *("upgrade", "expect", "proxy-connection", "proxy-authorization", "http2-settings"),
    *("x-task-id", "x-task-attempt"),
}
CREDENTIAL = re.compile(
    r"authori[sz]ation|cookie|token|secret|passw|credential|api-?key|session", re.IGNORECASE
)


def a_url(text: str) -> None:
    try:
        parse(text)
    except InvalidUrl as error:
        raise ValidationError(str(error)) from None


def an_open_header(name: str) -> None:
    a_header_of_the_caller(name)
    if CREDENTIAL.search(name):
        raise ValidationError("Give this header in secret_headers, which are kept encrypted.")


def a_header_of_the_caller(name: str) -> None:
    if not TOKEN.fullmatch(name):
        raise ValidationError("Not a valid header name.")
    if name.lower() in SET_BY_US:
        raise ValidationError("This header is set by the service.")


def a_header_value(value: str) -> None:
    if not VISIBLE.fullmatch(value):
        raise ValidationError("A header's value is visible ASCII, without spaces at its ends.")


def not_too_many(headers: Mapping[str, str]) -> None:
    if len(headers) > MOST_HEADERS:
        raise ValidationError(f"At most {MOST_HEADERS} headers.")


def named_once(*headers: Mapping[str, str]) -> None:
    names = [name.lower() for each in headers for name in each]
    if len(set(names)) < len(names):
        raise ValidationError("A header is given twice; its case makes no difference.")


def base64(text: str) -> None:
    try:
        b64decode(text, validate=True)
    except ValueError:
        raise ValidationError("Not valid base64.") from None


def one_line(text: str) -> None:
    if CONTROL.search(text):
        raise ValidationError("No line breaks or other control characters.")


def a_mail_address(text: str) -> None:
    try:
        mail_address(text)
    except ValueError as error:
        raise ValidationError(str(error)) from None


def a_media_type(text: str) -> None:
    if not MEDIA_TYPE.fullmatch(text):
        raise ValidationError("A media type such as image/png; not message/* or multipart/*.")
