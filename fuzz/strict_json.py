"""A million broken bodies against the strict JSON edge, judged by a slow and plain reference."""

import json
import math
import random
import sys
import time
from typing import Any

from api.strict_json import INTEGERS, MAX_DEPTH, RefusedJSON, parse

SEEDS = (
    b'{"name": "example_task", "payload": {"message": "hi", "seconds": 0.5}}',
    b'{"tasks": [{"name": "a", "labels": {"k": "v"}}, {"name": "b", "priority": "high"}]}',
    b'[0, -1, 1.5e3, 9223372036854775807, -9223372036854775808, true, false, null]',
    b'{"a:b": "\\u003a:", "\\u0061": {"a": [{"a": []}]}, "": ""}',
    b'"\\ud83d\\ude00 \\\\u0000 \\" \xc3\xa9 \xf0\x9f\x98\x80"',
    b"[" * 31 + b"1" + b"]" * 31,
)  # fmt: skip
SNIPPETS = (
    b"{", b"}", b"[", b"]", b":", b",", b'"', b"\\", b" ", b"\n", b"\t", b"\r",
    b'"a":', b'"a":1,', b'"\\u0061":2,', b'"b":{', b'"":0', b'":":', b'"\\u003A"', b'\\":',
    b"\\u0000", b"\\\\u0000", b"\\ud800", b"\\udc00", b"\\u003a", b"\\u003A", b"\x00", b"\x1f",
    b"NaN", b"-Infinity", b"Infinity", b"1e400", b"-1e400", b"1e-400", b"-0", b"-0.0", b"01", b".5",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775809", b"1" * 310,
    b"0.12345678901234567890123", b"1e00000000000000000000001", b"18446744073709551616",
    b"true", b"nul", b"null", b'"12345678901234567890"', b"\xe2\x80\xa8", b"/**/", b"'a'",
    b"\xef\xbb\xbf", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80",
    b"[" * 33, b"]" * 33, b'{"a":' * 33, b"}" * 33, b"[[]]" * 8,
)  # fmt: skip


def main(inputs: int, seed: int) -> None:
    chance = random.Random(seed)
    began, accepted = time.monotonic(), 0
    for _ in range(inputs):
        body = mutated(chance)
        expected, found = reference(body), read(body)
        if repr(expected) != repr(found):  # tells 1 from 1.0 and 0.0 from -0.0
            sys.exit(f"seed {seed}: {body!r}\n  reference: {expected!r}\n  ours:      {found!r}")
        accepted += expected is not REFUSED
    seconds = time.monotonic() - began
    print(
        f"strict JSON: {inputs:,} inputs, seed {seed}: {accepted:,} accepted, "
        f"{inputs - accepted:,} refused, 0 crashes, 0 differences, {seconds:.0f} s"
    )


REFUSED = "refused"  # not a value: a JSON string comes back from `read` in a tuple


def read(body: bytes) -> tuple[Any] | str:
    """What the edge makes of a body; anything but a value or a `RefusedJSON` is a crash."""
    try:
        return (parse(body),)
    except RefusedJSON as refusal:
        if min(refusal.line, refusal.column) < 1:
            raise AssertionError("a refusal tells where") from refusal
        return REFUSED


def reference(body: bytes) -> tuple[Any] | str:
    """The same rules, written for reading: the standard library and a walk over the value."""
    try:
        value = json.loads(
            body.decode(), parse_constant=_refuse, parse_int=_integer, object_pairs_hook=_object
        )
        _check(value, depth=0)
    except (ValueError, RecursionError):
        return REFUSED
    return (value,)


def _refuse(word: str) -> None:
    raise ValueError(word)


def _integer(digits: str) -> int:
    if len(digits) > 20 or int(digits) not in INTEGERS:
        raise ValueError(digits)
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError("repeated key")
    return dict(pairs)


def _check(value: Any, depth: int) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise ValueError("NUL")
        value.encode()  # a lone surrogate raises UnicodeEncodeError, a ValueError
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("too large")
    if isinstance(value, dict | list):
        if depth == MAX_DEPTH:
            raise ValueError("too deep")
        for key in value if isinstance(value, dict) else ():
            _check(key, depth + 1)
        for inner in value.values() if isinstance(value, dict) else value:
            _check(inner, depth + 1)


def mutated(chance: random.Random) -> bytes:
    body = bytearray(chance.choice(SEEDS))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        at = chance.randrange(len(body) + 1)
        match chance.randrange(6):
            case 0:
                body[at:at] = chance.choice(SNIPPETS)
            case 1:
                body[at : at + chance.randrange(4)] = chance.choice(SNIPPETS)
            case 2:
                del body[at : at + chance.randrange(1, 8)]
            case 3:
                other = chance.choice(SEEDS)
                body[at:at] = other[chance.randrange(len(other)) :]
            case 4:
                if at < len(body):
                    body[at] = chance.randrange(256)
            case 5:
                end = at + chance.randrange(1, 24)
                body[at:at] = body[at:end] + (b"," if chance.random() < 0.5 else b"")
    return bytes(body)


if __name__ == "__main__":
    arguments = [int(argument) for argument in sys.argv[1:]]
    main(inputs=(arguments or [1_000_000])[0], seed=(arguments[1:] or [time.time_ns()])[0])
