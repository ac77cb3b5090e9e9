"""SMTP_URL and SMTP_FROM say where mail is handed in, and a wrong one is refused in words."""

from email.headerregistry import Address

import pytest

from jobs.outgoing.mail_server import MailServer, mail_address, mail_server

SENDER = Address(addr_spec="tasks@example.com")

URLS = {
    "smtp://mail.example.com": ("mail.example.com", 587, "by STARTTLS", "", ""),
    "smtp://u:p@mail.example.com:2525": ("mail.example.com", 2525, "by STARTTLS", "u", "p"),
    "smtps://u%40x:p%2F%3A@mail.example.com": (
        *("mail.example.com", 465, "from the start"),
        *("u@x", "p/:"),
    ),
    "smtp+plain://mail.internal": ("mail.internal", 25, "none", "", ""),
    "smtp://localhost:1025": ("localhost", 1025, "none", "", ""),
    "smtp://127.0.0.1:1025": ("127.0.0.1", 1025, "none", "", ""),
    "smtp://[::1]:1025": ("::1", 1025, "none", "", ""),
    "smtps://localhost": ("localhost", 465, "from the start", "", ""),
    "smtp://192.168.1.5": ("192.168.1.5", 587, "by STARTTLS", "", ""),
}


@pytest.mark.parametrize("url", URLS)
def test_a_url_says_host_port_encryption_and_login(url):
    host, port, encryption, user, password = URLS[url]

    assert mail_server(url, "tasks@example.com") == MailServer(
        host, port, encryption, SENDER, user, password
    )


@pytest.mark.parametrize(
    "url",
    ["", "mail.example.com", "http://mail.example.com", "smtp://", "smtp://h:x", "smtp://u:é@h"],
)
def test_a_wrong_url_is_refused_without_quoting_its_password(url):
    with pytest.raises(ValueError, match="^SMTP_URL must be like") as refusal:
        mail_server(url, "tasks@example.com")

    assert "é" not in str(refusal.value)


def test_the_password_is_not_shown():
    assert "hunter2" not in repr(mail_server("smtp://u:hunter2@mail.example", "a@example.com"))


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        ("tasks@example.com", SENDER),
        ("<tasks@example.com>", SENDER),
        ("Tasks <tasks@example.com>", Address("Tasks", addr_spec="tasks@example.com")),
        ('"Tasks, Ünì" <tasks@example.com>', Address("Tasks, Ünì", addr_spec="tasks@example.com")),
        ("tasks@bücher.example", Address(addr_spec="tasks@xn--bcher-kva.example")),
    ],
)
def test_a_sender_may_have_a_name(text, sender):
    assert mail_server("smtps://mail.example", text).sender == sender


@pytest.mark.parametrize("text", ["", "tasks", "a@b, c@d", "Tasks\r\nBcc: x@y <a@example.com>"])
def test_a_wrong_sender_is_refused(text):
    with pytest.raises(ValueError, match="^SMTP_FROM must be like"):
        mail_server("smtps://mail.example", text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("ada@example.com", "ada@example.com"),
        ("Ada.Lovelace+tag@Example.COM", "Ada.Lovelace+tag@example.com"),
        ("o'brien@example.co.uk", "o'brien@example.co.uk"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("root@localhost", "root@localhost"),
    ],
)
def test_a_mail_address_is_read(text, address):
    assert mail_address(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "ada@@example.com",
        "a da@example.com",
        ".ada@example.com",
        "ada.@example.com",
        "a..b@example.com",
        '"ada"@example.com',
        "Ada <ada@example.com>",
        "ada@example.com, bob@example.com",
        "ada@example.com\r\nRCPT TO:<eve@example.com>",
        "ada@example.com\n",
        "ada\n@example.com",
        "ada@127.0.0.1",
        "ada@[127.0.0.1]",
        "ädä@example.com",
        "a" * 65 + "@example.com",
    ],
)
def test_what_is_not_a_plain_mail_address_is_refused(text):
    with pytest.raises(ValueError, match="Not a valid mail address"):
        mail_address(text)
