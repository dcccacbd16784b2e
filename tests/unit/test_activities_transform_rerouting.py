"""Who is next in line: whoever stands by, in order, and never the one that did not deliver."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from activities.transform.rerouting import meant_for, reserved, rest_of
from contracts.decisions import Decision, Stage, Verdict
from contracts.effects import StandingEffect
from contracts.notification import CrossSystemRouting, DeliveryMode
from tests.support.deliveries import OCCURRED_AT, ROUTING

NAMES = ["sms", "chat", "mail", "crm"]
CHAINS = st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), max_size=3)


def routing(failover: dict[str, list[str]], **changes: Any) -> CrossSystemRouting:
    targets = [{"systemId": name, "systemType": "slack", "integrationId": f"{name}-main"} for name in NAMES]
    handling = {"failover": failover, **changes.pop("handling", {})}
    return CrossSystemRouting.model_validate(
        {**ROUTING, "targetSystems": targets, "errorHandling": handling, **changes}
    )


def line(wanted: CrossSystemRouting | None) -> list[str]:
    return [one.system_id for one in wanted.target_systems] if wanted else []


def test_a_stand_in_is_followed_by_those_after_it_in_the_line_of_the_target_it_stood_in_for():
    wanted = routing({"sms": ["chat", "mail", "crm"]})
    assert line(rest_of(wanted, "sms")) == ["chat", "mail", "crm"]
    assert line(rest_of(wanted, "chat")) == ["mail", "crm"]
    assert rest_of(wanted, "crm") is None


def test_the_rest_of_a_line_is_served_by_itself_in_order_until_one_has_it():
    changes = {"deliveryCoordination": {"mode": "all_or_nothing"}, "handling": {"onPermanentFailure": "compensate"}}
    rest = rest_of(routing({"sms": ["chat", "mail"]}, **changes), "sms")
    assert rest is not None
    assert rest.error_handling.failover == {"chat": ["mail"]}
    assert rest.error_handling.on_permanent_failure == "continue"
    assert rest.delivery_coordination.chosen is DeliveryMode.BEST_EFFORT


@given(chains=CHAINS, failed=st.sampled_from(NAMES))
def test_the_rest_of_a_line_is_shorter_has_the_same_id_and_names_nobody_twice(
    chains: dict[str, list[str]], failed: str
):
    wanted = routing(chains)
    rest = rest_of(wanted, failed)
    assert failed not in line(rest)
    assert len(set(line(rest))) == len(line(rest)) < len(NAMES)
    assert rest is None or CrossSystemRouting.model_validate(rest.model_dump(mode="json")) == rest
    assert rest is None or rest.routing_id == wanted.routing_id


def test_the_target_and_the_recipient_of_an_effect_are_those_it_was_decided_for():
    wanted, contact = routing({}), "c0" * 16
    effect = StandingEffect(
        effect_id="e-1",
        organization_id=wanted.organization_id,
        integration_id="mail-main",
        system="email",
        kind="message.send",
        workflow_id="run-1",
        applied_at=OCCURRED_AT,
    )
    sent = Decision(
        stage=Stage.DELIVERY,
        code="allowed",
        verdict=Verdict.SEND,
        system_id="chat",
        recipient=contact,
        at=OCCURRED_AT,
        effect_ids=["e-1"],
    )
    assert meant_for(wanted, [sent], effect) == "chat"
    assert meant_for(wanted, [], effect) == "mail"
    assert [one.contact for one in reserved(wanted, [sent], effect)] == [contact]
    assert reserved(wanted, [], effect) == []
