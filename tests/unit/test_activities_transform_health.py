"""What the figures of a check mean: each threshold, and nothing where nothing is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.storage.connections import StoredConnection
from activities.transform import health
from activities.transform.volume import odd
from contracts.health import HealthMetric, HealthRules, HealthWord
from contracts.integration import IntegrationConfiguration, IntegrationState

NOW = datetime(2031, 5, 1, 9, tzinfo=UTC)
RULES = HealthRules()
H, D, U = HealthWord.HEALTHY, HealthWord.DEGRADED, HealthWord.UNHEALTHY


def stored(last_sync: timedelta | None = None, **rest: Any) -> StoredConnection:
    given = {"organizationId": "lumen", "integrationId": "slack-1", "platform": "slack", **rest}
    return StoredConnection(
        configuration=IntegrationConfiguration.model_validate(given),
        state=IntegrationState.ACTIVE,
        version=1,
        changed_at=NOW,
        last_sync_at=None if last_sync is None else NOW - last_sync,
        last_sync_status=None,
        health=None,
    )


def hourly(last_sync: timedelta | None = None) -> StoredConnection:
    return stored(last_sync, syncSchedule={"intervalMs": 3_600_000})


def word(metric: HealthMetric | None) -> HealthWord | None:
    return metric.status if metric else None


@pytest.mark.parametrize(("latency_ms", "expected"), [(4_999, H), (5_000, D), (9_000, D)])
def test_an_answer_is_healthy_within_five_seconds_and_degraded_beyond(latency_ms: float, expected: HealthWord):
    assert health.connection(latency_ms, RULES).status is expected


@pytest.mark.parametrize(("minutes", "expected"), [(89, H), (90, H), (91, U)])
def test_a_sync_is_overdue_at_one_and_a_half_intervals(minutes: int, expected: HealthWord):
    found = health.freshness(hourly(timedelta(minutes=minutes)), NOW - timedelta(days=9), NOW, RULES)
    assert word(found) is expected


def test_what_is_watched_anew_has_an_interval_before_it_is_late():
    assert word(health.freshness(hourly(timedelta(days=3)), NOW, NOW, RULES)) is H


def test_without_a_schedule_nothing_is_late():
    assert health.freshness(stored(), NOW - timedelta(days=9), NOW, RULES) is None


def test_a_failed_run_is_late_and_not_missing():
    figures = health.Figures(NOW - timedelta(days=9), health.Runs(9, 9, NOW - timedelta(minutes=5)))
    assert not health.run_is_missing(hourly(timedelta(days=3)), figures, NOW, RULES)
    figures = health.Figures(NOW - timedelta(days=9), health.Runs(9, 9, NOW - timedelta(hours=2)))
    assert health.run_is_missing(hourly(timedelta(days=3)), figures, NOW, RULES)


@pytest.mark.parametrize(
    ("latency_ms", "before", "expected"),
    [
        (400, [100] * 5, H),
        (1_500, [100] * 5, D),
        (1_500, [900] * 5, H),
        (1_500, [100] * 4, None),
        (None, [1] * 9, None),
    ],
)
def test_slowing_counts_against_the_connection_s_own_recent_median(
    latency_ms: float | None, before: list[float], expected: HealthWord | None
):
    assert word(health.performance(latency_ms, before, RULES)) is expected


@pytest.mark.parametrize(
    ("total", "failed", "expected"), [(4, 4, None), (10, 1, H), (10, 2, D), (10, 4, D), (10, 5, U)]
)
def test_failing_syncs_count_by_their_share(total: int, failed: int, expected: HealthWord | None):
    assert word(health.error_rate(health.Runs(total, failed), RULES)) is expected


@pytest.mark.parametrize(("left", "expected"), [(timedelta(minutes=5), H), (timedelta(0), D), (-timedelta(days=1), D)])
def test_a_credential_that_has_expired_was_not_renewed(left: timedelta, expected: HealthWord):
    assert word(health.credential(NOW + left, NOW)) is expected
    assert health.credential(None, NOW) is None


@pytest.mark.parametrize(("free", "expected"), [(0.5, H), (0.1, H), (0.09, D), (0.0, D), (None, None)])
def test_a_limit_that_is_nearly_used_up_is_seen(free: float | None, expected: HealthWord | None):
    assert word(health.headroom(free, RULES)) is expected


def test_an_exception_from_tls_1_3_is_shown_and_is_no_illness():
    found = health.tls(stored(securityConfig={"minTlsVersion": "1.2"}))
    assert found is not None
    assert (found.status, "1.2" in found.message) == (H, True)
    assert health.tls(stored()) is None


@given(st.lists(st.sampled_from([H, D, U]), max_size=8))
def test_the_worst_metric_decides(words: list[HealthWord]):
    metrics = [HealthMetric(metric="m", status=one, value=0, threshold=0, message="") for one in words]
    expected = U if U in words else D if D in words else H
    assert health.overall(metrics) is expected


@pytest.mark.parametrize(
    ("records", "before"),
    [
        (0, [40, 41, 39, 40, 42]),
        (400, [100, 102, 98, 101, 99]),
        (30, [100, 102, 98, 101, 99]),
        (400, [100, 102, 98, 5_000, 99]),
    ],
)
def test_a_volume_unlike_its_history_is_odd(records: int, before: list[int]):
    assert odd(records, before)


@pytest.mark.parametrize(
    ("records", "before"),
    [
        (100, [100] * 9),
        (0, [0, 0, 0, 5, 0]),
        (0, [100] * 4),
        (12, [5, 6, 4, 5, 5]),
        (140, [100, 102, 98, 101, 99]),
        (300, [10, 500, 90, 300, 700]),
    ],
)
def test_a_volume_within_its_habits_or_without_a_history_is_not(records: int, before: list[int]):
    assert odd(records, before) is None


@given(st.lists(st.integers(0, 10_000), min_size=5, max_size=30))
def test_the_usual_volume_is_never_odd(before: list[int]):
    assert odd(sorted(before)[len(before) // 2], before) is None
