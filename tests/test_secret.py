"""Secret keys and seals: what was sealed opens, and nothing else does."""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import os
import string
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiohttp_sess import CookieConfig, CookieContentSecurity, SecretKey
from aiohttp_sess.secret import PrivateSeal, Seal, SignedSeal, secret_keys
from aiohttp_sess.storage import SessionKey
from aiohttp_sess.transport import CookieTransport

MATERIAL = bytes(range(32))
OLD, NEW = SecretKey(b"old key " * 4), SecretKey(b"new key " * 4)
PURPOSE = "session cookie"
BASE64URL = string.ascii_letters + string.digits + "-_"
SEALS: list[Callable[[Sequence[bytes]], Seal]] = [PrivateSeal, SignedSeal]

# Made by this release, with nonce-of-12- where there is a nonce: they open for ever.
PAYLOAD = "session key 🦀".encode()
PRIVATE_VALUE = "AW5vbmNlLW9mLTEyLc7OadO3gDvsXkHRcnGjwFPiqkxH83u2FJDLxMKZye7p"
SIGNED_VALUE = "AnNlc3Npb24ga2V5IPCfpoDGXCBlKTArxJwXjPnee2-g1TVojI6o8FqKFbtEvt0jvw"
PRIVATE_KEY = "905ef2fea72a0b3d35f2c737848e09dd9fc6b6fbbb2cfdb5ff1ca1e9a568291f"
SIGNED_KEY = "605ec42a1de79e975f6f53c06aff906e70d56bd033231bff073998dc8631e1a4"


def seals(*keys: SecretKey) -> list[Seal]:
    """Both kinds of seal, with the same secret keys, newest first."""
    return [seal([key.derive("test") for key in keys]) for seal in SEALS]


def blob(value: str) -> bytes:
    """What is inside a sealed value."""
    return base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))


def text(blob: bytes) -> str:
    """Bytes as they travel."""
    return base64.urlsafe_b64encode(blob).rstrip(b"=").decode()


# -- secret keys ----------------------------------------------------------------------------------


@pytest.mark.parametrize("material", [b"k" * 32, "k" * 32, "é" * 16, b"\0" * 32, b"k" * 10_000])
def test_a_key_is_made_of_32_bytes_or_more(material: bytes | str) -> None:
    raw = material.encode() if isinstance(material, str) else material
    assert SecretKey(material) == SecretKey(raw)
    assert hash(SecretKey(material)) == hash(SecretKey(raw))


@pytest.mark.parametrize("short", [b"", b"hunter2", b"k" * 31, "k" * 31, "hunter2", "é" * 15])
def test_a_short_key_is_refused_with_the_remedy(short: bytes | str) -> None:
    with pytest.raises(ValueError, match=r"at least 32 bytes .* aiohttp_sess generate-key") as info:
        SecretKey(short)
    assert "hunter2" not in str(info.value)


@pytest.mark.parametrize("wrong", [None, 7, bytearray(32), ["k" * 32], memoryview(MATERIAL)])
def test_a_key_of_another_type_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError, match=f"bytes or str, not {type(wrong).__name__}"):
        SecretKey(wrong)


def test_a_key_is_shown_by_nothing() -> None:
    """ASVS 16.2.5."""
    key = SecretKey("correct horse battery staple, and more")
    for shown in (repr(key), str(key), f"{key}", repr([key]), repr({"key": key})):
        assert "horse" not in shown
        assert "***" in shown
    with pytest.raises((AttributeError, TypeError)):
        vars(key)


def test_keys_are_equal_by_what_they_are_made_of() -> None:
    assert SecretKey(MATERIAL) == SecretKey(MATERIAL)
    assert SecretKey(MATERIAL) == copy.copy(SecretKey(MATERIAL))
    assert OLD != NEW
    assert SecretKey(MATERIAL) != MATERIAL
    assert len({SecretKey(MATERIAL), SecretKey(MATERIAL), OLD}) == 2


def test_generated_keys_are_long_and_differ() -> None:
    keys = {SecretKey.generate() for _ in range(100)}
    assert len(keys) == 100
    assert all(len(key._material) >= 32 for key in keys)


def test_a_key_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_KEY", "k" * 32)
    assert SecretKey.from_env("SESSION_KEY") == SecretKey("k" * 32)


def test_a_missing_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSION_KEY", raising=False)
    with pytest.raises(ValueError, match=r"variable SESSION_KEY is not set: .* generate-key"):
        SecretKey.from_env("SESSION_KEY")


def test_a_variable_that_is_too_short_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SESSION_KEY", "hunter2")
    with pytest.raises(ValueError, match=r"variable SESSION_KEY: .* at least 32 bytes") as info:
        SecretKey.from_env("SESSION_KEY")
    assert "hunter2" not in str(info.value)


def test_a_variable_need_not_be_text(monkeypatch: pytest.MonkeyPatch) -> None:
    random = bytes(range(128, 256))
    monkeypatch.setenv("SESSION_KEY", os.fsdecode(random))
    assert SecretKey.from_env("SESSION_KEY") == SecretKey(random)


def test_keys_may_be_given_in_any_form() -> None:
    assert secret_keys(None) == []
    for one in (OLD, b"old key " * 4, "old key " * 4):
        assert secret_keys(one) == [OLD]
    assert secret_keys([NEW, b"old key " * 4]) == [NEW, OLD]
    assert secret_keys(("new key " * 4, OLD)) == [NEW, OLD]


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        ([], ValueError, "empty list: pass at least one key, or None"),
        ((), ValueError, "empty list"),
        ("", ValueError, "at least 32 bytes"),
        ([OLD, "short"], ValueError, "at least 32 bytes"),
        ([OLD, None], TypeError, "bytes or str, not NoneType"),
        ([[OLD]], TypeError, "bytes or str, not list"),
        (7, TypeError, "newest first, not int"),
        ({OLD}, TypeError, "newest first, not set"),
        ({"key": OLD}, TypeError, "newest first, not dict"),
        (iter([OLD]), TypeError, "newest first, not list_iterator"),
    ],
)
def test_what_is_no_list_of_keys_is_refused(
    wrong: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        secret_keys(wrong)


# -- derived keys ---------------------------------------------------------------------------------


def test_derived_keys_never_change() -> None:
    """With another release every sealed cookie would be lost."""
    key = SecretKey(MATERIAL)
    assert key.derive(PURPOSE, "private", "id").hex() == PRIVATE_KEY
    assert key.derive(PURPOSE, "signed", "id").hex() == SIGNED_KEY


def test_keys_are_derived_as_rfc_5869_says() -> None:
    extracted = hmac.digest(b"\0" * 32, MATERIAL, "sha256")
    info = b"aiohttp_sess\0session cookie\0private\0id"
    expected = hmac.digest(extracted, info + b"\x01", "sha256")
    assert SecretKey(MATERIAL).derive(PURPOSE, "private", "id") == expected


def test_each_use_has_a_key_of_its_own() -> None:
    """ASVS 9.2.4."""
    labels = [(), ("a",), ("b",), ("a", "b"), ("b", "a"), ("ab",), ("a", ""), ("", "a")]
    derived = [SecretKey(MATERIAL).derive(*each) for each in labels]
    assert len(set(derived)) == len(labels)
    assert {len(each) for each in derived} == {32}
    assert not set(derived) & {OLD.derive(*each) for each in labels}


# -- seals ----------------------------------------------------------------------------------------


def test_private_values_open_for_ever() -> None:
    key = SecretKey(MATERIAL).derive(PURPOSE, "private", "id")
    assert PrivateSeal([key]).unseal(PRIVATE_VALUE) == PAYLOAD


def test_signed_values_open_for_ever() -> None:
    key = SecretKey(MATERIAL).derive(PURPOSE, "signed", "id")
    assert SignedSeal([key]).unseal(SIGNED_VALUE) == PAYLOAD
    assert SignedSeal([key]).seal(PAYLOAD) == SIGNED_VALUE


def test_the_private_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "urandom", lambda size: b"nonce-of-12-"[:size])
    assert PrivateSeal([bytes.fromhex(PRIVATE_KEY)]).seal(PAYLOAD) == PRIVATE_VALUE
    sealed = blob(PRIVATE_VALUE)
    assert sealed[:1] == b"\x01"
    assert sealed[1:13] == b"nonce-of-12-"
    assert len(sealed) == 1 + 12 + len(PAYLOAD) + 16


def test_the_signed_format() -> None:
    body = b"\x02" + PAYLOAD
    mac = hmac.new(bytes.fromhex(SIGNED_KEY), body, hashlib.sha256).digest()
    assert blob(SIGNED_VALUE) == body + mac


def test_cookies_are_sealed_with_these_keys() -> None:
    """The labels that the transport derives with are pinned here too."""
    for security, value in (("private", PRIVATE_VALUE), ("signed", SIGNED_VALUE)):
        config = CookieConfig(content_security=CookieContentSecurity(security))
        transport = CookieTransport(config, [SecretKey(MATERIAL)])
        assert transport._open(value) == SessionKey(PAYLOAD.decode())


@given(payload=st.binary(max_size=300))
def test_what_is_sealed_opens(payload: bytes) -> None:
    for seal in seals(NEW):
        value = seal.seal(payload)
        assert seal.unseal(value) == payload
        # Nothing that needs quotes in a cookie.
        assert set(value) <= set(BASE64URL)


def test_private_hides_and_signed_shows() -> None:
    private, signed = seals(NEW)
    assert b"visits" not in blob(private.seal(b"visits"))
    assert b"visits" in blob(signed.seal(b"visits"))


def test_every_value_of_a_private_seal_is_new() -> None:
    """ASVS 11.3.4: 10,000 nonces, and no two alike."""
    seal = PrivateSeal([NEW.derive("test")])
    nonces = {blob(seal.seal(b"the same"))[1:13] for _ in range(10_000)}
    assert len(nonces) == 10_000


@given(
    payload=st.binary(max_size=80),
    where=st.integers(0),
    change=st.integers(1, 255),
)
def test_no_change_of_a_byte_opens(payload: bytes, where: int, change: int) -> None:
    """ASVS 7.2.1, 9.1.1."""
    for seal in seals(NEW):
        sealed = bytearray(blob(seal.seal(payload)))
        sealed[where % len(sealed)] ^= change
        assert seal.unseal(text(bytes(sealed))) is None


@given(payload=st.binary(max_size=80), where=st.integers(0), other=st.sampled_from(BASE64URL))
def test_no_change_of_a_character_opens(payload: bytes, where: int, other: str) -> None:
    """ASVS 7.2.1, 9.1.1: not even of the spare bits in the last one."""
    for seal in seals(NEW):
        value = seal.seal(payload)
        at = where % len(value)
        changed = value[:at] + other + value[at + 1 :]
        assert seal.unseal(changed) == (payload if changed == value else None)


@pytest.mark.parametrize("size", range(4))
def test_no_second_spelling_of_a_value_opens(size: int) -> None:
    """ASVS 9.1.1: a last character with other spare bits decodes to the same bytes."""
    for seal in seals(NEW):
        value = seal.seal(b"x" * size)
        opening = [other for other in BASE64URL if seal.unseal(value[:-1] + other) is not None]
        assert opening == [value[-1]]


@given(payload=st.binary(max_size=80), cut=st.integers(1))
def test_no_part_of_a_value_opens(payload: bytes, cut: int) -> None:
    """ASVS 7.2.1."""
    for seal in seals(NEW):
        value = seal.seal(payload)
        sealed = blob(value)
        in_text, in_bytes = cut % len(value) or 1, cut % len(sealed) or 1
        parts = [value[:-in_text], value[in_text:]]
        parts += [text(sealed[:-in_bytes]), text(sealed[in_bytes:])]
        assert [seal.unseal(part) for part in parts] == [None] * 4


@given(payload=st.binary(max_size=80), more=st.binary(min_size=1, max_size=40))
def test_nothing_longer_than_a_value_opens(payload: bytes, more: bytes) -> None:
    """ASVS 7.2.1."""
    for seal in seals(NEW):
        value = seal.seal(payload)
        sealed = blob(value)
        longer = [value + text(more), text(more) + value, value + value]
        longer += [text(sealed + more), text(more + sealed), text(sealed[:1] + more + sealed[1:])]
        assert [seal.unseal(each) for each in longer] == [None] * 6


@given(value=st.one_of(st.text(max_size=100), st.text(BASE64URL, max_size=100)))
def test_no_text_opens_that_was_not_sealed(value: str) -> None:
    """ASVS 7.2.1, 1.2.x."""
    assert [seal.unseal(value) for seal in seals(NEW)] == [None, None]


@given(rest=st.binary(max_size=100))
def test_no_bytes_of_a_known_version_open_by_chance(rest: bytes) -> None:
    private, signed = seals(NEW)
    assert private.unseal(text(b"\x01" + rest)) is None
    assert signed.unseal(text(b"\x02" + rest)) is None


@pytest.mark.parametrize("decorate", ["{}=", "{}==", "{} ", " {}", "{}\n", '"{}"', "{}é", "{}\0"])
def test_nothing_around_a_value_is_overlooked(decorate: str) -> None:
    for seal in seals(NEW):
        for size in range(3):
            assert seal.unseal(decorate.format(seal.seal(b"x" * size))) is None


def test_the_standard_alphabet_is_no_second_spelling() -> None:
    for seal in seals(NEW):
        value = next(v for v in (seal.seal(bytes([n])) for n in range(256)) if set("-_") & set(v))
        assert seal.unseal(value) is not None
        assert seal.unseal(value.replace("-", "+").replace("_", "/")) is None


def test_the_shortest_values_open_and_nothing_shorter() -> None:
    for seal, shortest in zip(seals(NEW), (1 + 12 + 16, 1 + 32), strict=True):
        sealed = blob(seal.seal(b""))
        assert len(sealed) == shortest
        assert seal.unseal(text(sealed)) == b""
        for size in range(shortest):
            assert seal.unseal(text(sealed[:size])) is None


def test_signed_values_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """ASVS 11.2.4."""
    compared = []
    original = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(len(one) == len(other) == 32)
        return original(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    _, signed = seals(NEW)
    value = signed.seal(b"x")
    assert signed.unseal(value) == b"x"
    assert signed.unseal(text(blob(value)[:-1] + b"\0")) is None
    assert compared == [True, True]


# -- which key opens what -------------------------------------------------------------------------


def test_the_newest_key_seals_and_every_key_opens() -> None:
    """ASVS 11.2.2, 13.3.4."""
    for old, new, both in zip(seals(OLD), seals(NEW), seals(NEW, OLD), strict=True):
        assert both.unseal(old.seal(b"x")) == b"x"
        assert both.unseal(new.seal(b"x")) == b"x"
        assert new.unseal(both.seal(b"x")) == b"x"
        # A key that was taken out opens nothing any more.
        assert old.unseal(both.seal(b"x")) is None
        assert new.unseal(old.seal(b"x")) is None


def test_one_seal_never_opens_the_other() -> None:
    """ASVS 9.1.2: not even with the same derived key, and the version byte swapped."""
    private, signed = seals(NEW)
    for one, other in ((private, signed), (signed, private)):
        sealed = blob(one.seal(b"x" * 60))
        for version in range(256):
            assert other.unseal(text(bytes([version]) + sealed[1:])) is None


USES = [
    (name, purpose, security)
    for name in ("id", "staff", "Id")
    for purpose in (PURPOSE, "remember me")
    for security in ("private", "signed")
]


@pytest.mark.parametrize("use", USES, ids="-".join)
def test_what_is_sealed_for_one_use_never_opens_for_another(use: tuple[str, str, str]) -> None:
    """ASVS 9.2.4: of one secret key, but another cookie name, purpose or seal."""
    kinds: dict[str, Callable[[Sequence[bytes]], Seal]] = {
        "private": PrivateSeal,
        "signed": SignedSeal,
    }

    def seal(name: str, purpose: str, security: str, kind: str | None = None) -> Seal:
        return kinds[kind or security]([NEW.derive(purpose, security, name)])

    value = seal(*use).seal(b"x" * 60)
    for other in USES:
        for kind in kinds:
            same = other == use and kind == use[2]
            assert (seal(*other, kind).unseal(value) is not None) == same


def test_a_cookie_never_opens_under_another_name_or_seal() -> None:
    """ASVS 9.2.4, through the transport."""
    configs = [
        CookieConfig(name=name, content_security=security)
        for name in ("id", "staff")
        for security in CookieContentSecurity
    ]
    transports = [CookieTransport(config, [NEW]) for config in configs]
    key = SessionKey.generate()
    for one, config in zip(transports, configs, strict=True):
        value = one.line(key, None).partition(";")[0].removeprefix(f"{config.name}=")
        opened = [other._open(value) for other in transports]
        assert opened == [key if other is one else None for other in transports]


def test_the_private_seal_is_that_of_rfc_8452() -> None:
    """The first vector of appendix C.2, so that it is GCM-SIV and not GCM."""
    key, nonce = b"\x01" + bytes(31), b"\x03" + bytes(11)
    (cipher,) = PrivateSeal([key])._ciphers
    sealed = cipher.encrypt(nonce, b"\x01" + bytes(7), None)
    assert sealed.hex() == "c2ef328e5c71c83b843122130f7364b761e0b97427e3df28"
