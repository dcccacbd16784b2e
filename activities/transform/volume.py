"""Whether a sync read as many records as its kind usually does."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

HISTORY = 30
"""Runs of the same weekday that are looked at."""
_LEAST_HISTORY = 5
_TO_SIGMA = 1.4826
_FAR = 5
_LEAST_SHARE = 0.5
_LEAST_RECORDS = 10


def odd(records: int, before: Sequence[int]) -> str | None:
    """Return what is odd about a run's volume in one sentence, None when nothing is or too little is known.

    The rule is robust: the distance from the median in median absolute deviations, so that one odd run in the history
    hides no other; and only where the distance is large in itself.

    Args:
        records: read by the run.
        before: records of earlier runs of its kind on the same weekday.
    """
    if len(before) < _LEAST_HISTORY:
        return None
    usual = statistics.median(before)
    if records == 0 and min(before) > 0:
        return f"The sync read nothing; it usually reads about {usual:.0f} records on this weekday."
    spread = statistics.median(abs(one - usual) for one in before) * _TO_SIGMA
    if abs(records - usual) > max(_FAR * spread, _LEAST_SHARE * usual, _LEAST_RECORDS):
        return f"The sync read {records} records; it usually reads about {usual:.0f} on this weekday."
    return None
