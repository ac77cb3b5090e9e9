"""Mail as a task: what a reader sees, and what a stranger cannot smuggle into it."""

import re
from base64 import b64encode
from datetime import timedelta

import pytest

from jobs.handlers import email
from jobs.outgoing.mail_server import mail_server
from tasks import catalog, clock
from tasks.errors import InvalidTask
from tasks.lifecycle import Move
from tests.jobs.handlers.conftest import TASK_ID
from tests.jobs.local_mail_server import serving_mail

MESSAGE = {"to": ["ada@example.com"], "subject": "Hello", "text": "How are you?"}


@pytest.fixture
def mail():
    with serving_mail() as mail:
        url = f"smtp://127.0.0.1:{mail.port}"
        email.configure(mail_server(url, "Tasks <tasks@example.com>"))
        yield mail
    email.configure(None)


@pytest.fixture
def send(attempt):
    return lambda number=1, **payload: attempt("email.send", {**MESSAGE, **payload}, number=number)


def test_a_message_arrives_as_it_was_written(mail, send):
    send(subject="Grüße an Ada, wie vereinbart " * 5, text="Wie geht’s?\n\n.\nViele Grüße\n")

    [message] = mail.messages
    assert str(message["From"]) == "Tasks <tasks@example.com>"
    assert str(message["To"]) == "ada@example.com"
    assert message["Subject"] == "Grüße an Ada, wie vereinbart " * 5
    assert message.get_content() == "Wie geht’s?\n\n.\nViele Grüße\n"
    assert clock.now() - message["Date"].datetime < timedelta(minutes=1)


def test_the_result_tells_the_messages_id_which_is_the_same_at_every_attempt(mail, send):
    first, second = send(number=1).result, send(number=2).result

    assert first == second == {"message_id": f"<{TASK_ID}@example.com>", "refused": {}}
    assert [message["Message-ID"] for message in mail.messages] == [first["message_id"]] * 2


def test_copies_go_out_and_blind_ones_stay_blind(mail, send):
    send(
        to=["ada@example.com", "ada@example.com"],
        cc=["bob@bücher.example"],
        bcc=["eve@example.com", "ada@example.com"],
        reply_to=["shop@example.com", "boss@example.com"],
    )

    [envelope] = mail.envelopes
    [message] = mail.messages
    assert envelope.rcpt_tos == [
        "ada@example.com",
        "bob@xn--bcher-kva.example",
        "eve@example.com",
    ]
    assert str(message["Cc"]) == "bob@xn--bcher-kva.example"
    assert str(message["Reply-To"]) == "shop@example.com, boss@example.com"
    assert b"eve@example.com" not in envelope.content
    assert b"bcc" not in envelope.content.lower()


def test_html_comes_beside_the_text(mail, send):
    send(html="<p>How are you?</p>")

    [message] = mail.messages
    assert message.get_content_type() == "multipart/alternative"
    assert message.get_body(["plain"]).get_content() == "How are you?\n"
    assert message.get_body(["html"]).get_content() == "<p>How are you?</p>\n"


def test_html_alone(mail, attempt):
    attempt("email.send", {"to": ["ada@example.com"], "subject": "Hi", "html": "<p>ü</p>"})

    [message] = mail.messages
    assert message.get_content_type() == "text/html"
    assert message.get_content() == "<p>ü</p>\n"


def test_attachments_arrive_byte_for_byte(mail, send):
    pixels = bytes(range(256)) * 10
    send(
        html="<p>See the file.</p>",
        attachments=[
            {
                "filename": 'Grün "1";.png',
                "content": b64encode(pixels).decode(),
                "content_type": "image/png",
            },
            {"filename": "a.txt", "content": "AAEC", "content_type": "text/plain"},
            {"filename": "empty", "content": ""},
        ],
    )

    [message] = mail.messages
    png, text, empty = message.iter_attachments()
    assert (png.get_filename(), png.get_content_type()) == ('Grün "1";.png', "image/png")
    assert png.get_content() == pixels
    assert (text.get_filename(), text.get_payload(decode=True)) == ("a.txt", b"\0\1\2")
    assert (empty.get_content_type(), empty.get_content()) == ("application/octet-stream", b"")
    assert message.get_body(["html"]).get_content() == "<p>See the file.</p>\n"


@pytest.mark.parametrize("ending", ["\r\n", "\n", "\r", "\r\r\n", "\u2028", "\x0b", "\x85"])
def test_a_lone_dot_cannot_end_the_message_early(mail, send, ending):
    stranger = ending.join(["a", ".", "MAIL FROM:<eve@example.com>", "b"])

    send(text=stranger, html=stranger)

    [envelope] = mail.envelopes
    assert envelope.content.isascii()
    assert b"\r" not in envelope.content.replace(b"\r\n", b"")
    assert b"\n" not in envelope.content.replace(b"\r\n", b"")
    [message] = mail.messages
    read = message.get_body(["plain"]).get_content().replace("\r\n", "\n")
    assert read == re.sub("\r\n|\r|\n", "\n", stranger) + "\n"


def test_a_long_line_is_broken_and_put_together_again(mail, send):
    send(text="x" * 5000)

    [envelope] = mail.envelopes
    assert max(map(len, envelope.content.split(b"\r\n"))) <= 998
    assert mail.messages[0].get_content() == "x" * 5000 + "\n"


@pytest.mark.parametrize(
    ("answer", "move"), [("451 Try later", Move.RETRY), ("554 Spam", Move.FAIL)]
)
def test_what_the_server_says_decides_whether_it_is_tried_again(mail, send, answer, move):
    mail.answers["DATA"] = answer

    failed = send()

    assert failed.report.move is move
    assert answer in failed.error["message"]


def test_who_was_refused_is_in_the_result(mail, send):
    mail.answers["bob@example.com"] = "550 No such user"

    result = send(cc=["bob@example.com"]).result

    assert result["refused"] == {"bob@example.com": "550 No such user"}


def test_without_a_mail_server_it_fails_at_once_and_says_what_to_set(send):
    email.configure(None)

    failed = send()

    assert failed.report.move is Move.FAIL
    assert failed.error["message"] == "No mail server is configured: set SMTP_URL and SMTP_FROM."


FILE = {"filename": "a.txt", "content": "AAEC"}

REFUSED = [
    ({"to": []}, "to"),
    ({"to": "ada@example.com"}, "to"),
    ({"to": ["ada@example.com\r\nBcc: eve@example.com"]}, "to"),
    ({"to": ["ada@example.com, eve@example.com"]}, "to"),
    ({"to": ["Ada <ada@example.com>"]}, "to"),
    ({"to": [f"a{n}@example.com" for n in range(101)]}, "to"),
    ({"bcc": [f"a{n}@example.com" for n in range(100)]}, "to"),
    ({"cc": ["nobody"]}, "cc"),
    ({"reply_to": ["a@example.com\n"]}, "reply_to"),
    ({"subject": "Hello\r\nBcc: eve@example.com"}, "subject"),
    ({"subject": "Hello\n"}, "subject"),
    ({"subject": "Hello\u2028there"}, "subject"),
    ({"subject": "x" * 999}, "subject"),
    ({"attachments": [{**FILE, "filename": "a\r\nX: y"}]}, "attachments"),
    ({"attachments": [{**FILE, "filename": ""}]}, "attachments"),
    ({"attachments": [{**FILE, "content": "%%%"}]}, "attachments"),
    ({"attachments": [{**FILE, "content_type": "image"}]}, "attachments"),
    ({"attachments": [{**FILE, "content_type": "image/png\r\nX: y"}]}, "attachments"),
    ({"attachments": [{**FILE, "content_type": "image/png\n"}]}, "attachments"),
    ({"attachments": [{**FILE, "content_type": "image/png; x=y"}]}, "attachments"),
    ({"attachments": [{**FILE, "content_type": "message/rfc822"}]}, "attachments"),
    ({"attachments": [{**FILE, "content_type": "multipart/mixed"}]}, "attachments"),
    ({"attachments": [FILE] * 51}, "attachments"),
    ({"headers": {"X": "y"}}, "headers"),
]


@pytest.mark.parametrize(("payload", "field"), REFUSED)
def test_what_cannot_be_mail_is_refused_at_submission(payload, field):
    with pytest.raises(InvalidTask) as refusal:
        catalog.kind("email.send").check({**MESSAGE, **payload})

    assert list(refusal.value.messages["payload"]) == [field]


def test_there_must_be_something_to_read():
    with pytest.raises(InvalidTask) as refusal:
        catalog.kind("email.send").check({"to": ["ada@example.com"], "subject": "Hello"})

    assert refusal.value.messages["payload"] == {"text": ["Give text or html or both."]}
