"""PagerDuty against its emulated service: one alert per incident, and the errors that recover."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from activities.connectors.emergency.pagerduty import PagerDuty
from contracts.effects import EffectStep
from contracts.errors import AuthExpired, InvalidInput, OutcomeUnknown, Permanent, RateLimited, Transient, WedSyncError
from tests.support.deliveries import PRIVATE_WORDS, connection, delivery
from tests.support.emulators import Emulators
from tests.support.specs import OpenApi, SentRequest, specs_dir

KEY = {"routingKey": "sandboxpagerdutyroutingkey000001"}
INCIDENT = {"incidentId": "incident-1", "severity": "error"}


@pytest.fixture
async def pagerduty(emulators: Emulators) -> AsyncIterator[PagerDuty]:
    connector = PagerDuty(connection("pagerduty", emulators.base_url("pagerduty"), KEY))
    yield connector
    await connector.aclose()


def step_for(connector: PagerDuty, action: str = "trigger", **metadata: Any) -> EffectStep:
    given = {**INCIDENT, "incidentAction": action, **metadata}
    [step] = connector.plan(delivery("pagerduty", metadata=given))
    return step


async def failure(connector: PagerDuty, step: EffectStep) -> WedSyncError:
    with pytest.raises(WedSyncError) as caught:
        await connector.apply(step)
    told = caught.value.detail.model_dump_json() + str(caught.value)
    assert not [word for word in (*PRIVATE_WORDS, KEY["routingKey"]) if word in told]
    return caught.value


def kinds(emulators: Emulators) -> list[str]:
    return [effect["kind"] for effect in emulators.effects("pagerduty")]


async def test_an_incident_is_triggered_acknowledged_and_resolved_as_one_alert(
    pagerduty: PagerDuty, emulators: Emulators
) -> None:
    for action in ("trigger", "acknowledge", "resolve"):
        await pagerduty.apply(step_for(pagerduty, action))
    assert kinds(emulators) == ["alert.triggered", "alert.acknowledged", "alert.resolved"]
    assert len(emulators.objects("pagerduty", "alerts")) == 1


async def test_a_repeated_trigger_joins_the_open_alert(pagerduty: PagerDuty, emulators: Emulators) -> None:
    first = await pagerduty.apply(step_for(pagerduty))
    second = await pagerduty.apply(step_for(pagerduty))
    assert (first.remote_id, kinds(emulators)) == (second.remote_id, ["alert.triggered"])


async def test_a_trigger_whose_answer_was_dropped_is_repeated_without_a_second_alert(
    pagerduty: PagerDuty, emulators: Emulators
) -> None:
    emulators.fault("pagerduty", "drop_after_effect", count=1)
    assert type(await failure(pagerduty, step_for(pagerduty))) is OutcomeUnknown
    assert await pagerduty.find(step_for(pagerduty)) is None
    await pagerduty.apply(step_for(pagerduty))
    assert kinds(emulators) == ["alert.triggered"]


async def test_a_worse_severity_raises_the_open_alert(pagerduty: PagerDuty, emulators: Emulators) -> None:
    await pagerduty.apply(step_for(pagerduty, severity="warning"))
    await pagerduty.apply(step_for(pagerduty, severity="critical"))
    [alert] = emulators.objects("pagerduty", "alerts")
    assert (alert["severity"], alert["status"]) == ("critical", "triggered")


def test_incidents_of_two_organisations_never_share_a_key() -> None:
    connector = PagerDuty(connection("pagerduty", "http://127.0.0.1:9", KEY))
    one = delivery("pagerduty", metadata=INCIDENT)
    [first] = connector.plan(one)
    [second] = connector.plan(one.model_copy(update={"organization_id": "another"}))
    assert first.object_id != second.object_id


def test_a_notification_without_metadata_triggers_an_incident_of_its_own() -> None:
    connector = PagerDuty(connection("pagerduty", "http://127.0.0.1:9", KEY))
    [step] = connector.plan(delivery("pagerduty", metadata={}))
    assert step.kind == "event.trigger"
    assert step.payload["event"]["payload"]["severity"] == "error"  # type: ignore[index, call-overload]


@pytest.mark.parametrize("wrong", [{"incidentAction": "escalate"}, {"severity": "fatal"}])
def test_a_word_that_the_vendor_has_not_is_refused_before_it_is_sent(wrong: dict[str, str]) -> None:
    connector = PagerDuty(connection("pagerduty", "http://127.0.0.1:9", KEY))
    with pytest.raises(InvalidInput):
        connector.plan(delivery("pagerduty", metadata={**INCIDENT, **wrong}))


@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_every_event_is_one_the_vendor_describes(action: str) -> None:
    connector = PagerDuty(connection("pagerduty", "http://127.0.0.1:9", KEY))
    step = step_for(connector, action)
    api = OpenApi(specs_dir("pagerduty") / "events-v2.json")
    body = {"routing_key": KEY["routingKey"], **step.payload["event"]}  # type: ignore[dict-item]
    body.get("payload", {}).pop("custom_details", None)  # type: ignore[call-arg]  # left open
    assert api.problems(SentRequest("POST", "/enqueue", {}, body)) == []


async def test_the_probe_answers_and_leaves_no_alert(pagerduty: PagerDuty, emulators: Emulators) -> None:
    assert (await pagerduty.probe()).ok
    assert emulators.effects("pagerduty") == []


@pytest.mark.parametrize("key", ["short", "x" * 32, "sandbox-pagerduty-routing-key-01"])
async def test_a_key_that_is_none_asks_for_a_new_connection(emulators: Emulators, key: str) -> None:
    connector = PagerDuty(connection("pagerduty", emulators.base_url("pagerduty"), {"routingKey": key}))
    with pytest.raises(AuthExpired):
        await connector.probe()
    await connector.aclose()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Permanent), (403, Permanent), (404, Permanent), (500, OutcomeUnknown), (503, OutcomeUnknown)],
)
async def test_each_refused_event_becomes_the_error_that_recovers(
    pagerduty: PagerDuty, emulators: Emulators, status: int, kind: type[WedSyncError]
) -> None:
    emulators.fault("pagerduty", "status", status=status)
    assert type(await failure(pagerduty, step_for(pagerduty))) is kind


async def test_the_wait_the_vendor_asks_for_is_kept(pagerduty: PagerDuty, emulators: Emulators) -> None:
    emulators.fault("pagerduty", "rate_limit", retryAfter=7)
    found = await failure(pagerduty, step_for(pagerduty))
    assert (type(found), found.detail.retry_after_s) == (RateLimited, 7)


@pytest.mark.parametrize("fault", ["reset", "hang", "garbage", "truncate", "html_login_page"])
async def test_an_event_without_a_usable_answer_is_unknown(
    pagerduty: PagerDuty, emulators: Emulators, fault: str
) -> None:
    emulators.fault("pagerduty", fault, count=1)
    pagerduty._client._timeout_s = 0.5
    assert type(await failure(pagerduty, step_for(pagerduty))) is OutcomeUnknown


async def test_a_server_that_is_not_there_may_be_tried_again() -> None:
    nobody = PagerDuty(connection("pagerduty", "http://127.0.0.1:9", KEY))
    found = await failure(nobody, step_for(nobody))
    assert (type(found), found.detail.code) == (Transient, "vendor_unreachable")
    await nobody.aclose()


async def test_every_request_asks_for_admission_first(emulators: Emulators) -> None:
    class Closed:
        async def admit(self, calls: int = 1) -> None:
            raise RateLimited("limit_reached", "The limit is used up.", retry_after_s=3)

    given = connection("pagerduty", emulators.base_url("pagerduty"), KEY)
    connector = PagerDuty(replace(given, admission=Closed()))
    assert type(await failure(connector, step_for(connector))) is RateLimited
    assert emulators.requests("pagerduty") == []
    await connector.aclose()
