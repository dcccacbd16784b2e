"""One round of checks, remembered as it goes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from activities import metrics
from activities.health_check import Examiner, Outcome
from activities.storage.alarms import Alarm
from activities.storage.health import Finding, HealthStore
from activities.transform.hysteresis import Standing, judged, newly_watched
from contracts.alerts import AlertKind, Severity
from contracts.health import (
    CheckedBatch,
    HealthChange,
    HealthMetric,
    HealthRules,
    HealthWord,
    IntegrationKey,
    state_after,
)

NOTED_AT_ONCE = 20
Inform = Callable[[IntegrationKey, HealthChange], Awaitable[None]]
"""Tells an integration's own workflow of its health."""


class Round:
    """Checks integrations; what one attempt has noted, the next one leaves alone.

    Args:
        examiner: makes the checks.
        store: remembers them.
        rules: when a finding counts.
        inform: told of integrations whose state says otherwise than their checks.
    """

    def __init__(self, examiner: Examiner, store: HealthStore, rules: HealthRules, inform: Inform) -> None:
        self._examiner = examiner
        self._store = store
        self._rules = rules
        self._inform = inform

    async def run(self, keys: Sequence[IntegrationKey], round_at: datetime) -> AsyncIterator[CheckedBatch]:
        """Yield what the integrations have come to so far, after every few checks.

        Idempotent: yes, by `round_at`: an integration that was checked in this round is not checked again.
        """
        noted = await self._store.standings(keys)
        left = [key for key in keys if not _done(noted.get((key.organization_id, key.integration_id)), round_at)]
        counted = CheckedBatch(checked=len(keys) - len(left))
        yield counted
        fresh: list[Outcome] = []
        async for outcome in self._examiner.examine(left, round_at):
            fresh.append(outcome)
            if len(fresh) == NOTED_AT_ONCE:
                counted = _sum(counted, await self._note(fresh, round_at))
                fresh = []
                yield counted
        yield _sum(counted, await self._note(fresh, round_at))

    async def _note(self, outcomes: Sequence[Outcome], round_at: datetime) -> CheckedBatch:
        at = max(datetime.now(UTC), round_at)
        findings = [self._finding(one, at) for one in outcomes]
        await self._store.note(findings)
        for outcome, finding in zip(outcomes, findings, strict=True):
            word = finding.standing.word if outcome.asked else "held"
            metrics.health_check(finding.key.platform, word, outcome.took_ms / 1_000)
            state = outcome.stored.state
            if outcome.asked and state_after(state, finding.standing.word) is not state:
                await self._inform(finding.key, HealthChange(word=finding.standing.word))
        words = [one.standing.word for one, outcome in zip(findings, outcomes, strict=True) if outcome.asked]
        return CheckedBatch(
            checked=len(outcomes),
            unhealthy=words.count(HealthWord.UNHEALTHY),
            degraded=words.count(HealthWord.DEGRADED),
            held=len(outcomes) - len(words),
        )

    def _finding(self, outcome: Outcome, at: datetime) -> Finding:
        key = outcome.stored.key
        if not outcome.asked:
            return Finding(key, replace(newly_watched(at), checked_at=at), (), 0.0)
        standing = judged(outcome.standing, outcome.word, outcome.latency_ms, at, self._rules)
        return Finding(key, standing, outcome.metrics, outcome.took_ms, alarm_of(outcome, standing))


def alarm_of(outcome: Outcome, standing: Standing) -> Alarm | None:
    """Return what is wrong with an integration by the word its checks agree on, None where nothing is."""
    if standing.word is HealthWord.HEALTHY:
        return None
    worst = next((one for one in outcome.metrics if one.status is standing.word), None)
    sentence = (worst.error.message if worst.error else worst.message) if worst else "Its checks fail."
    if standing.word is HealthWord.DEGRADED:
        return Alarm(AlertKind.INTEGRATION_DEGRADED, Severity.WARNING, standing.since, sentence)
    if outcome.run_is_missing and _only_late(outcome.metrics):
        missing = "A sync that was due did not run."
        return Alarm(AlertKind.RUN_MISSING, Severity.ERROR, standing.since, f"{missing} {sentence}")
    return Alarm(AlertKind.INTEGRATION_UNHEALTHY, Severity.ERROR, standing.since, sentence)


def _only_late(found: Sequence[HealthMetric]) -> bool:
    return {one.metric for one in found if one.status is HealthWord.UNHEALTHY} == {"sync"}


def _done(standing: Standing | None, round_at: datetime) -> bool:
    return standing is not None and standing.checked_at is not None and standing.checked_at >= round_at


def _sum(left: CheckedBatch, right: CheckedBatch) -> CheckedBatch:
    return CheckedBatch(
        checked=left.checked + right.checked,
        unhealthy=left.unhealthy + right.unhealthy,
        degraded=left.degraded + right.degraded,
        held=left.held + right.held,
    )
