"""The chain of an explanation: run, ledger and states as one story in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from activities.storage.ledger import LedgerEntry
from activities.storage.states import KnownState
from contracts.decisions import Decision, Stage, Verdict
from contracts.effects import StandingEffect
from contracts.engagement import NotificationState
from contracts.notification import RoutingResult
from starters import explaining

NOW = datetime(2031, 5, 1, 9, tzinfo=UTC)
ANNA, BEN = "a" * 32, "b" * 32


def decision(
    stage: Stage, verdict: Verdict, recipient: str | None = ANNA, minutes: int = 0, **rest: object
) -> Decision:
    given = {"code": stage.value, "systemId": "mail", "at": NOW + timedelta(minutes=minutes), **rest}
    return Decision.model_validate({"stage": stage, "verdict": verdict, "recipient": recipient, **given})


def entry(effect_id: str, *, stands: bool = True, attempts: int = 1) -> LedgerEntry:
    standing = StandingEffect(
        effect_id=effect_id,
        organization_id="lumen",
        integration_id="mail-main",
        system="email",
        kind="message.send",
        remote_id="r-1",
        workflow_id="route-notification/lumen/r",
        applied_at=NOW + timedelta(minutes=2),
    )
    at = NOW + timedelta(minutes=1)
    known = (effect_id, "mail-main", "email", "message.send", "route-notification/lumen/r", attempts, at)
    return LedgerEntry(*known, standing=standing if stands else None)


CHAIN = [
    decision(Stage.DELIVERY, Verdict.SEND, minutes=0, effectIds=["e1"]),
    decision(Stage.PREFERENCE, Verdict.ALLOW),
    decision(Stage.PREFERENCE, Verdict.SKIP, BEN, code="opted_out"),
    decision(Stage.RULE, Verdict.ALLOW),
]


def test_a_recipients_chain_reads_from_the_rule_to_the_receipt():
    told = explaining.chain(CHAIN, [entry("e1", attempts=3)], ANNA)
    assert [one.stage for one in told] == ["rule", "preference", "delivery", "attempt", "receipt"]
    assert told[3].detail == "email message.send, 3 times"


def test_another_recipients_decisions_are_no_part_of_it():
    told = explaining.chain(CHAIN, [entry("e1")], BEN)
    assert [one.code for one in told] == ["opted_out"]


def test_an_effect_that_nobody_acknowledged_has_no_receipt():
    told = explaining.chain(CHAIN, [entry("e1", stands=False)])
    assert Stage.RECEIPT not in {one.stage for one in told}


def test_a_finished_routing_tells_failures_and_who_took_over():
    failed = {
        "notificationId": "n",
        "effectId": "e1",
        "kind": "message.send",
        "status": "failed",
        "error": {"kind": "Permanent", "code": "recipient_refused", "message": "The server refused."},
    }
    system = {"systemId": "mail", "systemType": "email", "status": "failed", "deliveryResults": [failed]}
    result = RoutingResult.model_validate(
        {
            "routingId": "r",
            "overallStatus": "success",
            "systemResults": [{**system, "failedOverTo": "sms"}],
            "decisions": CHAIN,
        }
    )
    added = explaining.of_result(result, NOW)[len(CHAIN) :]
    assert [(one.code, one.recipient) for one in added] == [("recipient_refused", ANNA), ("failed_over_to:sms", None)]


def test_the_sentence_tells_the_outcome():
    held = decision(Stage.QUIET_HOURS, Verdict.HOLD, until=NOW + timedelta(hours=8))
    told = explaining.sentence([held, *explaining.chain(CHAIN, [entry("e1")])])
    assert told == (
        "1 delivery was acknowledged; last held by quiet_hours until 2031-05-01 17:00 UTC; kept or failed by opted_out."
    )


def test_what_a_system_told_afterwards_is_part_of_the_story():
    [state] = explaining.of_states([KnownState("mail-main", NotificationState.READ, NOW)])
    assert (state.stage, state.code, state.system_id) == ("state", "read", "mail-main")
