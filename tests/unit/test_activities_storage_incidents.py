"""Incidents: what fails together is told together, once, and what recovers is told once too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from activities.security.envelope import MasterKey
from activities.storage.alarms import Alarm
from activities.storage.connections import ConnectionStore
from activities.storage.database import Database, migrate
from activities.storage.health import Finding, HealthStore
from activities.storage.incidents import IncidentStore
from activities.transform.hysteresis import Standing
from contracts.alerts import AlertKind, DueAlert, Severity
from contracts.health import HealthRules, HealthWord, IntegrationKey
from contracts.integration import IntegrationConfiguration, IntegrationState

START = datetime(2031, 5, 1, 9, tzinfo=UTC)
RULES = HealthRules(settle_s=60, outage_organizations=3)
OPERATOR = "wedsync-ops"


class Stage:
    """A store with integrations that fail and recover, and a clock that is told the time."""

    def __init__(self, database: Database, operator: str = OPERATOR) -> None:
        self.connections = ConnectionStore(database, MasterKey.from_text("A" * 43 + "="))
        self.store = HealthStore(database)
        self.incidents = IncidentStore(database, RULES, operator)
        self.now = START

    async def connect(self, organization: str, integration: str, state: IntegrationState) -> None:
        configuration = IntegrationConfiguration(
            organization_id=organization, integration_id=integration, platform="slack"
        )
        await self.connections.put(configuration, state)

    async def find(
        self,
        word: HealthWord,
        *places: tuple[str, str],
        state: IntegrationState = IntegrationState.ACTIVE,
    ) -> None:
        """Have a round of checks agree on a word."""
        alarm = None
        if word is not HealthWord.HEALTHY:
            bad = word is HealthWord.UNHEALTHY
            kind = AlertKind.INTEGRATION_UNHEALTHY if bad else AlertKind.INTEGRATION_DEGRADED
            severity = Severity.ERROR if bad else Severity.WARNING
            alarm = Alarm(kind, severity, self.now, "It does not answer.")
        findings = [
            Finding(
                IntegrationKey(organization_id=organization, integration_id=name, platform="slack", state=state),
                Standing(watched_since=START, since=self.now, word=word, checked_at=self.now),
                (),
                1.0,
                alarm,
            )
            for organization, name in places
        ]
        await self.store.note(findings)

    async def due(self, after_s: float = 0) -> list[DueAlert]:
        self.now += timedelta(seconds=after_s)
        return await self.incidents.collect(self.now)

    async def tell(self, due: Sequence[DueAlert]) -> None:
        await self.incidents.told(due, self.now)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    url = f"sqlite:///{tmp_path}/wedsync.db"
    migrate(url)
    database = Database(url)
    yield Stage(database)
    await database.aclose()


TWO = (("lumen", "slack-1"), ("lumen", "slack-2"))


async def test_nothing_is_told_of_what_is_healthy(stage: Stage):
    await stage.find(HealthWord.HEALTHY, *TWO)
    assert await stage.due(3_600) == []


async def test_what_has_just_begun_waits_for_what_belongs_to_it(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *TWO)
    assert await stage.due(30) == []


async def test_an_organisation_s_integrations_that_fail_together_are_one_alert(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *TWO)
    [due] = await stage.due(60)
    assert due.alert.integration_ids == ["slack-1", "slack-2"]
    assert (due.alert.kind, due.alert.severity) == (AlertKind.INTEGRATION_UNHEALTHY, Severity.ERROR)


async def test_an_alert_stays_due_under_one_id_until_it_is_told(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *TWO)
    [first] = await stage.due(60)
    [again] = await stage.due(60)
    assert first.alert.alert_id == again.alert.alert_id
    await stage.tell([again])
    assert await stage.due(3_600) == []


async def test_a_state_that_lasts_is_told_once(stage: Stage):
    for _ in range(3):
        await stage.find(HealthWord.UNHEALTHY, *TWO)
        await stage.tell(await stage.due(300))
    assert await stage.due(300) == []


async def test_recovery_is_told_when_the_last_one_has_recovered(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *TWO)
    [fell] = await stage.due(60)
    await stage.tell([fell])
    await stage.find(HealthWord.HEALTHY, TWO[0])
    assert await stage.due(300) == []
    await stage.find(HealthWord.HEALTHY, TWO[1])
    [rose] = await stage.due(300)
    assert (rose.alert.kind, rose.alert.incident_id) == (AlertKind.INTEGRATION_RECOVERED, fell.alert.incident_id)
    await stage.tell([rose])
    assert await stage.due(300) == []


async def test_what_recovers_before_it_was_told_is_never_told(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *TWO)
    await stage.find(HealthWord.HEALTHY, *TWO)
    assert await stage.due(300) == []


async def test_a_later_occurrence_is_another_alert(stage: Stage):
    seen = set()
    for _ in range(2):
        await stage.find(HealthWord.UNHEALTHY, *TWO)
        [fell] = await stage.due(300)
        await stage.tell([fell])
        await stage.find(HealthWord.HEALTHY, *TWO)
        [rose] = await stage.due(300)
        await stage.tell([rose])
        seen |= {fell.alert.alert_id, rose.alert.alert_id}
    assert len(seen) == 4


async def test_what_worsens_is_told_again_as_the_same_incident(stage: Stage):
    await stage.find(HealthWord.DEGRADED, TWO[0])
    [first] = await stage.due(300)
    await stage.tell([first])
    await stage.find(HealthWord.UNHEALTHY, TWO[0])
    [worse] = await stage.due(300)
    assert (worse.alert.kind, worse.alert.severity) == (AlertKind.INTEGRATION_UNHEALTHY, Severity.ERROR)
    assert worse.alert.incident_id == first.alert.incident_id


async def test_what_gets_better_without_being_well_is_not_told(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, TWO[0])
    await stage.tell(await stage.due(300))
    await stage.find(HealthWord.DEGRADED, TWO[0])
    assert await stage.due(300) == []


async def test_organisations_are_told_apart(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, ("lumen", "slack-1"), ("other", "slack-1"))
    due = await stage.due(60)
    assert {one.alert.organization_id for one in due} == {"lumen", "other"}


async def test_an_outage_of_a_platform_is_one_alert_for_the_operator(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *((f"org-{number}", "slack-1") for number in range(5)))
    due = await stage.due(60)
    [outage] = [one.alert for one in due if one.alert.to_operator]
    assert (outage.organization_id, outage.count, outage.severity) == (OPERATOR, 5, Severity.CRITICAL)
    assert not outage.integration_ids
    assert not any(one.alert.falls_back for one in due)


async def test_a_latecomer_joins_the_outage_that_is_known(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, *((f"org-{number}", "slack-1") for number in range(5)))
    await stage.tell(await stage.due(60))
    await stage.find(HealthWord.UNHEALTHY, ("org-9", "slack-1"))
    assert [one.alert.organization_id for one in await stage.due(60)] == ["org-9"]


async def test_two_organisations_are_no_outage(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, ("org-1", "slack-1"), ("org-2", "slack-1"))
    assert not [one for one in await stage.due(60) if one.alert.to_operator]


async def test_an_integration_that_is_paused_ends_its_incident_without_being_called_well(stage: Stage):
    await stage.find(HealthWord.UNHEALTHY, TWO[0])
    await stage.tell(await stage.due(60))
    await stage.find(HealthWord.HEALTHY, TWO[0], state=IntegrationState.PAUSED)
    [ended] = await stage.due(60)
    assert "no longer checked" in ended.alert.sentence


async def test_an_integration_that_is_disconnected_ends_its_incident(stage: Stage):
    await stage.connect(*TWO[0], IntegrationState.ACTIVE)
    await stage.find(HealthWord.UNHEALTHY, TWO[0])
    await stage.tell(await stage.due(60))
    await stage.connect(*TWO[0], IntegrationState.DISCONNECTED)
    [ended] = await stage.due(60)
    assert ended.alert.kind is AlertKind.INTEGRATION_RECOVERED
