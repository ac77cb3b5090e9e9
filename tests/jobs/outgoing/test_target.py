"""A URL is read in one way only; what could be read in two is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.outgoing.target import InvalidUrl, Target, parse

READ = {
    "http://example.com": Target("http", "example.com", 80, "/"),
    "HTTPS://Example.COM/a?b=c#d": Target("https", "example.com", 443, "/a?b=c"),
    "https://example.com:8443/": Target("https", "example.com", 8443, "/"),
    "http://example.com./x": Target("http", "example.com", 80, "/x"),
    "http://my_service:8080": Target("http", "my_service", 8080, "/"),
    "http://faß.de/": Target("http", "xn--fa-hia.de", 80, "/"),
    "http://例え.テスト/パス?名=値": Target(
        "http", "xn--r8jz45g.xn--zckzah", 80, "/%E3%83%91%E3%82%B9?%E5%90%8D=%E5%80%A4"
    ),
    "http://127.0.0.1/": Target("http", "127.0.0.1", 80, "/"),
    "http://１２７.0.0.1/": Target("http", "127.0.0.1", 80, "/"),
    "http://[::1]:8080/": Target("http", "::1", 8080, "/"),
    "http://[2001:DB8:0:0::1]/": Target("http", "2001:db8::1", 80, "/"),
    "http://example.com/%2e%2e/%00": Target("http", "example.com", 80, "/%2e%2e/%00"),
    'http://example.com/"<>`{}': Target("http", "example.com", 80, "/%22%3C%3E%60%7B%7D"),
}

REFUSED = [
    "",
    "example.com",
    "//example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com:6379/_FLUSHALL",
    "http:/example.com",
    "http://",
    "http://:80/",
    "http://user@example.com/",
    "http://user:password@example.com/",
    "http://example.com@169.254.169.254/",
    "http://example.com\\@169.254.169.254/",
    "http://example.com\r\nHost: inside/",
    "http://example.com/\r\nX: y",
    "http://example.com/ HTTP/1.1",
    "http://exam\tple.com/",
    " http://example.com/",
    "http://example.com/\ud800",
    "http://example.com:22/",
    "http://example.com:25/",
    "http://example.com:0/",
    "http://example.com:6000/",
    "http://example.com:65536/",
    "http://example.com:99999999999/",
    "http://example.com:80:80/",
    "http://example.com:８０/",
    "http://2130706433/",  # 127.0.0.1 as one number
    "http://0x7f000001/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://127.1/",
    "http://127.0.0.1.5/",
    "http://127.0.0.08/",
    "http://256.1.1.1/",
    "http://example.0x1/",
    "http://[::1/",
    "http://[::1]x/",
    "http://[::1].example.com/",
    "http://[fe80::1%25eth0]/",
    "http://[v1.a]/",
    "http://[127.0.0.1]/",
    "http://exa%6dple.com/",
    "http://example..com/",
    "http://-example.com/",
    "http://" + "a" * 64 + ".com/",
    "http://" + "ä" * 4000 + "/",
    "http://example.com/" + "a" * 8000,
]


@pytest.mark.parametrize("url", READ)
def test_a_plain_url_is_read(url):
    assert parse(url) == READ[url]


@pytest.mark.parametrize("url", REFUSED, ids=lambda url: ascii(url)[:40])
def test_a_url_that_is_not_plain_is_refused(url):
    with pytest.raises(InvalidUrl):
        parse(url)


@pytest.mark.parametrize("url", READ)
def test_what_was_read_is_read_the_same_again(url):
    assert parse(str(READ[url])) == READ[url]


def test_a_refusal_does_not_repeat_what_may_be_a_password():
    with pytest.raises(InvalidUrl) as refusal:
        parse("http://user:hunter2@example.com/")

    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("location", "leads_to"),
    [
        ("/b", "http://example.com/b"),
        ("c?d=e", "http://example.com/a/c?d=e"),
        ("//other.example/", "http://other.example/"),
        ("https://other.example:444a/", None),
        ("http://[/", None),
        ("ftp://other.example/", None),
        ("http:\\\\inside/", None),
    ],
)
def test_a_redirect_is_read_as_strictly(location, leads_to):
    target = parse("http://example.com/a/b")

    if leads_to is None:
        with pytest.raises(InvalidUrl):
            target.redirected(location)
    else:
        assert str(target.redirected(location)) == leads_to


@given(st.text(max_size=60) | st.from_regex(r"https?://[\S]{0,40}", fullmatch=True))
def test_any_text_is_either_read_or_refused(text):
    try:
        target = parse(text)
    except InvalidUrl:
        return
    assert str(target).isascii()
    assert parse(str(target)) == target
