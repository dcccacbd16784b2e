"""Whom an emergency alerts at a moment, and what is wrong with a policy."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activities.transform.escalation import chain_of, channel_of, on_duty, select, shifts
from activities.transform.escalation_check import Connected, problems
from contracts.emergency import EmergencyAlert
from contracts.errors import InvalidInput
from contracts.escalation import EmergencyContact, EscalationPolicy
from contracts.notification import TargetSystem
from tests.support.emergencies import alert, level, target

NOW = datetime(2027, 6, 12, 14, tzinfo=UTC)
CHAT = {"chat": Connected(platform="slack", works=True, delivers=True)}


def contact(name: str, *channels: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"contactId": name, "timeZone": "Europe/London", "channels": list(channels or [target(name)]), **changes}


def policy(**changes: Any) -> EscalationPolicy:
    given = {
        "policyId": "day",
        "organizationId": "lumen-studios",
        "contacts": [contact("planner"), contact("venue", role="venue_security")],
        "levels": [{"ackWithin": "PT60S", "contacts": ["planner"]}, {"ackWithin": "PT60S", "contacts": ["venue"]}],
        "weddingDays": [{"weddingId": "wed-1", "date": "2027-06-12", "timeZone": "Europe/London"}],
    }
    return EscalationPolicy.model_validate({**given, **changes})


def codes(found: EscalationPolicy, integrations: dict[str, Connected] | None = None) -> list[str]:
    return sorted(one.code for one in problems(found, CHAT if integrations is None else integrations))


def by_policy(**changes: Any) -> EmergencyAlert:
    return EmergencyAlert.model_validate({**alert(), "policyId": "day", **changes})


def test_a_level_alerts_its_contacts_through_all_their_channels():
    wanted = policy(contacts=[contact("planner", target("sms"), target("chat")), contact("venue")])
    chosen = select(by_policy(), wanted, 1, NOW)
    assert [one.system_id for one in chosen.targets] == ["sms", "chat"]
    assert (chosen.last, chosen.ack_within) == (False, timedelta(seconds=60))


def test_only_those_on_duty_are_alerted_and_everybody_when_nobody_is():
    early, late = [{"from": "08:00", "to": "16:00"}], [{"from": "16:00", "to": "00:00"}]
    people = [contact("early", duty=early), contact("late", duty=late)]
    wanted = policy(contacts=people, levels=[{"ackWithin": "PT60S", "contacts": ["early", "late"]}])
    at = {hour: NOW.replace(hour=hour) for hour in (10, 20, 3)}
    reached = {
        hour: [one.system_id for one in select(by_policy(), wanted, 1, instant).targets] for hour, instant in at.items()
    }
    assert reached == {10: ["early"], 20: ["late"], 3: ["early", "late"]}


def test_all_levels_together_are_every_target_once_the_escalation_repeats():
    chosen = select(by_policy(repeatEvery="PT90S"), policy(), 0, NOW)
    assert [one.system_id for one in chosen.targets] == ["planner", "venue"]
    assert (chosen.ack_within, chosen.repeat_every, chosen.last) == (timedelta(seconds=90),) * 2 + (True,)


def test_an_unknown_policy_is_refused_with_what_to_do():
    with pytest.raises(InvalidInput) as refused:
        select(by_policy(), None, 1, NOW)
    assert refused.value.detail.code == "policy_not_found"


def test_a_shift_over_midnight_belongs_to_the_day_on_which_it_begins():
    night = {"days": ["saturday"], "from": "22:00", "to": "06:00"}
    person = EmergencyContact.model_validate(contact("night", duty=[night]))
    saturday = datetime(2027, 6, 12, 21, tzinfo=UTC)
    assert on_duty(person, saturday)
    assert on_duty(person, saturday + timedelta(hours=7, minutes=59))
    assert not on_duty(person, saturday + timedelta(hours=8))
    assert not on_duty(person, saturday - timedelta(minutes=1))


@given(
    st.dates(date(2026, 1, 1), date(2028, 12, 31)),
    st.sampled_from(["UTC", "Europe/London", "America/New_York", "Pacific/Auckland", "Asia/Kolkata"]),
)
def test_f47_without_duty_hours_every_local_day_is_covered_without_gap_or_overlap(day: date, zone: str):
    person = EmergencyContact.model_validate(contact("always", timeZone=zone))
    [(_, end)], [(begin, _)] = list(shifts(person, day)), list(shifts(person, day + timedelta(days=1)))
    assert end == begin


def test_the_chain_follows_the_stand_ins_of_stand_ins_and_ends_in_a_circle():
    known = {
        name: TargetSystem.model_validate(target(name, *others))
        for name, others in {"a": ("b", "d"), "b": ("c",), "c": ("a",), "d": ()}.items()
    }
    assert chain_of("a", known) == ["b", "c", "d"]


def test_two_targets_that_reach_the_same_people_the_same_way_are_one_channel():
    first = TargetSystem.model_validate(target("one", "other"))
    assert channel_of(first) == channel_of(first.model_copy(update={"system_id": "two", "failover": []}))
    assert channel_of(first) != channel_of(first.model_copy(update={"settings": {"channel": "voice"}}))


def test_a_sound_policy_has_no_problem():
    assert codes(policy()) == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"levels": []}, "policy_empty"),
        ({"levels": [{"ackWithin": "PT60S", "contacts": []}]}, "level_without_person"),
        ({"levels": [{"ackWithin": "PT60S", "contacts": ["planner", "nobody"]}]}, "contact_unknown"),
        ({"levels": [{"ackWithin": "PT1S", "contacts": ["planner"]}]}, "ack_time_nonsense"),
        ({"levels": [{"ackWithin": "P2D", "contacts": ["planner"]}]}, "ack_time_nonsense"),
        ({"contacts": [contact("planner", target("p", "q"), target("q", "p")), contact("venue")]}, "failover_cycle"),
        ({"contacts": [contact("planner", target("p", "gone")), contact("venue")]}, "failover_unknown"),
        ({"contacts": [contact("planner"), contact("planner", target("p")), contact("venue")]}, "contact_repeated"),
        ({"contacts": [contact("planner"), contact("venue", target("planner"))]}, "channel_repeated"),
        ({"repeatEvery": "PT1S"}, "repeat_time_nonsense"),
    ],
)
def test_what_is_wrong_is_named(changes: dict[str, Any], code: str):
    assert code in codes(policy(**changes))


def test_a_person_without_a_channel_makes_the_level_unreachable():
    assert codes(policy(contacts=[contact("planner", channels=[]), contact("venue")])) == [
        "level_unreachable",
        "person_without_channel",
    ]


@pytest.mark.parametrize(
    ("connected", "code"),
    [
        ({}, "integration_not_connected"),
        ({"chat": Connected(platform="slack", works=False, delivers=True)}, "integration_not_connected"),
        ({"chat": Connected(platform="hubspot", works=True, delivers=True)}, "platform_mismatch"),
        ({"chat": Connected(platform="slack", works=True, delivers=False)}, "channel_not_capable"),
    ],
)
def test_a_channel_that_cannot_carry_the_alert_is_named_with_the_levels_it_leaves_unreachable(
    connected: dict[str, Connected], code: str
):
    assert codes(policy(), connected) == sorted([code, code, "level_unreachable", "level_unreachable"])


def test_an_hour_of_a_wedding_day_without_anybody_on_duty_is_named_in_the_venues_time():
    duty = [{"from": "00:00", "to": "18:00"}, {"from": "19:00", "to": "00:00"}]
    found = problems(policy(contacts=[contact("planner", duty=duty), contact("venue")]), CHAT)
    assert [(one.code, one.where) for one in found] == [("wedding_day_uncovered", "wed-1")]
    assert "from 18:00 on 2027-06-12" in found[0].sentence


def test_two_shifts_that_meet_cover_a_wedding_day_that_goes_past_midnight():
    early, late = [{"from": "06:00", "to": "16:00"}], [{"from": "16:00", "to": "06:00"}]
    people = [contact("early", duty=early), contact("late", duty=late), contact("venue")]
    levels = [{"ackWithin": "PT60S", "contacts": ["early", "late"]}, {"ackWithin": "PT60S", "contacts": ["venue"]}]
    days = [{"weddingId": "w", "date": "2027-06-12", "timeZone": "Europe/Paris", "from": "10:00", "to": "03:00"}]
    assert codes(policy(contacts=people, levels=levels, weddingDays=days)) == []


def test_everything_that_is_wrong_is_named_at_once():
    wrong = policy(
        contacts=[contact("planner", channels=[]), contact("venue", target("v", "gone"))],
        levels=[{"ackWithin": "PT0S", "contacts": ["planner"]}, {"ackWithin": "PT60S", "contacts": ["ghost"]}],
    )
    assert {
        "person_without_channel", "failover_unknown", "ack_time_nonsense", "level_unreachable", "contact_unknown",
        "level_without_person",
    } <= set(codes(wrong))  # fmt: skip


def test_an_alert_has_either_levels_or_a_policy():
    for wrong in ({**alert()}, {**alert(level(1, 60, target("a"))), "policyId": "day"}):
        with pytest.raises(ValidationError, match="either an escalation or the policyId"):
            EmergencyAlert.model_validate(wrong)


@pytest.mark.parametrize("changes", [{"systemType": "emergency_services"}, {"recipients": ["999"]}])
def test_no_public_emergency_service_is_a_target_of_an_alert_or_a_policy(changes: dict[str, Any]):
    wrong = {**target("help"), **changes}
    with pytest.raises(ValidationError, match="configure people"):
        EmergencyAlert.model_validate(alert(level(1, 60, wrong)))
    with pytest.raises(ValidationError, match="configure people"):
        policy(contacts=[contact("planner", wrong)])
