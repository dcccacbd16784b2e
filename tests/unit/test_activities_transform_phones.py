"""Phone numbers, words that fit a phone, and answers by reply."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.phones import fitted, links, numbers, read_answer, shortened, ways_to_answer
from contracts.errors import InvalidInput
from contracts.notification import NotificationAction
from tests.support.deliveries import delivery

EFFECT_IDS = st.text("0123456789abcdef", min_size=32, max_size=32)
ACTION_IDS = st.from_regex(r"[a-z0-9][a-z0-9._:\-]{0,63}", fullmatch=True)


@pytest.mark.parametrize("written", ["+44 7700 900101", "+44-7700-900.101", "(+44) 7700900101"])
def test_the_same_number_is_the_same_however_it_is_written(written: str) -> None:
    assert numbers([written, "+447700900101"], "twilio") == ["+447700900101"]


def accepted(text: str) -> list[str]:
    try:
        return numbers([text], "twilio")
    except InvalidInput:
        return []


@given(st.text(max_size=30) | st.from_regex(r"\+[0-9 .()-]{5,20}"))
def test_only_numbers_with_a_country_code_come_out(text: str) -> None:
    for number in accepted(text):
        assert re.fullmatch(r"\+[1-9][0-9]{6,14}", number, re.ASCII)


@given(st.text(max_size=300), st.integers(10, 200))
def test_a_shortened_text_fits_and_begins_as_the_whole(text: str, limit: int) -> None:
    short = shortened(text, limit)
    assert len(short) <= limit
    assert text.strip().startswith(short.removesuffix("…"))


def test_lines_are_kept_whole_and_the_words_make_room() -> None:
    found = fitted("word " * 100, ["Map: https://maps.example.com"], 200, "twilio")
    assert len(found) <= 200
    assert found.endswith("…\nMap: https://maps.example.com")


def test_lines_that_leave_no_room_for_words_are_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        fitted("Hello", ["x" * 100], 200, "twilio")
    assert caught.value.detail.code == "too_many_actions"


@given(ACTION_IDS, EFFECT_IDS)
def test_what_a_text_asks_to_reply_is_read_back(action_id: str, effect_id: str) -> None:
    [line] = ways_to_answer([NotificationAction(action_id=action_id, label="Yes", type="choose")], effect_id)
    answer = read_answer(line.removeprefix("Reply ").removesuffix(": Yes"))
    assert answer is not None
    assert answer.action_id == action_id
    assert effect_id.startswith(answer.effect_prefix)


@pytest.mark.parametrize("typed", [" ACK 3f9a2c ", "ack #3F9A2C.", "ack\n3F9A2C"])
def test_people_type_answers_in_their_own_way(typed: str) -> None:
    answer = read_answer(typed)
    assert answer is not None
    assert (answer.action_id, answer.effect_prefix) == ("ack", "3f9a2c")


def test_an_action_that_a_phone_would_misspell_is_not_offered() -> None:
    action = NotificationAction(action_id="confirmDate", label="Yes", type="choose")
    assert ways_to_answer([action], "0" * 32) == []


@pytest.mark.parametrize("text", ["", "Thanks!", "ack", "3F9A2C", "I will be there at 3F9A2C o'clock", "STOP"])
def test_other_texts_answer_nothing(text: str) -> None:
    assert read_answer(text) is None


def test_links_that_are_no_web_address_are_left_out() -> None:
    actions = [
        {"actionId": "map", "label": "Map", "type": "link", "url": "https://maps.example.com"},
        {"actionId": "bad", "label": "Bad", "type": "link", "url": "javascript:alert(1)"},
    ]
    assert links(delivery("twilio", actions=actions).notification) == ["Map: https://maps.example.com"]
