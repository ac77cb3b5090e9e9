"""Keep the secrets that handlers hold out of everything they say: logs, errors, tracebacks.

While an attempt runs, and a while longer for what its threads still say, each of its secrets is
replaced by a mask in every text that passes here, however it is spelled: plain, quoted by Python
or JSON, in a URL, or in base64.
"""

import logging
from base64 import b64encode, urlsafe_b64encode
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus

import orjson

from tasks.sealing import MASK

SHORTEST = 6  # characters; anything shorter stands in too many innocent words
REMEMBERED = 64  # attempts whose secrets are still kept out when they are over

_secrets: deque[tuple[str, ...]] = deque(maxlen=REMEMBERED)


def keep_out(secrets: Iterable[Any]) -> None:
    """Say none of these values, or of those inside them, from now on."""
    spellings = {each for text in texts(secrets) for each in spelled(text)}
    if spellings:
        _secrets.append(tuple(sorted(spellings, key=len, reverse=True)))
        scrub_logs()


def texts(value: Any) -> Iterator[str]:
    """Every text in a JSON value that is long enough to be told from others."""
    if isinstance(value, dict):
        value = value.values()
    if isinstance(value, str | int | float):
        if len(text := str(value)) >= SHORTEST:
            yield text
    elif value is not None:
        for inner in value:
            yield from texts(inner)


def spelled(text: str) -> Iterator[str]:
    yield text
    yield repr(text)[1:-1]
    yield orjson.dumps(text).decode()[1:-1]
    yield ascii(text)[1:-1]
    yield quote(text)
    yield quote(text, safe="")
    yield quote_plus(text)
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(text.encode()).decode().rstrip("=")


def scrub(text: str) -> str:
    """The text with a mask in place of every secret."""
    for spellings in tuple(_secrets):  # other threads add to it
        for spelling in spellings:
            if spelling in text:
                text = text.replace(spelling, MASK)
    return text


def scrubbed(value: Any) -> Any:
    """A JSON value of which every text is scrubbed."""
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, dict):
        return {key: scrubbed(inner) for key, inner in value.items()}
    return [scrubbed(inner) for inner in value] if isinstance(value, list) else value


class Scrubbing(logging.Formatter):
    """What another formatter makes of a log line, scrubbed."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        return scrub(self._inner.format(record))


def scrub_logs() -> None:
    """Scrub every line that this process logs from now on."""
    for handler in logging.getLogger().handlers:
        if not isinstance(handler.formatter, Scrubbing):
            handler.setFormatter(Scrubbing(handler.formatter or logging.Formatter()))
