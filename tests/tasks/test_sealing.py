"""A secret field is stored sealed, bound to its place, and opened only with its key."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marshmallow import Schema, fields

from tasks import catalog, sealing
from tasks.errors import InvalidTask, UnreadableSecret
from tasks.sealing import MASK, SEALED, Vault, masked, new_key

A_KEY = "ABCDEFGH" * 5 + "ABC="
ONE, TWO = f"1:{new_key()}", f"2:{new_key()}"


class Account(Schema):
    user = fields.String()
    password = fields.String(data_key="pass", metadata={"secret": True})


class Everything(Schema):
    open_field = fields.String(data_key="open")
    token = fields.String(metadata={"secret": True}, allow_none=True)
    headers = fields.Dict(keys=fields.String(), values=fields.String(), metadata={"secret": True})
    account = fields.Nested(Account)
    accounts = fields.List(fields.Nested(Account))
    many = fields.Nested(Account, many=True)
    by_name = fields.Dict(keys=fields.String(), values=fields.Nested(Account))
    pins = fields.List(fields.Integer(metadata={"secret": True}))
    inner = fields.Nested(lambda: Everything())


class Harmless(Schema):
    text = fields.String()
    inner = fields.Nested(lambda: Harmless())


PAYLOAD: dict[str, Any] = {
    "open": "seen",
    "token": "canary-1",
    "headers": {"Authorization": "canary-2"},
    "account": {"user": "seen", "pass": "canary-3"},
    "accounts": [{"user": "seen", "pass": "canary-4"}, {"user": "seen"}],
    "many": [{"pass": "canary-5"}],
    "by_name": {"x": {"pass": "canary-6"}},
    "pins": [471108, 471109],
    "inner": {"token": "canary-7", "open": "seen"},
}


def a_kind(schema: type[Schema], name: str) -> catalog.Kind:
    catalog.handles(name, schema)(lambda **_: None)
    return catalog.kind(name)


@pytest.fixture(autouse=True)
def _no_keys_left_behind() -> Iterator[None]:
    kinds = dict(catalog._kinds)
    yield
    sealing.configure(Vault())
    catalog._kinds.clear()
    catalog._kinds.update(kinds)


@pytest.fixture
def kind() -> catalog.Kind:
    sealing.configure(Vault([ONE]))
    return a_kind(Everything, "test.secrets")


def test_no_secret_is_left_in_the_stored_payload(kind: catalog.Kind) -> None:
    stored = str(sealing.seal(kind, PAYLOAD))

    assert "canary" not in stored and "4711" not in stored
    assert stored.count("seen") == 5


def test_what_is_sealed_opens_to_what_was_submitted(kind: catalog.Kind) -> None:
    payload, secrets = sealing.unseal(kind, sealing.seal(kind, PAYLOAD))

    assert payload == PAYLOAD
    assert len(secrets) == 9


def test_whoever_may_see_payloads_sees_what_was_submitted(kind: catalog.Kind) -> None:
    assert sealing.shown(kind.name, sealing.seal(kind, PAYLOAD)) == PAYLOAD


def test_a_mask_stands_for_what_cannot_be_opened(kind: catalog.Kind) -> None:
    sealed = sealing.seal(kind, PAYLOAD)
    sealing.configure(Vault([TWO]))

    assert sealing.shown(kind.name, sealed) == {
        "open": "seen",
        "token": MASK,
        "headers": MASK,
        "account": {"user": "seen", "pass": MASK},
        "accounts": [{"user": "seen", "pass": MASK}, {"user": "seen"}],
        "many": [{"pass": MASK}],
        "by_name": {"x": {"pass": MASK}},
        "pins": [MASK, MASK],
        "inner": {"token": MASK, "open": "seen"},
    }


def test_a_secret_of_a_kind_that_is_no_longer_known_is_masked_too(kind: catalog.Kind) -> None:
    assert MASK in str(sealing.shown("forgotten", sealing.seal(kind, {"token": "canary"})))


@pytest.mark.parametrize("planted", ["plain", 7, {SEALED: 7}, {SEALED: "1.AAAA"}, [], {}])
def test_a_mask_stands_for_what_somebody_else_put_there(kind: catalog.Kind, planted: Any) -> None:
    assert sealing.shown(kind.name, {"token": planted}) == {"token": MASK}


def test_a_null_stays_a_null(kind: catalog.Kind) -> None:
    assert sealing.seal(kind, {"token": None}) == {"token": None}


def test_the_same_secret_never_looks_the_same_twice(kind: catalog.Kind) -> None:
    assert sealing.seal(kind, {"token": "x"}) != sealing.seal(kind, {"token": "x"})


def test_a_payload_that_only_looks_sealed_is_sealed_like_any_other(kind: catalog.Kind) -> None:
    sealed = sealing.seal(kind, {"token": {SEALED: "1.AAAA"}})

    assert sealing.unseal(kind, sealed)[0] == {"token": {SEALED: "1.AAAA"}}


def test_a_secret_cannot_be_moved_to_another_field_or_kind(kind: catalog.Kind) -> None:
    sealed = sealing.seal(kind, {"token": "canary"})
    other = a_kind(Everything, "test.other")

    with pytest.raises(UnreadableSecret):
        sealing.unseal(kind, {"headers": sealed["token"]})
    with pytest.raises(UnreadableSecret):
        sealing.unseal(other, sealed)


@given(st.binary(min_size=1, max_size=60), st.integers(min_value=0))
def test_a_changed_secret_is_refused(change: bytes, at: int) -> None:
    vault = Vault([ONE])
    sealed = vault.seal("canary", "here")[SEALED]
    at %= len(sealed)
    changed = sealed[:at] + change.decode("latin-1") + sealed[at + len(change) :]

    if changed.rstrip("=") != sealed.rstrip("="):
        with pytest.raises(UnreadableSecret):
            vault.open({SEALED: changed}, "here")


@pytest.mark.parametrize(
    "planted", [None, 1, "x", [], {}, {SEALED: None}, {SEALED: "1."}, {SEALED: "1.A"}, {SEALED: ""}]
)
def test_what_was_never_sealed_is_refused(planted: object) -> None:
    with pytest.raises(UnreadableSecret):
        Vault([ONE]).open(planted, "here")


def test_the_newest_key_seals_and_every_key_opens(kind: catalog.Kind) -> None:
    old = sealing.seal(kind, {"token": "canary"})
    sealing.configure(Vault([TWO, ONE]))
    new = sealing.seal(kind, {"token": "canary"})

    assert new["token"][SEALED].startswith("2.")
    assert sealing.unseal(kind, old)[0] == sealing.unseal(kind, new)[0] == {"token": "canary"}


def test_what_is_resealed_needs_the_old_key_no_longer(kind: catalog.Kind) -> None:
    old = sealing.seal(kind, PAYLOAD)
    sealing.configure(Vault([TWO, ONE]))
    new = sealing.reseal(kind, old)
    sealing.configure(Vault([TWO]))

    assert new is not None
    assert sealing.unseal(kind, new)[0] == PAYLOAD
    assert sealing.reseal(kind, new) is None
    with pytest.raises(UnreadableSecret):
        sealing.unseal(kind, old)


def test_without_a_key_a_secret_is_refused_and_nothing_else_is(kind: catalog.Kind) -> None:
    sealing.configure(Vault())

    assert sealing.seal(kind, {"open": "seen"}) == {"open": "seen"}
    with pytest.raises(InvalidTask) as refusal:
        sealing.seal(kind, {"account": {"pass": "canary"}})
    assert refusal.value.messages == {"payload": {"account": [sealing.NO_KEYS]}}


def test_a_schema_without_secrets_costs_nothing() -> None:
    kind = a_kind(Harmless, "test.harmless")
    payload = {"text": "x", "inner": {"text": "y"}}

    assert not sealing.has_secrets(kind)
    assert sealing.seal(kind, payload) is payload
    assert sealing.shown(kind.name, payload) is payload


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "1",
        "1:",
        "1:c2hvcnQ=",
        f":{A_KEY}",
        f"a b:{A_KEY}",
        f"1:*{A_KEY}",
    ],
)
def test_a_wrong_key_is_refused_in_a_sentence_that_does_not_show_it(wrong: str) -> None:
    with pytest.raises(ValueError, match="payload-key") as refusal:
        Vault([wrong])

    assert "ABCDEFGH" not in str(refusal.value)


def test_two_keys_of_one_version_are_refused() -> None:
    with pytest.raises(ValueError, match="different versions"):
        Vault([ONE, f"1:{new_key()}"])


def test_a_fingerprint_needs_a_key_to_be_guessed() -> None:
    assert Vault([ONE]).fingerprint(b"1234") != Vault().fingerprint(b"1234")
    assert Vault([ONE]).may_be_of(Vault([ONE]).fingerprint(b"1234"), b"1234")
    assert not Vault([ONE]).may_be_of(Vault([ONE]).fingerprint(b"1234"), b"12345")


@pytest.mark.parametrize("before", [[], [ONE]])
@pytest.mark.parametrize("after", [[TWO, ONE], [ONE, TWO]])
def test_a_fingerprint_is_recognised_after_keys_were_added(
    before: list[str], after: list[str]
) -> None:
    known = Vault(before).fingerprint(b"1234")

    assert Vault(after).may_be_of(known, b"1234")
    assert not Vault(after).may_be_of(known, b"12345")
    assert Vault(after).fingerprint(b"1234", like=known) == known


def test_a_fingerprint_by_a_key_that_is_not_here_may_be_of_anything() -> None:
    assert Vault([TWO]).may_be_of(Vault([ONE]).fingerprint(b"1234"), b"1234")
    assert Vault().may_be_of(Vault([ONE]).fingerprint(b"1234"), b"other")


@given(
    st.recursive(
        st.none() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_masking_leaves_alone_whatever_is_not_sealed(value: Any) -> None:
    assert masked(value) == value
