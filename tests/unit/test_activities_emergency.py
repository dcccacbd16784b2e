"""Planning emergencies over a real store: who is alerted through which calls, and how they learn that it is over."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

from activities.access import Access
from activities.emergency import Emergency
from activities.security.envelope import MasterKey
from activities.security.keyring import KeyRing
from activities.storage.connections import ConnectionStore
from activities.storage.credentials import SealedSecretStore
from activities.storage.database import Database, migrate
from activities.storage.escalation_policies import EscalationPolicyStore
from activities.storage.ledger import EffectLedger
from contracts.effects import EffectStep
from contracts.emergency import (
    ClosingPlan,
    EmergencyAlert,
    EmergencyOutcome,
    EmergencyState,
    EscalationPlan,
    PlanClosing,
    PlanEscalation,
)
from contracts.integration import CredentialRef, IntegrationConfiguration, IntegrationState
from contracts.notification import DeliveryStatus
from tests.support.emergencies import ORGANIZATION, alert, level
from tests.support.loopback import IN_DEVELOPMENT

NOW = datetime(2027, 6, 12, 14, tzinfo=UTC)
CREDENTIALS = {
    "slack": {"botToken": "t"},
    "pagerduty": {"routingKey": "r" * 32},
    "twilio": {"accountSid": "AC" + "5a" * 16, "authToken": "t"},
}
CHAT = {"systemId": "chat", "systemType": "slack", "integrationId": "slack", "channels": [{"channelId": "C0OPS"}]}
TEXT = {"systemId": "text", "systemType": "twilio", "integrationId": "twilio", "recipients": ["+447700900101"]}
CALL = {**TEXT, "systemId": "call", "settings": {"channel": "voice"}}
ONCALL = {"systemId": "oncall", "systemType": "pagerduty", "integrationId": "pagerduty"}


class Ground:
    """A store with connected integrations."""

    def __init__(self, database: Database) -> None:
        keys = KeyRing(given=[MasterKey(b"k" * 32)])
        self._database = database
        self.connections = ConnectionStore(database, keys)
        self._secrets = SealedSecretStore(database, keys)
        self.ledger = EffectLedger(database)

        async def nowhere(_platform: str) -> str | None:
            return "http://127.0.0.1:9"

        access = Access(self.connections, self._secrets, nowhere, IN_DEVELOPMENT)
        self.access = access
        self.verbs = Emergency(access, self.ledger, EscalationPolicyStore(database, keys))

    async def connect(self, platform: str, state: IntegrationState = IntegrationState.ACTIVE) -> None:
        ref = await self._secrets.put(ORGANIZATION, platform, CREDENTIALS[platform])
        settings: dict[str, Any] = {"fromNumber": "+447700900100"} if platform == "twilio" else {}
        assert isinstance(ref, CredentialRef)
        given = {
            "integrationId": platform,
            "organizationId": ORGANIZATION,
            "platform": platform,
            "connectionConfig": {"credentialRef": ref.model_dump(mode="json"), **settings},
        }
        await self.connections.put(IntegrationConfiguration.model_validate(given), state)

    async def plan(self, given: dict[str, Any], repetition: int = 1) -> EscalationPlan:
        request = PlanEscalation(
            alert=EmergencyAlert.model_validate(given), level=1, repetition=repetition, occurred_at=NOW
        )
        return await ActivityEnvironment().run(self.verbs.plan, request)

    async def apply(self, step: EffectStep) -> None:
        workflow_id = ActivityEnvironment().info.workflow_id
        await self.ledger.claim(step, f"{workflow_id}/run", timedelta(minutes=1))
        await self.ledger.receipt(step, "remote-1")

    async def closing(self, given: dict[str, Any], *alerted: str) -> ClosingPlan:
        state = EmergencyState(
            alert_id=given["alertId"], outcome=EmergencyOutcome.ACKNOWLEDGED, ended_at=NOW, ended_by="planner"
        )
        request = PlanClosing(
            alert=EmergencyAlert.model_validate(given), state=state, alerted=list(alerted), occurred_at=NOW
        )
        return await ActivityEnvironment().run(self.verbs.plan_closing, request)


@pytest.fixture
async def ground(tmp_path: Path) -> AsyncIterator[Ground]:
    url = f"sqlite:///{tmp_path}/store.db"
    migrate(url)
    database = Database(url)
    found = Ground(database)
    for platform in CREDENTIALS:
        await found.connect(platform)
    yield found
    await found.access.aclose()
    await database.aclose()


def effects(plan: EscalationPlan) -> set[str]:
    return {step.effect_id for one in plan.known for step in one.plan.steps}


async def test_a_repetition_is_new_effects_and_the_same_one_planned_again_is_the_same(ground: Ground):
    given = alert(level(1, 60, CHAT, TEXT, ONCALL))
    first, again, second = await ground.plan(given), await ground.plan(given), await ground.plan(given, 2)
    assert effects(first) == effects(again)
    assert len(effects(first)) == 3
    assert effects(first).isdisjoint(effects(second))


async def test_every_message_can_be_acknowledged_and_is_critical(ground: Ground):
    plan = await ground.plan(alert(level(1, 60, CHAT, ONCALL)))
    chat, oncall = (str(one.plan.steps[0].payload) for one in plan.known)
    assert "'acknowledge" in chat.replace('"', "'")
    assert "'severity': 'critical'" in oncall


async def test_a_target_whose_integration_takes_no_work_fails_at_once_and_hinders_no_other(ground: Ground):
    await ground.connect("slack", IntegrationState.PAUSED)
    plan = await ground.plan(alert(level(1, 60, CHAT, TEXT, {**ONCALL, "integrationId": "nowhere"})))
    found = {one.plan.target.system_id: (one.plan.status, one.plan.reason) for one in plan.known}
    assert found == {
        "chat": (DeliveryStatus.FAILED, "integration_paused"),
        "text": (DeliveryStatus.SUCCESS, ""),
        "oncall": (DeliveryStatus.FAILED, "integration_not_found"),
    }


async def test_a_chat_is_corrected_a_ringing_call_hung_up_an_incident_acknowledged_and_a_phone_told_once(
    ground: Ground,
):
    given = alert(level(1, 60, CHAT, TEXT, CALL, ONCALL))
    for one in (await ground.plan(given)).known:
        await ground.apply(one.plan.steps[0])
    closing = await ground.closing(given, "chat", "text", "call", "oncall")
    assert [one.effect.kind for one in closing.corrections] == ["message.post"]
    assert [one.kind for one in closing.retractions] == ["call.create"]
    assert sorted(one.kind for one in closing.notices) == ["event.acknowledge", "message.create"]
    assert "Acknowledged by planner" in str(closing.corrections[0].step.payload)
    assert closing.in_flight == 0


async def test_what_was_never_alerted_is_told_nothing(ground: Ground):
    given = alert(level(1, 60, CHAT, TEXT))
    closing = await ground.closing(given)
    assert (closing.corrections, closing.retractions, closing.notices) == ([], [], [])


async def test_a_call_that_is_with_the_vendor_is_known_to_be_in_flight(ground: Ground):
    given = alert(level(1, 60, CHAT))
    [step] = (await ground.plan(given)).known[0].plan.steps
    await ground.ledger.claim(step, f"{ActivityEnvironment().info.workflow_id}/run", timedelta(minutes=1))
    assert (await ground.closing(given, "chat")).in_flight == 1


async def test_an_incident_is_acknowledged_only_once_it_is_known_to_be_open(ground: Ground):
    given = alert(level(1, 60, ONCALL))
    [step] = (await ground.plan(given)).known[0].plan.steps
    await ground.ledger.claim(step, f"{ActivityEnvironment().info.workflow_id}/run", timedelta(minutes=1))
    assert (await ground.closing(given, "oncall")).notices == []
    await ground.ledger.receipt(step, "remote-1")
    assert [one.kind for one in (await ground.closing(given, "oncall")).notices] == ["event.acknowledge"]
