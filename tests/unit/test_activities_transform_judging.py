"""Who gets a message, and when: each stage's word in order, and what overrides it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.judging import Message, Person, judge, passes
from contracts.decisions import Stage, Verdict
from contracts.notification import WeddingContext
from contracts.preferences import ContactPreferences, NotificationPolicy
from contracts.sync import SyncPriority

NIGHT = datetime(2027, 6, 12, 23, tzinfo=UTC)
MORNING = datetime(2027, 6, 13, 7, tzinfo=UTC)
QUIET = {"from": "22:00", "to": "07:00"}
REMINDER = Message(type="reminder", category="planning", priority=SyncPriority.NORMAL, began_at=NIGHT)
MAIL = frozenset({"email"})


def person(**wishes: Any) -> Person:
    return Person(MAIL, ContactPreferences.model_validate(wishes))


def policy(**given: Any) -> NotificationPolicy:
    return NotificationPolicy.model_validate({"organizationId": "lumen", **given})


def last(message: Message, who: Person, rules: NotificationPolicy | None = None) -> tuple[str, Verdict]:
    word = judge(message, who, rules or policy(), NIGHT)[-1]
    return word.code, word.verdict


def test_who_said_nothing_gets_the_message():
    assert all(passes(word) for word in judge(REMINDER, person(), policy(), NIGHT))


@pytest.mark.parametrize(
    ("wishes", "code"),
    [
        ({"optedOut": True}, "opted_out"),
        ({"stoppedChannels": ["email"]}, "channel_stopped"),
        ({"muted": [{"channel": "email"}]}, "muted"),
        ({"muted": [{"type": "reminder"}]}, "muted"),
        ({"muted": [{"category": "planning", "channel": "email"}]}, "muted"),
    ],
)
def test_what_a_recipient_switched_off_is_skipped(wishes: dict[str, Any], code: str):
    assert last(REMINDER, person(**wishes)) == (code, Verdict.SKIP)


@pytest.mark.parametrize(
    "muted", [{"channel": "twilio"}, {"type": "news"}, {"type": "reminder", "category": "billing"}]
)
def test_what_a_recipient_did_not_switch_off_passes(muted: dict[str, str]):
    assert last(REMINDER, person(muted=[muted]))[1] is Verdict.ALLOW


@pytest.mark.parametrize("wishes", [{"optedOut": True}, {"stoppedChannels": ["email"]}])
def test_no_urgency_overrides_who_opted_out_by_law(wishes: dict[str, Any]):
    for changes in ({"priority": SyncPriority.CRITICAL}, {"released": True}):
        assert last(replace(REMINDER, **changes), person(**wishes))[1] is Verdict.SKIP


def test_the_recipients_hours_count_in_the_recipients_zone():
    tokyo = person(quietHours=QUIET, timeZone="Asia/Tokyo")
    assert last(REMINDER, tokyo)[1] is Verdict.ALLOW
    assert last(REMINDER, person(quietHours=QUIET, timeZone="UTC")) == ("quiet_hours", Verdict.HOLD)


def test_the_organisations_hours_count_for_who_has_none_of_their_own():
    rules = policy(quietHours=QUIET)
    assert judge(REMINDER, person(), rules, NIGHT)[-1].until == MORNING
    assert last(REMINDER, person(quietHours={"from": "00:00", "to": "00:00"}), rules)[1] is Verdict.ALLOW


@pytest.mark.parametrize("stage", ["mute", "quiet_hours", "digest", "blackout"])
def test_a_critical_message_overrides_exactly_what_the_organisation_says(stage: str):
    wedding = WeddingContext(wedding_id="w", wedding_date=date(2027, 6, 12), wedding_time=time(22))
    message = replace(REMINDER, priority=SyncPriority.CRITICAL, wedding=wedding)
    wishes: dict[str, dict[str, Any]] = {
        "mute": {"muted": [{}]},
        "quiet_hours": {"quietHours": QUIET},
        "digest": {"digest": {"upTo": "critical"}},
        "blackout": {},
    }
    who, others = person(**wishes[stage]), {"mute", "quiet_hours", "digest", "blackout"} - {stage}
    overridden = judge(message, who, policy(criticalOverrides=[stage, "blackout"]), NIGHT)
    assert passes(overridden[-1])
    assert stage in {
        word.stage.value.replace("preference", "mute") for word in overridden if word.verdict == "override"
    }
    assert not passes(judge(message, who, policy(criticalOverrides=sorted(others)), NIGHT)[-1])


@given(began=st.integers(0, 200))
def test_a_message_never_waits_longer_than_the_organisation_allows(began: int):
    message = replace(REMINDER, began_at=NIGHT - timedelta(hours=began))
    word = judge(message, person(quietHours=QUIET), policy(holdAtMost="PT72H"), NIGHT)[-1]
    assert word.verdict is (Verdict.HOLD if began + 8 <= 72 else Verdict.SKIP)


def test_a_digest_takes_what_is_not_important_and_the_chain_ends_there():
    words = judge(replace(REMINDER, priority=SyncPriority.LOW), person(digest={}), policy(), NIGHT)
    assert [(word.stage, word.verdict) for word in words] == [
        (Stage.PREFERENCE, Verdict.ALLOW),
        (Stage.DIGEST, Verdict.COLLECT),
    ]
    assert last(REMINDER, person(digest={}))[1] is Verdict.ALLOW
    assert last(replace(REMINDER, priority=SyncPriority.LOW), person(digest={"cadence": "never"}), policy(digest={}))[
        1
    ] is (Verdict.ALLOW)
