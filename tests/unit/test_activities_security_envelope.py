"""Envelopes: what they seal opens unchanged or not at all."""

from __future__ import annotations

import io

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import given
from hypothesis import strategies as st

from activities.security import envelope
from activities.security.envelope import MasterKey, seal, seal_stream, unseal, unseal_stream
from contracts.errors import Permanent

KEY = b"k" * 32


def opened(boxes: list[bytes]) -> bytes:
    return b"".join(unseal_stream(KEY, io.BytesIO(b"".join(boxes)), "staging/a"))


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(envelope, "CHUNK_BYTES", 8)


@given(st.binary(max_size=200), st.text(max_size=20))
def test_what_is_sealed_opens_as_it_was(plain: bytes, place: str):
    assert unseal(KEY, seal(KEY, plain, place), place) == plain


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_flipped_bit_anywhere_keeps_it_shut(plain: bytes, data: st.DataObject):
    sealed = bytearray(seal(KEY, plain, "here"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1
    with pytest.raises(Permanent):
        unseal(KEY, bytes(sealed), "here")


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("size", [0, 1, 8, 9, 16, 100])
def test_a_stream_of_any_length_opens_as_it_was(size: int):
    plain = bytes(range(size))
    assert opened(list(seal_stream(KEY, io.BytesIO(plain), "staging/a"))) == plain


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("change", ["cut", "swap", "repeat", "other place"])
def test_a_stream_that_was_changed_stays_shut(change: str):
    place = "staging/b" if change == "other place" else "staging/a"
    boxes = list(seal_stream(KEY, io.BytesIO(b"x" * 40), place))
    if change == "cut":
        boxes = boxes[:-1]
    if change == "swap":
        boxes[1], boxes[2] = boxes[2], boxes[1]
    if change == "repeat":
        boxes.insert(1, boxes[1])
    with pytest.raises(Permanent):
        opened(boxes)


@pytest.mark.parametrize("text", ["", "short", "bm90IGxvbmcgZW5vdWdo", "!" * 44])
def test_a_key_that_is_not_32_bytes_of_base64_is_refused(text: str):
    with pytest.raises(Permanent, match="needs 32"):
        MasterKey.from_text(text)


def test_a_key_never_shows_itself():
    assert "6b6b" not in repr(MasterKey(KEY)) + MasterKey(KEY).key_id()
    assert "kkk" not in repr(MasterKey(KEY))


def test_a_purpose_has_the_key_that_hkdf_without_salt_gives_it():
    standard = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"credentials/lumen").derive(KEY)
    assert MasterKey(KEY).derive("credentials/lumen") == standard


def test_two_purposes_have_two_keys():
    assert MasterKey(KEY).derive("codec/default") != MasterKey(KEY).derive("staging/lumen")
