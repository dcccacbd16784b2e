"""Hysteresis: one odd check changes nothing, and what lasts changes the word."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.hysteresis import Standing, judged, newly_watched
from contracts.health import HealthRules, HealthWord

START = datetime(2031, 5, 1, 9, tzinfo=UTC)
H, D, U = HealthWord.HEALTHY, HealthWord.DEGRADED, HealthWord.UNHEALTHY


def after(*found: HealthWord, rules: HealthRules | None = None) -> Standing:
    standing = newly_watched(START)
    for number, word in enumerate(found, 1):
        standing = judged(standing, word, 100.0, START + timedelta(minutes=5 * number), rules or HealthRules())
    return standing


@pytest.mark.parametrize(
    ("found", "word"),
    [
        ([U], H),
        ([U, U], U),
        ([U, H, U, H], H),
        ([D, U], D),
        ([U, D], D),
        ([D, U, U], D),
        ([D, U, U, U], U),
        ([U, U, H], U),
        ([U, U, H, H], H),
        ([U, U, D, H], D),
        ([U, U, H, U, H], U),
    ],
)
def test_the_word_follows_what_lasts(found: list[HealthWord], word: HealthWord):
    assert after(*found).word is word


def test_one_bad_check_is_a_suspicion():
    assert (after(U).suspected, after(U, H).suspected) == (U, None)


def test_the_word_is_dated_from_the_check_that_decided():
    assert after(H, U, U, U).since == START + timedelta(minutes=15)


def test_the_thresholds_are_the_operator_s():
    rules = HealthRules(worsen_after=3, recover_after=1)
    assert [after(*[U] * 2, rules=rules).word, after(*[U] * 3, rules=rules).word] == [H, U]
    assert after(U, U, U, H, rules=rules).word is H


def test_a_failed_check_leaves_the_latencies_as_they_are():
    standing = judged(after(H, H), U, None, START, HealthRules())
    assert standing.latencies_ms == (100.0, 100.0)


@given(st.lists(st.sampled_from([H, D, U]), max_size=40))
def test_a_word_never_changes_twice_within_two_checks(found: list[HealthWord]):
    words = [after(*found[:count]).word for count in range(len(found) + 1)]
    changes = [index for index in range(1, len(words)) if words[index] is not words[index - 1]]
    assert all(later - earlier >= 2 for earlier, later in itertools.pairwise(changes))


@given(st.lists(st.sampled_from([H, D, U]), max_size=60))
def test_what_is_remembered_stays_small(found: list[HealthWord]):
    assert len(after(*found).latencies_ms) <= 12
