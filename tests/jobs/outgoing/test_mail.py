"""Mail is handed in encrypted and signed in, once for all, and what is refused tells why."""

import ctypes
import ssl
import threading
import time
from dataclasses import replace
from email.message import EmailMessage

import pytest
import trustme

from jobs.outgoing.errors import NoAnswer, Refused
from jobs.outgoing.mail import Session, deliver
from jobs.outgoing.mail_server import mail_server
from tests.jobs.local_mail_server import serving_mail
from tests.jobs.local_servers import speaking

ADA, BOB = "ada@example.com", "bob@example.com"


def a_message():
    message = EmailMessage()
    message["Subject"] = "Hello"
    message.set_content("Hello")
    return message


def at(port, scheme="smtp", login="", tls=None):
    server = mail_server(f"{scheme}://{login}127.0.0.1:{port}", "tasks@example.com")
    return replace(server, tls=tls)


def insisting_on_starttls(port, login="", tls=None):
    """As with any server that is not on loopback."""
    return replace(at(port, login=login, tls=tls), encryption="by STARTTLS")


@pytest.fixture
def certificate(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_message_goes_to_all_recipients_at_once():
    with serving_mail() as mail:
        assert deliver(at(mail.port), a_message(), [ADA, BOB]) == {}

    [envelope] = mail.envelopes
    assert (envelope.mail_from, envelope.rcpt_tos) == ("tasks@example.com", [ADA, BOB])


def test_starttls_encrypts_before_signing_in(certificate, trusting):
    with serving_mail(tls_context=certificate, require_starttls=True, auth_required=True) as mail:
        login = "tasks:open%20sesame@"
        deliver(insisting_on_starttls(mail.port, login, trusting), a_message(), [ADA])

    assert [encrypted for _, encrypted in mail.accepted] == [True]


def test_tls_from_the_start(certificate, trusting):
    with serving_mail(certificate) as mail:
        deliver(at(mail.port, "smtps", tls=trusting), a_message(), [ADA])

    assert len(mail.accepted) == 1


def test_without_starttls_nothing_is_sent_not_even_the_password():
    with (
        serving_mail() as mail,
        pytest.raises(NoAnswer, match="STARTTLS extension not supported"),
    ):
        deliver(insisting_on_starttls(mail.port, "tasks:open%20sesame@"), a_message(), [ADA])

    assert not mail.accepted


def strangers_certificate():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_a_certificate_that_is_not_trusted_ends_tls_from_the_start(trusting):
    with (
        serving_mail(strangers_certificate()) as mail,
        pytest.raises(NoAnswer, match="certificate is not trusted"),
    ):
        deliver(at(mail.port, "smtps", tls=trusting), a_message(), [ADA])


def test_a_certificate_that_is_not_trusted_ends_starttls(trusting):
    with (
        serving_mail(tls_context=strangers_certificate()) as mail,
        pytest.raises(NoAnswer, match="certificate is not trusted"),
    ):
        deliver(insisting_on_starttls(mail.port, tls=trusting), a_message(), [ADA])


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_a_wrong_password_can_be_cured_by_the_operator():
    with (
        serving_mail(auth_require_tls=False, auth_required=True) as mail,
        pytest.raises(NoAnswer, match="did not let us in: 535") as failure,
    ):
        deliver(at(mail.port, login="tasks:hunter2@"), a_message(), [ADA])

    assert "hunter2" not in str(failure.value)


@pytest.mark.parametrize(
    ("stage", "answer", "expected"),
    [
        ("MAIL", "451 Try later", NoAnswer),
        ("MAIL", "550 Not you", Refused),
        (ADA, "450 Greylisted", NoAnswer),
        (ADA, "550 No such user", Refused),
        ("DATA", "452 Disk full", NoAnswer),
        ("DATA", "554 Spam", Refused),
        ("DATA", "421 Closing", NoAnswer),
    ],
)
def test_a_4xx_may_be_cured_by_waiting_and_a_5xx_not(stage, answer, expected):
    with serving_mail() as mail:
        mail.answers[stage] = answer

        with pytest.raises(expected, match=answer):
            deliver(at(mail.port), a_message(), [ADA])

    assert not mail.accepted


def test_who_is_refused_for_good_is_told_while_the_others_get_it():
    with serving_mail() as mail:
        mail.answers[BOB] = "550 No such user"

        refused = deliver(at(mail.port), a_message(), [ADA, BOB])

    assert refused == {BOB: "550 No such user"}
    assert mail.envelopes[0].rcpt_tos == [ADA]


def test_while_one_is_refused_for_now_nobody_gets_it_so_that_nobody_gets_it_twice():
    with serving_mail() as mail:
        mail.answers |= {ADA: "550 No such user", BOB: "450 Greylisted"}

        with pytest.raises(NoAnswer, match="450 Greylisted"):
            deliver(at(mail.port), a_message(), [ADA, BOB, "eve@example.com"])

    assert not mail.accepted


def scripted(*answers):
    """A server that says these things, one at each word of the client, and hangs up."""

    def script(connection):
        connection.sendall(answers[0])
        for answer in answers[1:]:
            connection.recv(100_000)
            connection.sendall(answer)

    return script


ACCEPTED = (b"220 here\r\n", b"250 here\r\n", b"250 OK\r\n", b"250 OK\r\n", b"354 go\r\n")


@pytest.mark.parametrize("goodbye", [b"", b"500 what?\r\n", b"nonsense"])
def test_a_message_that_was_accepted_counts_whatever_happens_at_the_goodbye(goodbye):
    with speaking(scripted(*ACCEPTED, b"250 accepted\r\n", goodbye)) as port:
        assert deliver(at(port), a_message(), [ADA]) == {}


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (scripted(b"554 go away\r\n"), "did not let us in: 554 go away"),
        (scripted(b"SSH-2.0-OpenSSH\r\n"), "did not let us in"),
        (scripted(b""), "cannot be reached"),
        (scripted(*ACCEPTED[:3]), "stopped answering"),
        (scripted(*ACCEPTED, b""), "stopped answering"),
        (scripted(b"220 " + b"x" * 10_000), "did not let us in: 500 Line too long"),
    ],
)
def test_a_server_that_makes_no_sense_is_tried_again(script, said):
    with speaking(script) as port, pytest.raises(NoAnswer, match=said):
        deliver(at(port), a_message(), [ADA])


def test_nobody_listening_is_tried_again():
    with speaking(lambda connection: None) as port:
        pass

    with pytest.raises(NoAnswer, match="cannot be reached: Connection refused"):
        deliver(at(port), a_message(), [ADA])


def test_a_silent_server_is_left(monkeypatch):
    monkeypatch.setattr(Session, "patience", 0.3)
    with (
        speaking(lambda connection: connection.recv(1)) as port,
        pytest.raises(NoAnswer, match="no answer within 0.3 seconds"),
    ):
        deliver(at(port), a_message(), [ADA])


def test_an_interrupt_reaches_a_waiting_thread_within_a_second():
    """As the worker stops a cancelled handler: by an exception set from another thread."""
    ended = []
    waiting = threading.Event()

    class Stop(BaseException):
        pass

    def silent(connection):
        connection.sendall(b"220 here\r\n")
        connection.recv(100_000)
        waiting.set()
        connection.recv(1)

    def wait(port):
        try:
            deliver(at(port), a_message(), [ADA])
        except BaseException as error:  # noqa: BLE001  # it is what the test is about
            ended.append((type(error), time.monotonic()))

    with speaking(silent) as port:
        thread = threading.Thread(target=wait, args=[port])
        thread.start()
        waiting.wait(5)
        interrupted = time.monotonic()
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident), ctypes.py_object(Stop)
        )
        thread.join(5)

    [(what, when)] = ended
    assert what is Stop
    assert when - interrupted < 1
