"""Secret fields of payloads: sealed at submission, opened for their handler and who may see it.

A kind's schema marks a field with `metadata={"secret": True}`. What is given for it is encrypted
before it is stored (AES-256-GCM), as `{"$sealed": "<version>.<nonce and ciphertext>"}` in its place
in the payload, and bound to its kind and field, so that it cannot be moved to another one. Clients
who may see payloads get it opened, and `"***"` if its key is gone; the plain value is never stored,
queued or logged, and answered to nobody else.

Keys are versioned (`PAYLOAD_KEYS=2:…,1:…`, the newest first). The newest seals, all of them open;
to rotate, put a new one in front, start every process anew, `python -m jobs reseal`, drop the old.
"""

import os
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from hmac import digest as hmac_digest
from typing import Any

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tasks import catalog
from tasks.catalog import Kind
from tasks.errors import InvalidTask, UnreadableSecret
from tasks.secret_fields import places_of, walk

SEALED = "$sealed"
MASK = "***"
KEY_BYTES, NONCE_BYTES = 32, 12
NO_KEYS = "This field is secret, and the service has no PAYLOAD_KEYS to encrypt it with."


class Vault:
    """The keys of this process, newest first."""

    def __init__(self, keys: Sequence[str] = ()) -> None:
        """`keys` are spelled `version:key`; a `ValueError` says what they must be."""
        self._ciphers: dict[str, AESGCM] = {}
        self._keys: dict[str, bytes] = {}
        self._newest = ""
        for text in keys:
            version, key = key_of(text)
            if version in self._ciphers:
                raise ValueError("keys of different versions")
            self._ciphers[version], self._keys[version] = AESGCM(key), key
            self._newest = self._newest or version

    def __bool__(self) -> bool:
        return bool(self._ciphers)

    def seal(self, value: Any, place: str) -> dict[str, str]:
        """This JSON value as only this place can be made to show it again."""
        nonce = os.urandom(NONCE_BYTES)
        hidden = self._ciphers[self._newest].encrypt(nonce, orjson.dumps(value), place.encode())
        return {SEALED: f"{self._newest}.{urlsafe_b64encode(nonce + hidden).decode()}"}

    def open(self, sealed: Any, place: str) -> Any:
        """What was sealed for this place, or `UnreadableSecret`."""
        try:
            version, _, text = sealed[SEALED].partition(".")
            data = b64decode(text, altchars=b"-_", validate=True)
            nonce, hidden = data[:NONCE_BYTES], data[NONCE_BYTES:]
            plain = self._ciphers[version].decrypt(nonce, hidden, place.encode())
        except (KeyError, TypeError, ValueError, AttributeError, InvalidTag):
            raise UnreadableSecret(f"The secret in {place} cannot be read.") from None
        return orjson.loads(plain)

    def is_old(self, sealed: Mapping[str, str]) -> bool:
        """Whether another key than the newest sealed this."""
        return sealed[SEALED].partition(".")[0] != self._newest

    def fingerprint(self, data: bytes, like: bytes | None = None) -> bytes:
        """A digest of data that may hold secrets: without a key nobody can try guesses on it.

        To compare it with another, made `like` that one: by the same key, if that is still here.
        """
        version = self._newest if like is None else version_of(like)
        if version and version not in self._keys:
            version = self._newest
        key = self._keys.get(version)
        digest = hmac_digest(key, data, "sha256") if key else sha256(data).digest()
        return f"{version}.".encode() + digest

    def may_be_of(self, fingerprint: bytes, data: bytes) -> bool:
        """Whether this is the fingerprint of that data, or was made by a key that is not here."""
        version = version_of(fingerprint)
        if version and version not in self._keys:
            return True
        return compare_digest(self.fingerprint(data, like=fingerprint), fingerprint)


def version_of(fingerprint: bytes) -> str:
    """The version of the key that made it; "" if there was none."""
    return fingerprint.partition(b".")[0].decode(errors="replace")


def new_key() -> str:
    """A key, as `PAYLOAD_KEYS` spells it after its version."""
    return urlsafe_b64encode(os.urandom(KEY_BYTES)).decode()


def key_of(text: str) -> tuple[str, bytes]:
    """The version and the bytes of one of PAYLOAD_KEYS."""
    version, _, spelled = text.partition(":")
    try:
        key = b64decode(spelled, altchars=b"-_", validate=True)
    except ValueError:
        key = b""
    if not (version.isascii() and version.isalnum()) or len(key) != KEY_BYTES:
        raise ValueError("versions and keys as `python -m api payload-key` makes them")
    return version, key


_vault = Vault()


def configure(vault: Vault) -> None:
    """Seal and open with these keys in this process."""
    global _vault
    _vault = vault


def vault() -> Vault:
    return _vault


def has_secrets(kind: Kind) -> bool:
    return places_of(kind.schema) is not None


def seal(kind: Kind, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """The payload with its secrets sealed, or `InvalidTask` if there is no key to do it with."""
    places = places_of(kind.schema)
    if places is None:
        return payload

    def sealed(value: Any, place: str) -> Any:
        if not _vault:
            raise InvalidTask({"payload": {place.partition("/")[2].partition("/")[0]: [NO_KEYS]}})
        return _vault.seal(value, place)

    changed: Mapping[str, Any] = walk(places, payload, sealed, kind.name)
    return changed


def unseal(kind: Kind, payload: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Any]]:
    """The payload as it was submitted and the secrets in it, or `UnreadableSecret`."""
    places = places_of(kind.schema)
    if places is None:
        return payload, []
    secrets: list[Any] = []

    def plain(value: Any, place: str) -> Any:
        secrets.append(_vault.open(value, place))
        return secrets[-1]

    changed: Mapping[str, Any] = walk(places, payload, plain, kind.name)
    return changed, secrets


def reseal(kind: Kind, payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The payload sealed by the newest key, or None if it already is."""
    old = False

    def renewed(value: Any, place: str) -> Any:
        nonlocal old
        old = old or _vault.is_old(value)
        return _vault.seal(_vault.open(value, place), place)

    changed: Mapping[str, Any] = walk(places_of(kind.schema), payload, renewed, kind.name)
    return changed if old else None


def shown(name: str, payload: Any) -> Any:
    """The payload of a task of this kind as whoever may see payloads sees it.

    A mask stands for what cannot be opened here: its key was dropped, or its kind is not known.
    """
    kind = catalog.kinds().get(name)
    if kind is None:
        return masked(payload)
    places = places_of(kind.schema)
    return payload if places is None else walk(places, payload, _opened, name)


def _opened(value: Any, place: str) -> Any:
    try:
        return _vault.open(value, place)
    except UnreadableSecret:
        return MASK


def masked(value: Any) -> Any:
    """A JSON value with a mask for whatever is sealed in it, known to a schema or not."""
    if isinstance(value, dict):
        if value.keys() == {SEALED}:
            return MASK
        return {key: masked(inner) for key, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list) else value
