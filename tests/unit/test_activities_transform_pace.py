"""Caps, throttle and duplicates: never exceeded, counted once, and forgotten in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from activities.transform.pace import MEMORY, Claim, Pace, Sent
from contracts.decisions import Verdict
from contracts.preferences import NotificationPolicy, Override

START = datetime(2027, 6, 12, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICY = NotificationPolicy.model_validate(
    {
        "organizationId": "lumen",
        "caps": [{"messages": 2, "per": "PT6H"}, {"messages": 3, "per": "P1D"}],
        "throttle": "PT1H",
        "duplicatesWithin": "PT12H",
    }
)


def claim(number: int, at: datetime, **rest: str) -> Claim:
    given = {"message": f"words-{number}", "type": "reminder", "wedding_id": "w1", **rest}
    return Claim(Sent(claim=f"claim-{number}", at=at, **given))


STEPS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.sampled_from(["reminder", "news"]),
        st.sampled_from(["w1", "w2"]),
        st.integers(0, 6),
    ),
    max_size=40,
)


@given(steps=STEPS)
def test_no_sequence_of_messages_exceeds_a_cap_a_throttle_or_says_the_same_twice(
    steps: list[tuple[int, str, str, int]],
):
    pace, now, sent = Pace(), START, []
    for number, (minutes, kind, wedding, words) in enumerate(steps):
        now += minutes * timedelta(minutes=1)
        one = claim(number, now, type=kind, wedding_id=wedding, message=f"words-{words}")
        pace, said = pace.taken(one, POLICY)
        if all(word.verdict is Verdict.ALLOW for word in said):
            sent.append(one.sent)
    for one in sent:
        for cap in POLICY.caps:
            within = [x for x in sent if x.wedding_id == one.wedding_id and one.at - cap.per < x.at <= one.at]
            assert len(within) <= cap.messages
        others = [x for x in sent if x.claim != one.claim and x.at <= one.at]
        assert not [x for x in others if x.type == one.type and x.at > one.at - POLICY.throttle]
        assert not [x for x in others if x.message == one.message and x.at > one.at - POLICY.duplicates_within]


@given(steps=STEPS)
def test_a_message_that_is_told_to_wait_fits_when_its_wait_ends(steps: list[tuple[int, str, str, int]]):
    pace, now = Pace(), START
    for number, (minutes, kind, wedding, _) in enumerate(steps):
        now += minutes * timedelta(minutes=1)
        one = claim(number, now, type=kind, wedding_id=wedding)
        pace, said = pace.taken(one, POLICY)
        untils = [word.until for word in said if word.verdict is Verdict.HOLD and word.until]
        assert all(until > now for until in untils)
        if untils:
            later = claim(number, max(untils), type=kind, wedding_id=wedding)
            again = pace.taken(later, POLICY)[1]
            assert all(word.verdict is Verdict.ALLOW for word in again)


@given(steps=STEPS)
def test_urgent_messages_pass_every_limit_and_are_told_so(steps: list[tuple[int, str, str, int]]):
    pace = Pace()
    for number, _ in enumerate(steps):
        one = Claim(claim(number, START).sent, frozenset(Override))
        pace, said = pace.taken(one, POLICY)
        assert {word.verdict for word in said} <= {Verdict.ALLOW, Verdict.OVERRIDE}
    assert len(pace.sent) == len(steps)


def test_a_message_counted_twice_is_counted_once_and_sent():
    once, _ = Pace().taken(claim(1, START), POLICY)
    twice, said = once.taken(claim(1, START + HOUR), POLICY)
    assert (twice, [word.verdict for word in said]) == (once, [Verdict.ALLOW])


def test_even_an_urgent_message_is_not_said_twice():
    pace, _ = Pace().taken(claim(1, START), POLICY)
    _, said = pace.taken(Claim(claim(2, START, message="words-1").sent, frozenset(Override)), POLICY)
    assert said[0].verdict is Verdict.SKIP


def test_what_is_given_back_counts_no_more():
    pace, _ = Pace().taken(claim(1, START), POLICY)
    assert pace.given_back(["claim-1"]) == Pace([])


def test_nothing_is_remembered_longer_than_the_longest_window():
    pace, _ = Pace().taken(claim(1, START), POLICY)
    pace, _ = pace.taken(claim(2, START + MEMORY + HOUR), POLICY)
    assert [one.claim for one in pace.sent] == ["claim-2"]


def test_a_pace_reads_back_as_it_was_written():
    pace, _ = Pace().taken(claim(1, START), POLICY)
    assert Pace.loaded(pace.dumped()) == pace
