"""The JSON a stranger sends: read strictly and fast, or refused with what is wrong and where.

What is refused beyond bad syntax: bytes that are not UTF-8 or start with a byte order mark, `NaN`
and `Infinity`, integers that do not fit in 64 signed bits, numbers too large for a double, NUL
characters and lone surrogates (escaped ones too), an object that names a key twice, and nesting
deeper than the caller allows. What is accepted means the same to every JSON parser.

orjson reads first and refuses most of it. What it lets through is found by a few scans that run
at the speed of `memchr`; only a body that looks suspicious to one of them is read a second time,
by a regular expression that knows strings from structure. Every scan is linear in the body.
"""

import re
from typing import Any

import orjson

MAX_DEPTH = 32  # arrays and objects within each other; orjson writes at most 254
INTEGERS = range(-(2**63), 2**63)  # what every language and database calls a 64-bit integer

STRING = rb'"(?:[^"\\]++|\\.)*+"'
ANY_DIGIT_AS_ZERO = bytes.maketrans(b"123456789", b"000000000")
TOO_MANY_DIGITS = b"0" * 19  # no shorter integer is out of range

ESCAPED_NUL = re.compile(rb"(?<!\\)(?:\\\\)*+(\\u0000)")
ESCAPED_COLON = re.compile(rb"(?<!\\)(?:\\\\)*+\\u003[aA]")
STRING_OR_LONG_INTEGER = re.compile(
    STRING + rb"|(?<![-+0-9.eE])(-?[0-9]{19,}+)(?![.eE])"  # no fraction, no exponent
)
STRING_OR_BRACKET = re.compile(STRING + rb"|([\[{])|([\]}])")
KEY_OR_BRACE = re.compile(rb"(" + STRING + rb")([ \t\r\n]*+:)?|([{}])")
NOT_A_NUMBER = re.compile(r"NaN|[+-]?Infinity")


class RefusedJSON(ValueError):
    """The body is not the strict JSON we accept."""

    def __init__(self, problem: str, line: int = 1, column: int = 1) -> None:
        super().__init__(f"{problem} (line {line}, column {column})")
        self.problem, self.line, self.column = problem, line, column


def parse(body: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return the one value in `body`, or raise `RefusedJSON`."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _explain(error, body, max_depth) from None

    if b"\\u0000" in body:
        _refuse_nul(body)
    if TOO_MANY_DIGITS in body.translate(ANY_DIGIT_AS_ZERO):
        _refuse_long_integers(body)
    if body.count(b"[") + body.count(b"{") > max_depth and _is_deeper(value, max_depth):
        raise _too_deep(body, max_depth)
    if _lost_a_key(body, value):
        raise _repeated_key(body)
    return value


def _lost_a_key(body: bytes, value: Any) -> bool:
    """Tell whether an object named a key twice, so that orjson kept only the last.

    Nothing but the colons outside strings and the characters inside them writes a colon, so the
    value written out again has fewer colons than the body exactly if a pair was dropped.
    """
    colons = body.count(b":")
    if colons < 2:
        return False
    if b"\\u003" in body:
        colons += len(ESCAPED_COLON.findall(body))
    return colons != orjson.dumps(value).count(b":")


def _is_deeper(value: Any, max_depth: int) -> bool:
    level = [value]
    for _ in range(max_depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if type(outer) is dict else outer)
            if type(inner) is dict or type(inner) is list
        ]
        if not level:
            return False
    return True


def _refuse_nul(body: bytes) -> None:
    found = ESCAPED_NUL.search(body)
    if found:
        raise _refused("a string holds the NUL character \\u0000", body, found.start(1))


def _refuse_long_integers(body: bytes) -> None:
    for found in STRING_OR_LONG_INTEGER.finditer(body):
        digits = found[1]
        if digits and (len(digits) > 20 or int(digits) not in INTEGERS):
            raise _refused("an integer does not fit in 64 bits", body, found.start())


def _too_deep(body: bytes, max_depth: int) -> RefusedJSON:
    depth, start = 0, 0
    for found in STRING_OR_BRACKET.finditer(body):
        if found[1]:
            depth += 1
        elif found[2]:
            depth -= 1
        if depth > max_depth:
            start = found.start()
            break
    return _refused(f"arrays and objects are nested more than {max_depth} deep", body, start)


def _repeated_key(body: bytes) -> RefusedJSON:
    objects: list[set[str]] = []
    for found in KEY_OR_BRACE.finditer(body):
        if found[3] == b"{":
            objects.append(set())
        elif found[3] == b"}":
            objects.pop()
        elif found[2]:
            key = orjson.loads(found[1])
            if key in objects[-1]:
                shown = key if len(key) <= 64 else key[:64] + "…"
                return _refused(f"an object names the key {shown!r} twice", body, found.start())
            objects[-1].add(key)
    return _refused("an object names a key twice", body, 0)


def _explain(error: orjson.JSONDecodeError, body: bytes, max_depth: int) -> RefusedJSON:
    """Say in our words what orjson refused."""
    if not body.strip(b" \t\r\n"):
        return RefusedJSON("the body is empty")
    if body.startswith(b"\xef\xbb\xbf"):
        return RefusedJSON("the body starts with a byte order mark")
    try:
        text = body.decode()
    except UnicodeDecodeError as broken:
        return _refused(
            f"the byte 0x{body[broken.start]:02x} is not UTF-8 here", body, broken.start
        )
    if "depth" in error.msg or "recursion" in error.msg.lower():
        return _too_deep(body, max_depth)

    after_sign = error.pos > 0 and text[error.pos - 1] in "-+"
    word = NOT_A_NUMBER.match(text, error.pos - after_sign)
    if word:
        problem = f"{word[0]} is not JSON, numbers are finite"
    elif "infinity" in error.msg:
        problem = "a number is too large for a double"
    elif "surrogate" in error.msg:
        problem = "a string holds half of a surrogate pair"
    else:
        problem = error.msg
    return RefusedJSON(problem, error.lineno, error.colno - (after_sign if word else 0))


def _refused(problem: str, body: bytes, offset: int) -> RefusedJSON:
    before = body[:offset]
    line_start = before.rfind(b"\n") + 1
    column = len(before[line_start:].decode(errors="replace")) + 1
    return RefusedJSON(problem, before.count(b"\n") + 1, column)
