"""A backfill's slices: together they are the range, and no day is in two."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import InvalidInput
from contracts.etl import EtlRequest
from starters.backfill import MAX_SLICES, slices

REQUEST = EtlRequest.model_validate(
    {
        "etlId": "backfill-1",
        "organizationId": "lumen-studios",
        "targetIntegration": {"integrationId": "warehouse"},
        "source": {"kind": "wedsync", "reportId": "weddings"},
    }
)
DAYS = st.dates(date(2015, 1, 1), date(2030, 1, 1))


@given(DAYS, st.integers(0, 800), st.integers(1, 400))
def test_every_day_of_the_range_is_in_exactly_one_slice(first: date, length: int, days: int):
    last = first + timedelta(days=length)
    made = slices(REQUEST, first, last, days)
    edges = [(one.source.changed_since, one.source.changed_before) for one in made]
    assert edges[0][0] == datetime(first.year, first.month, first.day, tzinfo=UTC)
    assert edges[-1][1] == edges[0][0] + timedelta(days=length + 1)
    assert [since for since, _ in edges[1:]] == [before for _, before in edges[:-1]]
    assert len({one.etl_id for one in made}) == len(made)
    assert [one.as_of for one in made] == [before.date() - timedelta(days=1) for _, before in edges if before]


def test_a_repeated_backfill_has_the_same_ids():
    first, last = date(2026, 1, 1), date(2026, 3, 31)
    assert [one.etl_id for one in slices(REQUEST, first, last, 31)] == [
        "backfill-1:20260101", "backfill-1:20260201", "backfill-1:20260304",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        (date(2026, 1, 2), date(2026, 1, 1), 1),
        (date(2026, 1, 1), date(2026, 1, 2), 0),
        (date(2020, 1, 1), date(2020, 1, 1) + timedelta(days=MAX_SLICES), 1),
    ],
)
def test_a_range_that_is_none_is_refused(first: date, last: date, days: int):
    with pytest.raises(InvalidInput):
        slices(REQUEST, first, last, days)


def test_a_source_that_has_a_window_already_is_refused():
    source = REQUEST.source.model_copy(update={"changed_since": datetime(2026, 1, 1, tzinfo=UTC)})
    with pytest.raises(InvalidInput):
        slices(REQUEST.model_copy(update={"source": source}), date(2026, 1, 1), date(2026, 1, 2), 1)
