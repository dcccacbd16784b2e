"""Which side wins: every combination of what changed, and the fields of a merge."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.conflicts import Verdict, changed_at, instant, judge, merged
from contracts.sync import ConflictResolutionStrategy as Strategy

NOW = datetime(2027, 1, 1, tzinfo=UTC)
JUDGED = [strategy for strategy in Strategy if strategy is not Strategy.MERGE]
FIELDS = st.dictionaries(st.sampled_from("abcde"), st.one_of(st.none(), st.text(max_size=3)))


@given(
    strategy=st.sampled_from(JUDGED),
    source_changed=st.booleans(),
    target_changed=st.booleans(),
    hours=st.integers(-5, 5),
)
def test_only_what_both_changed_is_a_conflict(
    strategy: Strategy, hours: int, *, source_changed: bool, target_changed: bool
) -> None:
    verdict = judge(
        strategy,
        source_changed=source_changed,
        target_changed=target_changed,
        source_at=NOW + timedelta(hours=hours),
        target_at=NOW,
    )
    if strategy is Strategy.SOURCE_WINS:
        assert verdict is Verdict.WRITE
    elif not source_changed:
        assert verdict is Verdict.KEEP
    elif not target_changed:
        assert verdict is Verdict.WRITE
    else:
        newest = Verdict.WRITE if hours >= 0 else Verdict.KEEP
        wanted = {Strategy.TARGET_WINS: Verdict.KEEP, Strategy.NEWEST_WINS: newest, Strategy.MANUAL: Verdict.ASK}
        assert verdict is wanted[strategy]


@pytest.mark.parametrize(("source_at", "target_at"), [(None, NOW), (NOW, None), (None, None)])
def test_sides_that_are_not_dated_are_asked_about(source_at: datetime | None, target_at: datetime | None) -> None:
    found = judge(
        Strategy.NEWEST_WINS, source_changed=True, target_changed=True, source_at=source_at, target_at=target_at
    )
    assert found is Verdict.ASK


@given(wanted=FIELDS, held=FIELDS, owned=st.sets(st.sampled_from("abcde")))
def test_a_merge_takes_no_value_from_a_side_that_does_not_own_it(
    wanted: dict[str, str | None], held: dict[str, str | None], owned: set[str]
) -> None:
    found = merged(wanted, held, owned)
    assert found.keys() == wanted.keys()
    assert all(found[name] == wanted[name] for name in wanted if name not in owned)
    assert all(found[name] == held[name] for name in wanted if name in owned and held.get(name))


@given(wanted=FIELDS, held=FIELDS, owned=st.sets(st.sampled_from("abcde")))
def test_a_merge_of_what_was_merged_changes_nothing(
    wanted: dict[str, str | None], held: dict[str, str | None], owned: set[str]
) -> None:
    once = merged(wanted, held, owned)
    assert merged(wanted, {**held, **once}, owned) == once


def test_a_record_says_when_it_was_changed() -> None:
    assert changed_at({"updatedAt": "2027-01-01T00:00:00Z"}) == changed_at({"updated_at": "2027-01-01T00:00:00Z"})
    assert (changed_at({"updatedAt": 7}), instant("no date"), instant(None)) == ("", None, None)
    assert instant("2027-01-01T00:00:00") == instant("2027-01-01T01:00:00+01:00") == NOW
