"""How a report's fields differ from those that were known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from activities.transform.drift import count_kinds, drift_of, evolved, known_fields, objection

VALUES = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=2))
RECORDS = st.lists(st.dictionaries(st.sampled_from("abc"), VALUES), max_size=8)
KNOWN = {"guests": "number", "venue": "text", "note": ""}


def test_a_field_has_the_kind_of_most_of_its_values() -> None:
    seen = count_kinds([{"guests": 1}, {"guests": 2.5}, {"guests": "many"}, {"guests": None}], ["guests"], {})
    assert (seen, known_fields(seen)) == ({"guests": {"number": 2, "text": 1}}, {"guests": "number"})


@given(RECORDS, RECORDS)
def test_pages_count_as_one_reading(first: list[dict[str, object]], second: list[dict[str, object]]) -> None:
    together = count_kinds([*first, *second], "abc", {})  # type: ignore[list-item]
    assert count_kinds(second, "abc", count_kinds(first, "abc", {})) == together  # type: ignore[arg-type]


def test_what_changed_is_told_by_field() -> None:
    found = {"guests": "text", "venue": "text", "weather": "text"}
    told = [change.sentence() for change in drift_of(KNOWN, found, sparse=False)]
    assert told == ["guests was number and is text", "note is missing", "weather is new"]


def test_nothing_is_told_where_nothing_is_known_or_read() -> None:
    assert drift_of({}, KNOWN, sparse=False) == drift_of(KNOWN, {}, sparse=False) == []


def test_records_that_may_leave_fields_out_lack_none() -> None:
    assert drift_of(KNOWN, {"guests": "number"}, sparse=True) == []


@given(st.dictionaries(st.sampled_from("abc"), st.sampled_from(["text", "number", ""]), min_size=1))
def test_what_was_known_from_a_reading_is_no_drift_in_the_next(found: dict[str, str]) -> None:
    assert drift_of(evolved({}, found), found, sparse=False) == []


def test_only_fields_that_are_needed_make_a_record_unfit() -> None:
    record = {"guests": "many", "venue": 7}
    assert objection(record, KNOWN, ["guests"]) == "the report's schema changed: guests was number and is text"
    assert objection({"guests": None, "venue": 7, "note": 1}, KNOWN, ["guests", "note", "absent"]) == ""
