"""Which side wins a record that source and target both changed since they last agreed."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from enum import StrEnum

from pydantic import JsonValue

from contracts.sync import ConflictResolutionStrategy

CHANGED_AT = ("updatedAt", "updated_at")
"""Where a source's record says when it was changed."""


class Verdict(StrEnum):
    """What becomes of a record whose target differs."""

    WRITE = "write"
    KEEP = "keep"
    """The target stays as it is."""
    ASK = "ask"


def judge(
    strategy: ConflictResolutionStrategy,
    *,
    source_changed: bool,
    target_changed: bool,
    source_at: datetime | None = None,
    target_at: datetime | None = None,
) -> Verdict:
    """Return what becomes of a record that does not stand at its target as the source has it.

    Args:
        strategy: of the request; `merge` is `merged`'s.
        source_changed: since the last acknowledgement, or there was none.
        target_changed: likewise.
        source_at: when the source's record was changed, if it says so.
        target_at: when the target's record was changed, if it says so.
    """
    if strategy is ConflictResolutionStrategy.SOURCE_WINS:
        return Verdict.WRITE
    if not (source_changed and target_changed):
        return Verdict.WRITE if source_changed else Verdict.KEEP
    if strategy is ConflictResolutionStrategy.TARGET_WINS:
        return Verdict.KEEP
    if strategy is ConflictResolutionStrategy.NEWEST_WINS and source_at and target_at:
        return Verdict.WRITE if source_at >= target_at else Verdict.KEEP
    return Verdict.ASK


def merged(
    wanted: Mapping[str, JsonValue], held: Mapping[str, JsonValue], target_owned: Collection[str]
) -> dict[str, JsonValue]:
    """Return what shall stand: a field of the target's keeps its value there unless it is empty."""
    return {
        name: held[name] if name in target_owned and held.get(name) not in (None, "") else value
        for name, value in wanted.items()
    }


def changed_at(record: Mapping[str, JsonValue]) -> str:
    """Return when a source's record says that it was changed, in its own words; nothing where it does not."""
    return next((found for name in CHANGED_AT if isinstance(found := record.get(name), str)), "")


def instant(value: JsonValue) -> datetime | None:
    """Return an ISO 8601 text as an instant, in UTC where it names no zone; None for anything else."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found is not None and found.tzinfo is None else found
