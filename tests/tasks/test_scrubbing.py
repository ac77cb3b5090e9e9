"""What a handler's secrets are spelled like, no log line or error tells."""

import logging
from base64 import b64encode
from collections.abc import Iterator
from io import StringIO
from urllib.parse import quote

import orjson
import pytest

from tasks import scrubbing
from tasks.scrubbing import keep_out, scrub, scrubbed

SECRET = 'p"ä/ss wörd+\\1'


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    scrubbing._secrets.clear()
    yield
    scrubbing._secrets.clear()


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        repr({"word": SECRET}),
        ascii([SECRET]),
        orjson.dumps(SECRET).decode(),
        f"https://example.com/?q={quote(SECRET, safe='')}",
        f"https://example.com/{quote(SECRET)}",
        f"Basic {b64encode(SECRET.encode()).decode()}",
    ],
)
def test_a_secret_is_masked_however_it_is_spelled(spelling: str) -> None:
    keep_out([SECRET])

    masked = scrub(f"before {spelling} after")

    assert "***" in masked
    assert masked.startswith("before ") and masked.endswith(" after")
    assert "wörd" not in masked and "ss" not in masked


def test_secrets_inside_lists_and_objects_are_kept_out() -> None:
    keep_out([{"Authorization": "Bearer 3f8a9c", "X": ["canary"]}, 4711084711, None, True])

    assert scrub("Bearer 3f8a9c, canary, 4711084711") == "***, ***, ***"


def test_what_is_too_short_to_be_told_from_other_words_is_left() -> None:
    keep_out(["GET", 1, "a", ""])

    assert scrub("GET /a 1") == "GET /a 1"


def test_every_text_of_a_value_is_scrubbed() -> None:
    keep_out(["canary"])

    assert scrubbed({"a": ["the canary", 1, None]}) == {"a": ["the ***", 1, None]}


def test_log_lines_and_tracebacks_are_scrubbed() -> None:
    out = StringIO()
    handler = logging.StreamHandler(out)
    logging.getLogger().addHandler(handler)
    try:
        keep_out(["canary-42"])
        log = logging.getLogger("test")
        log.warning("calling with %s", "canary-42")
        try:
            raise ValueError("no such user: canary-42")
        except ValueError:
            log.exception("failed")
    finally:
        logging.getLogger().removeHandler(handler)

    assert "calling with ***" in out.getvalue()
    assert "no such user: ***" in out.getvalue()
    assert "canary-42" not in out.getvalue()


def test_old_secrets_are_forgotten_so_that_scrubbing_stays_cheap() -> None:
    for number in range(scrubbing.REMEMBERED + 1):
        keep_out([f"secret-{number}!"])

    assert scrub("secret-0!") == "secret-0!"
    assert scrub("secret-1!") == "***"
