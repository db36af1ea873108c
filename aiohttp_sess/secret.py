"""Secret keys, and the seal around a session key while it is in the client's hands.

A sealed value is unpadded base64url of one of

=========  ==========================================================================
PRIVATE    ``0x01`` ‖ nonce (12 random bytes) ‖ AES-256-GCM-SIV ciphertext ‖ tag (16)
SIGNED     ``0x02`` ‖ payload ‖ HMAC-SHA256 over ``0x02`` ‖ payload (32)
=========  ==========================================================================

GCM-SIV (RFC 8452), because with it random nonces need no counting: under plain GCM a key would
have to go after 2^32 of them. The version byte is authenticated too, as associated data.

The keys that seal are derived from the application's secret key (HKDF-SHA256, RFC 5869) for one
cookie name, one purpose and one seal: what is sealed for one never opens as another (ASVS 9.2.4).
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
import secrets
import string
from abc import ABC, abstractmethod
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

__all__ = ("PrivateSeal", "Seal", "SecretKey", "SignedSeal", "is_base64url", "secret_keys")

_MIN_BYTES = 32
_NONCE = 12
_MAC = hashlib.sha256().digest_size
# By the length modulo 4: what the last character of base64url can be, and the padding it lacks.
_ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
_ALPHABET_BYTES = _ALPHABET.encode()
_LAST = (_ALPHABET, "", _ALPHABET[::16], _ALPHABET[::4])
_PADDING = (b"", b"", b"==", b"=")
_TO_URL = bytes.maketrans(b"+/", b"-_")
# What is not base64url becomes something that is not base64 either.
_FROM_URL = bytes(ord("!") if chr(n) not in _ALPHABET else n for n in range(256)).translate(
    bytes.maketrans(b"-_", b"+/")
)


class SecretKey:
    """The secret from which every sealing key of an application is derived.

    :param material: at least 32 bytes of key material; a str stands for its UTF-8 bytes.
    :raises ValueError: where it is shorter.

    Its repr masks it. Make one with ``python -m aiohttp_sess generate-key`` and keep it where the
    application's other secrets are.
    """

    __slots__ = ("_material",)

    def __init__(self, material: bytes | str) -> None:
        if isinstance(material, str):
            material = material.encode()
        if not isinstance(material, bytes):
            raise TypeError(f"a secret key is made of bytes or str, not {type(material).__name__}")
        if len(material) < _MIN_BYTES:
            raise ValueError(
                f"a secret key needs at least {_MIN_BYTES} bytes of random key material, not "
                f"{len(material)}: make one with `python -m aiohttp_sess generate-key`"
            )
        self._material = material

    @classmethod
    def generate(cls) -> SecretKey:
        """A fresh random key. Sessions sealed with it end when it is forgotten."""
        return cls(secrets.token_bytes(64))

    @classmethod
    def from_env(cls, name: str) -> SecretKey:
        """The key in an environment variable.

        :raises ValueError: where the variable is missing or too short.
        """
        value = os.environ.get(name)
        if value is None:
            raise ValueError(
                f"the environment variable {name} is not set: put the output of "
                "`python -m aiohttp_sess generate-key` in it"
            )
        try:
            return cls(os.fsencode(value.strip()))  # a file that was read ends in a newline
        except ValueError as error:
            raise ValueError(f"the environment variable {name}: {error}") from None

    def derive(self, *labels: str) -> bytes:
        """A sub-key of 32 bytes for one use, named by ``labels`` (HKDF-SHA256)."""
        info = b"\0".join(label.encode() for label in ("aiohttp_sess", *labels))
        return HKDF(SHA256(), length=32, salt=None, info=info).derive(self._material)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretKey):
            return NotImplemented
        return hmac.compare_digest(self._material, other._material)

    def __hash__(self) -> int:
        return hash(self._material)

    def __repr__(self) -> str:
        return "SecretKey(***)"


def secret_keys(
    given: SecretKey | bytes | str | Sequence[SecretKey | bytes | str] | None,
) -> list[SecretKey]:
    """What an application may pass as its secret key, as a list: newest first, empty for None.

    :raises ValueError: for an empty sequence or a key that is too short.
    :raises TypeError: for anything that is no key.
    """
    if given is None:
        return []
    if isinstance(given, SecretKey | bytes | str):
        given = (given,)
    if not isinstance(given, list | tuple):
        raise TypeError(
            "secret_key must be a SecretKey, bytes, str or a list of those, newest first, not "
            + type(given).__name__
        )
    if not given:
        raise ValueError("secret_key is an empty list: pass at least one key, or None")
    return [key if isinstance(key, SecretKey) else SecretKey(key) for key in given]


class Seal(ABC):
    """Seals with the first of its keys, opens with any.

    :param keys: sub-keys of 32 bytes, newest first.
    """

    @abstractmethod
    def seal(self, payload: bytes) -> str:
        """``payload`` as base64url text that only a holder of the key can have made."""

    def unseal(self, value: str) -> bytes | None:
        """The payload, or None for whatever did not come from `seal` under one of the keys.

        One answer for every way to fail, so that none can be told from another (ASVS 11.2.5).
        """
        blob = _decode(value)
        return None if blob is None else self._open(blob)

    @abstractmethod
    def _open(self, blob: bytes) -> bytes | None:
        """The payload in ``blob``, if one of the keys opens it."""


class PrivateSeal(Seal):
    """Encrypted and authenticated: AES-256-GCM-SIV."""

    _VERSION = b"\x01"

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = [AESGCMSIV(key) for key in keys]

    def seal(self, payload: bytes) -> str:
        nonce = os.urandom(_NONCE)
        ciphertext = self._ciphers[0].encrypt(nonce, payload, self._VERSION)
        return _encode(self._VERSION + nonce + ciphertext)

    def _open(self, blob: bytes) -> bytes | None:
        # The shortest has a nonce, a tag and nothing inside.
        if blob[:1] != self._VERSION or len(blob) < 1 + _NONCE + 16:
            return None
        nonce, ciphertext = blob[1 : 1 + _NONCE], blob[1 + _NONCE :]
        for cipher in self._ciphers:
            try:
                return cipher.decrypt(nonce, ciphertext, self._VERSION)
            except InvalidTag:
                continue
        return None


class SignedSeal(Seal):
    """Authenticated only: HMAC-SHA256. The payload can be read by the client."""

    _VERSION = b"\x02"

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = list(keys)

    def seal(self, payload: bytes) -> str:
        body = self._VERSION + payload
        return _encode(body + hmac.digest(self._keys[0], body, "sha256"))

    def _open(self, blob: bytes) -> bytes | None:
        if blob[:1] != self._VERSION or len(blob) < 1 + _MAC:
            return None
        body, mac = blob[:-_MAC], blob[-_MAC:]
        for key in self._keys:
            if hmac.compare_digest(mac, hmac.digest(key, body, "sha256")):
                return body[1:]
        return None


def is_base64url(text: str) -> bool:
    """Whether a text is base64url, and not empty."""
    # As fast as a regular expression in a loop, and faster where something else has filled the
    # processor's caches since the last one.
    return text.isascii() and text != "" and not text.encode().translate(None, _ALPHABET_BYTES)


def _encode(blob: bytes) -> str:
    # Unpadded: "=" makes aiohttp quote the cookie on its way out and unquote it on its way in.
    encoded = binascii.b2a_base64(blob, newline=False).translate(_TO_URL)
    return encoded.rstrip(b"=").decode("ascii")


def _decode(value: str) -> bytes | None:
    over = len(value) % 4
    # The last character may have spare bits that decoding ignores: two spellings of one value would
    # both open, and a sealed value could be changed without anybody noticing.
    if not value or value[-1] not in _LAST[over]:
        return None
    try:
        encoded = value.encode("ascii").translate(_FROM_URL) + _PADDING[over]
        return binascii.a2b_base64(encoded, strict_mode=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
