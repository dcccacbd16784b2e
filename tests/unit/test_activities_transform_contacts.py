"""Contacts: the same address is the same word, in one organisation, and no word leads back."""

from __future__ import annotations

import pytest

from activities.transform.contacts import contact_of, same_message
from contracts.notification import SourceNotification

KEY = b"k" * 32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna@Fisher.example", " anna@fisher.EXAMPLE "),
        ("+44 7700 900-123", "tel:+447700900123"),
        ("whatsapp:+447700900123", "+44 (7700) 900123"),
    ],
)
def test_one_address_however_it_is_written_is_one_contact(one: str, other: str):
    assert contact_of(KEY, "lumen", one) == contact_of(KEY, "lumen", other)


def test_a_contact_is_another_in_another_organisation_and_under_another_key():
    anna = "anna@fisher.example"
    assert len({contact_of(KEY, "lumen", anna), contact_of(KEY, "harbour", anna), contact_of(b"x", "lumen", anna)}) == 3


def notification(**changes: object) -> SourceNotification:
    given = {"notificationId": "n1", "type": "reminder", "title": "Tasting", "message": "On Friday", **changes}
    return SourceNotification.model_validate(given)


def test_what_says_the_same_is_the_same_message_whatever_its_id():
    assert same_message(KEY, "lumen", notification()) == same_message(KEY, "lumen", notification(notificationId="n2"))


@pytest.mark.parametrize(
    "changes",
    [
        {"message": "On Saturday"},
        {"type": "invitation"},
        {"metadata": {"guests": 3}},
        {"weddingContext": {"weddingId": "w2"}},
    ],
)
def test_what_says_something_else_is_another_message(changes: dict[str, object]):
    assert same_message(KEY, "lumen", notification()) != same_message(KEY, "lumen", notification(**changes))


def test_a_senders_own_key_counts_more_than_the_words():
    keyed = [notification(message=text, metadata={"dedupKey": "tasting-1"}) for text in ("On Friday", "This Friday")]
    assert same_message(KEY, "lumen", keyed[0]) == same_message(KEY, "lumen", keyed[1])
