"""Rounds of health checks: what they ask, what they remember, and what a hanging vendor does not hold up."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from activities import health_check
from contracts.alerts import AlertKind
from contracts.errors import RateLimited, Transient
from contracts.health import HealthRules, HealthWord
from contracts.integration import IntegrationState, SyncObservation
from tests.support.health import START, Checks

DOWN = Transient("vendor_unavailable", "slack answered 503 to probe.", system="slack")


@pytest.fixture
async def checks(tmp_path: Path) -> AsyncIterator[Checks]:
    stage = Checks(tmp_path, HealthRules(settle_s=0, give_up_s=5))
    yield stage
    await stage.aclose()


async def word(checks: Checks, name: str) -> HealthWord:
    return (await checks.store.board("lumen", name))[0].status


async def test_a_healthy_integration_is_asked_and_found_healthy(checks: Checks):
    keys = await checks.connect("slack-1")
    assert (await checks.round(keys)).checked == 1
    assert (await word(checks, "slack-1"), checks.vendors.asked) == (HealthWord.HEALTHY, ["slack-1"])


@pytest.mark.parametrize("state", [IntegrationState.PAUSED, IntegrationState.RECONNECT_REQUIRED])
async def test_an_integration_that_takes_no_work_is_counted_and_not_asked(checks: Checks, state: IntegrationState):
    keys = await checks.connect("slack-1", state=state)
    counted = await checks.round(keys)
    assert (counted.held, checks.vendors.asked) == (1, [])
    assert (await checks.store.board("lumen"))[0].state is state


async def test_one_failed_check_is_a_suspicion_and_the_second_changes_the_word(checks: Checks):
    keys = await checks.connect("slack-1")
    checks.vendors.failing["slack-1"] = DOWN
    assert (await checks.round(keys)).unhealthy == 0
    assert (await checks.store.board("lumen"))[0].suspected is HealthWord.UNHEALTHY
    assert (await checks.round(keys)).unhealthy == 1


async def test_a_round_that_is_tried_again_counts_once(checks: Checks):
    keys = await checks.connect("slack-1")
    checks.vendors.failing["slack-1"] = DOWN
    await checks.round(keys)
    for _ in range(3):
        await checks.round(keys, again=True)
    assert await word(checks, "slack-1") is HealthWord.HEALTHY
    assert checks.vendors.asked == ["slack-1"]


async def test_a_restart_forgets_nothing(checks: Checks, tmp_path: Path):
    keys = await checks.connect("slack-1")
    checks.vendors.failing["slack-1"] = DOWN
    await checks.round(keys)
    restarted = Checks(tmp_path, checks.rules)
    restarted.vendors.failing["slack-1"] = DOWN
    restarted.round_at = checks.round_at
    assert (await restarted.round(keys)).unhealthy == 1
    await restarted.aclose()


async def test_hanging_calls_are_given_up_and_hold_up_nobody_of_their_platform(
    checks: Checks, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(health_check, "_SLOT_S", 0.01)
    hanging = [f"a-{number:02}" for number in range(30)]
    keys = await checks.connect(*hanging, "z-1", "z-2")
    checks.vendors.hanging = set(hanging)
    checks.examiner._rules = checks.rules.model_copy(update={"give_up_s": 3})
    order = [one.stored.key.integration_id async for one in checks.examiner.examine(keys, START)]
    assert set(order[:2]) == {"z-1", "z-2"}
    assert (len(order), checks.vendors.open) == (32, 0)


async def test_an_integration_is_informed_only_where_its_state_says_otherwise(checks: Checks):
    keys = await checks.connect("slack-1", "slack-2")
    checks.vendors.failing["slack-1"] = DOWN
    for _ in range(2):
        await checks.round(keys)
    assert checks.informed == [("slack-1", "unhealthy")]
    await checks.connect("slack-1", state=IntegrationState.UNHEALTHY)
    await checks.round(keys)
    assert len(checks.informed) == 1


async def test_a_change_is_due_as_one_alert_and_no_change_as_none(checks: Checks):
    keys = await checks.connect("slack-1", "slack-2")
    await checks.round(keys)
    assert await checks.incidents.collect(checks.round_at) == []
    checks.vendors.failing = dict.fromkeys(("slack-1", "slack-2"), DOWN)
    for _ in range(2):
        await checks.round(keys)
    [due] = await checks.incidents.collect(checks.round_at + timedelta(days=9))
    assert due.alert.integration_ids == ["slack-1", "slack-2"]


async def test_a_limit_that_is_used_up_is_no_outage(checks: Checks):
    keys = await checks.connect("slack-1")
    checks.vendors.failing["slack-1"] = RateLimited("rate_limited", "slack asks to wait.", retry_after_s=9)
    for _ in range(2):
        await checks.round(keys)
    assert await word(checks, "slack-1") is HealthWord.DEGRADED


async def test_a_surprise_in_one_check_is_a_finding_and_ends_no_round(checks: Checks):
    keys = await checks.connect("slack-1", "slack-2")
    checks.vendors.failing["slack-1"] = ValueError("Anna Fisher")  # type: ignore[assignment]
    assert (await checks.round(keys)).checked == 2
    [first, _] = await checks.store.board("lumen")
    assert "ValueError" in first.metrics[0].message
    assert "Fisher" not in first.model_dump_json()


async def test_a_sync_that_did_not_run_is_an_alarm_of_its_own_and_is_over_when_it_runs(checks: Checks):
    keys = await checks.connect("slack-1", syncSchedule={"intervalMs": 600_000})
    kinds = []
    for _ in range(6):
        await checks.round(keys)
    kinds += [one.alert.kind for one in await checks.incidents.collect(checks.round_at + timedelta(days=9))]
    await checks.incidents.told(await checks.incidents.collect(checks.round_at + timedelta(days=9)), checks.round_at)
    await checks.connections.observe_sync("lumen", "slack-1", checks.round_at + timedelta(minutes=5), "success")
    for _ in range(2):
        await checks.round(keys)
    kinds += [one.alert.kind for one in await checks.incidents.collect(checks.round_at + timedelta(days=9))]
    assert kinds == [AlertKind.RUN_MISSING, AlertKind.INTEGRATION_RECOVERED]


async def test_syncs_that_run_and_fail_are_not_missing(checks: Checks):
    keys = await checks.connect("slack-1", syncSchedule={"intervalMs": 600_000})
    for number in range(6):
        seen = SyncObservation(
            organization_id="lumen", integration_id="slack-1", status="failed", run_id=f"run-{number}", series="r/full"
        )
        await checks.runs.add(seen, checks.round_at)
        await checks.round(keys)
    [due] = await checks.incidents.collect(checks.round_at + timedelta(days=9))
    assert due.alert.kind is AlertKind.INTEGRATION_UNHEALTHY


async def test_a_check_leaves_no_connection_open(checks: Checks):
    keys = await checks.connect(*(f"slack-{number}" for number in range(40)))
    await checks.round(keys)
    assert checks.vendors.open == 0
