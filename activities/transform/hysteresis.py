"""When a finding becomes the word: not at the first sight of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from activities.transform.health import LATENCIES_KEPT, WORST_FIRST
from contracts.health import HealthRules, HealthWord


@dataclass(frozen=True)
class Standing:
    """What is remembered of an integration between two checks.

    `suspected` is what `streak` checks in a row have found beside the word; `watched_since` is when the checks of it
    began, or began again.
    """

    watched_since: datetime
    since: datetime
    word: HealthWord = HealthWord.HEALTHY
    suspected: HealthWord | None = None
    streak: int = 0
    latencies_ms: tuple[float, ...] = ()
    checked_at: datetime | None = None


def newly_watched(at: datetime) -> Standing:
    """Return the standing of an integration that nothing is known of: connecting has tested it, so it is healthy."""
    return Standing(watched_since=at, since=at)


def judged(
    standing: Standing, found: HealthWord, latency_ms: float | None, at: datetime, rules: HealthRules
) -> Standing:
    """Return the standing after one more check.

    A word changes once enough checks in a row point away from it in one direction, and then to the nearest they found.
    """
    kept = standing.latencies_ms if latency_ms is None else (*standing.latencies_ms, latency_ms)[-LATENCIES_KEPT:]
    after = replace(standing, latencies_ms=kept, checked_at=at)
    if found is standing.word:
        return replace(after, suspected=None, streak=0)
    worse = _badness(found) > _badness(standing.word)
    before = standing.suspected
    joins = before is not None and (_badness(before) > _badness(standing.word)) is worse
    nearest = (min if worse else max)((before or found, found), key=_badness) if joins else found
    streak = standing.streak + 1 if joins else 1
    if streak < (rules.worsen_after if worse else rules.recover_after):
        return replace(after, suspected=nearest, streak=streak)
    return replace(after, word=nearest, since=at, suspected=None, streak=0)


def _badness(word: HealthWord) -> int:
    return -WORST_FIRST.index(word)
