"""A body is read as every JSON parser would read it, or refused with what is wrong and where."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.strict_json import MAX_DEPTH, RefusedJSON, parse
from fuzz import strict_json as fuzz

LOWEST, HIGHEST = -(2**63), 2**63 - 1

REFUSED = {
    b"": "the body is empty (line 1, column 1)",
    b" \n": "the body is empty (line 1, column 1)",
    b"\xef\xbb\xbf{}": "the body starts with a byte order mark (line 1, column 1)",
    b'{"a":\n  NaN}': "NaN is not JSON, numbers are finite (line 2, column 3)",
    b"[Infinity]": "Infinity is not JSON, numbers are finite (line 1, column 2)",
    b"[-Infinity]": "-Infinity is not JSON, numbers are finite (line 1, column 2)",
    b"+Infinity": "+Infinity is not JSON, numbers are finite (line 1, column 1)",
    b"[1, -1e400]": "a number is too large for a double (line 1, column 5)",
    b"1" * 400: "a number is too large for a double (line 1, column 1)",
    b"[0,\n 9223372036854775808]": "an integer does not fit in 64 bits (line 2, column 2)",
    b"-9223372036854775809": "an integer does not fit in 64 bits (line 1, column 1)",
    b'["\\u0000"]': "a string holds the NUL character \\u0000 (line 1, column 3)",
    b'{"k\\\\\\u0000": 1}': "a string holds the NUL character \\u0000 (line 1, column 6)",
    b'"a\x00b"': "unexpected control character in string (line 1, column 3)",
    b'"\\ud800"': "a string holds half of a surrogate pair (line 1, column 2)",
    b'"\\ude00\\ud83d"': "a string holds half of a surrogate pair (line 1, column 2)",
    '"é\xff'.encode() + b"\xff": "the byte 0xff is not UTF-8 here (line 1, column 4)",
    b'"\xed\xa0\x80"': "the byte 0xed is not UTF-8 here (line 1, column 2)",
    b'{"a": 1, "a": 2}': "an object names the key 'a' twice (line 1, column 10)",
    b'{"a": 1, "\\u0061": 2}': "an object names the key 'a' twice (line 1, column 10)",
    b'[{"a": {"b": 1}, "b": {"c": 1,\n"c": 2}}]': (
        "an object names the key 'c' twice (line 2, column 1)"
    ),
    b'{"\\u003a": 1, "b": 1, "b": 1}': "an object names the key 'b' twice (line 1, column 23)",
    b'{"": 1, "": 1}': "an object names the key '' twice (line 1, column 9)",
    b"[" * 33 + b"]" * 33: (
        "arrays and objects are nested more than 32 deep (line 1, column 33)"
    ),
    b"[" * 100_000: "arrays and objects are nested more than 32 deep (line 1, column 33)",
    b"{} {}": "unexpected content after document (line 1, column 4)",
    b'{"a": 1,}': "trailing comma is not allowed (line 1, column 8)",
    b"{'a': 1}": "unexpected character, expected a string key (line 1, column 2)",
    b"[01]": "number with leading zero is not allowed (line 1, column 2)",
    b'{"a": 1': "unexpected end of data (line 1, column 8)",
}  # fmt: skip

LOOKS_SUSPICIOUS_BUT_IS_FINE = (
    b'"\\\\u0000"',  # an escaped backslash, then u0000
    b'{"a:": ":", "b": "\\u003a\\u003A\\\\u003a"}',
    b'{"a": {"a": [{"a": 1}]}}',
    b'{"a": 1, "A": 2}',
    b'["9223372036854775808", "-9223372036854775809"]',
    b"[9223372036854775807, -9223372036854775808]",
    b"[9223372036854775808.0, 9223372036854775808e0, 1e0000000000000000000000001]",
    b"[0.12345678901234567890123, -0, -0.0, 1e-400]",
    b'["[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", [], [], []]',
    b"[" * 32 + b"]" * 32,
    b"[" + b"[]," * 100 + b"[]]",
    b'"\\ud83d\\ude00"',
)

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(LOWEST, HIGHEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text('ab:\\"é😀\n', max_size=3), inner),
    max_leaves=30,
)


@pytest.mark.parametrize(("body", "message"), REFUSED.items())
def test_a_refusal_says_what_is_wrong_and_where(body: bytes, message: str) -> None:
    with pytest.raises(RefusedJSON) as refusal:
        parse(body)

    assert str(refusal.value) == message


@pytest.mark.parametrize("body", LOOKS_SUSPICIOUS_BUT_IS_FINE)
def test_a_second_look_clears_what_only_looks_wrong(body: bytes) -> None:
    assert same(parse(body), json.loads(body))


@given(json_values, st.booleans(), st.sampled_from([None, 1, "\t"]))
def test_any_value_written_by_the_standard_library_is_read_as_the_same_value(
    value: Any, ascii_only: bool, indent: int | str | None
) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, indent=indent).encode()

    assert same(parse(body), value)


@given(st.lists(st.tuples(st.text('ab:\\"é', max_size=2), json_values), min_size=1))
def test_an_object_is_accepted_exactly_if_its_keys_differ(pairs: list[tuple[str, Any]]) -> None:
    members = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs)
    body = "{" + ", ".join(members) + "}"
    keys = [key for key, _ in pairs]

    if len(set(keys)) == len(keys):
        assert same(parse(body.encode()), dict(pairs))
    else:
        with pytest.raises(RefusedJSON, match="twice"):
            parse(body.encode())


@given(st.binary() | st.text('[]{}",:\\u0d8e1. \n-aNI').map(str.encode))
def test_no_bytes_at_all_make_it_crash_or_differ_from_the_plain_reference(body: bytes) -> None:
    assert repr(fuzz.read(body)) == repr(fuzz.reference(body))


def test_ten_thousand_mutated_bodies_are_judged_like_the_plain_reference() -> None:
    fuzz.main(inputs=10_000, seed=time.time_ns())


@pytest.mark.parametrize("depth", [1, 2, 5, MAX_DEPTH, 200])
def test_the_caller_chooses_how_deep_a_body_may_nest(depth: int) -> None:
    parse(b'{"a":' * depth + b"0" + b"}" * depth, max_depth=depth)

    with pytest.raises(RefusedJSON, match=f"nested more than {depth} deep"):
        parse(b"[" * depth + b"{}" + b"]" * depth, max_depth=depth)


@pytest.mark.parametrize(
    "piece",
    [b'"\\\\u0000"', b'"\\u003a:"', b'"1234567890123456789"', b"[]", b'"\\\\\\\\\\\\"', b"0"],
)
def test_reading_takes_time_in_proportion_to_the_body(piece: bytes) -> None:
    def seconds(size: int) -> float:
        body = b"[" + piece + (b"," + piece) * (size // (len(piece) + 1)) + b"]"
        began = time.process_time()
        parse(body)
        return time.process_time() - began

    assert min(seconds(2_000_000) for _ in range(3)) < 5  # squared: minutes


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types: 1 is not 1.0 here, nor 0.0 the same as -0.0."""
    return repr(one) == repr(other)
