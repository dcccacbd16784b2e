"""Sealed records: they open under any key of the ring, in their place alone, and survive a rotation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.security.envelope import MasterKey, seal
from activities.security.keyring import KeyRing
from activities.security.records import Sealer, key_id_of
from contracts.errors import Permanent, Transient

OLD, NEW = MasterKey(b"o" * 32), MasterKey(b"n" * 32)
BEFORE, DURING, AFTER = (Sealer(KeyRing(given=keys), "credentials") for keys in ([OLD], [NEW, OLD], [NEW]))
PLACE = "credential|lumen|crm|1"


@given(st.binary(max_size=200))
def test_a_record_opens_as_it_was_before_and_after_it_is_rewrapped(plain: bytes) -> None:
    sealed = BEFORE.seal("lumen", plain, PLACE)
    rewrapped = DURING.rewrapped("lumen", sealed, PLACE)
    assert [DURING.open("lumen", one, PLACE) for one in (sealed, rewrapped)] == [plain, plain]
    assert AFTER.open("lumen", rewrapped, PLACE) == plain


def test_after_it_is_rewrapped_the_old_key_alone_opens_nothing() -> None:
    rewrapped = DURING.rewrapped("lumen", BEFORE.seal("lumen", b"token", PLACE), PLACE)
    with pytest.raises(Transient, match=NEW.key_id()):
        BEFORE.open("lumen", rewrapped, PLACE)


@pytest.mark.parametrize(
    "beside",
    [([OLD], [OLD, NEW]), ([OLD, NEW], [NEW, OLD])],
    ids=["while the new key is being distributed", "while it is being made the newest"],
)
def test_processes_that_are_one_step_apart_open_each_others_records(beside: tuple[list[MasterKey], ...]) -> None:
    sealers = [Sealer(KeyRing(given=keys), "credentials") for keys in beside]
    for writer in sealers:
        sealed = writer.seal("lumen", b"token", PLACE)
        assert [reader.open("lumen", sealed, PLACE) for reader in sealers] == [b"token", b"token"]


def test_the_newest_key_of_a_ring_seals() -> None:
    assert key_id_of(DURING.seal("lumen", b"token", PLACE)) == NEW.key_id()


def test_rewrapping_leaves_the_content_as_it_is() -> None:
    sealed = BEFORE.seal("lumen", b"token", PLACE)
    assert DURING.rewrapped("lumen", sealed, PLACE)[-33:] == sealed[-33:]


def test_a_record_from_before_key_ids_opens_and_is_brought_under_the_newest() -> None:
    earlier = seal(OLD.derive("credentials/lumen"), b"token", PLACE)
    assert key_id_of(earlier) is None
    assert DURING.open("lumen", earlier, PLACE) == b"token"
    assert AFTER.open("lumen", DURING.rewrapped("lumen", earlier, PLACE), PLACE) == b"token"


@pytest.mark.parametrize(("organization", "place"), [("other", PLACE), ("lumen", "credential|lumen|crm|2")])
def test_a_record_that_was_moved_stays_shut(organization: str, place: str) -> None:
    with pytest.raises(Permanent):
        BEFORE.open(organization, BEFORE.seal("lumen", b"token", PLACE), place)


@given(st.data())
def test_a_flipped_bit_anywhere_keeps_it_shut(data: st.DataObject) -> None:
    sealed = bytearray(BEFORE.seal("lumen", b"token", PLACE))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= 1
    with pytest.raises((Permanent, Transient)):
        BEFORE.open("lumen", bytes(sealed), PLACE)


def test_two_records_of_the_same_content_share_no_byte_of_key_or_content() -> None:
    first, second = (BEFORE.seal("lumen", b"token" * 10, PLACE) for _ in range(2))
    assert first[10:] != second[10:]
