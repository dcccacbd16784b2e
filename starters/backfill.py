"""A load cut into slices of time, each a load of its own with its own id and day."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from contracts.errors import InvalidInput
from contracts.etl import EtlRequest

MAX_SLICES = 1_000
_LONGEST_ID = 64


def slices(request: EtlRequest, first: date, last: date, days: int) -> list[EtlRequest]:
    """Return the loads of what changed from `first` to `last`, both included, in UTC; the earliest first.

    A slice's id is made of the load's id and its first day, so that a repeated backfill joins what is done, and what it
    says holds from its last day.

    Args:
        request: the load, without a window of its own.
        first: first day.
        last: last day.
        days: days per slice.

    Raises:
        InvalidInput: the days are the wrong way round, there are too many slices, or the id is too long.
    """
    if last < first or days < 1 or (last - first).days // days >= MAX_SLICES:
        raise InvalidInput(
            "range_invalid",
            f"From {first} to {last} in steps of {days} days is no range of 1 to {MAX_SLICES} slices.",
            action="Give an earlier --from, a later --to, or a larger --slice-days.",
        )
    starts = [first + timedelta(days=offset) for offset in range(0, (last - first).days + 1, days)]
    return [_slice(request, start, min(start + timedelta(days=days), last + timedelta(days=1))) for start in starts]


def _slice(request: EtlRequest, start: date, end: date) -> EtlRequest:
    etl_id = f"{request.etl_id}:{start:%Y%m%d}"
    if len(etl_id) > _LONGEST_ID or request.source.windowed:
        raise InvalidInput(
            "backfill_unsupported",
            "The load's etlId is too long for slices, or its source has a window of its own.",
            action="Shorten etlId to 55 characters, and leave out changedSince and changedBefore.",
        )
    window = {"changed_since": _midnight(start), "changed_before": _midnight(end)}
    return request.model_copy(
        update={
            "etl_id": etl_id,
            "as_of": end - timedelta(days=1),
            "source": request.source.model_copy(update=window),
        }
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)
