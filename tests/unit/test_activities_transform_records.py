"""Selection, rules, mapping and fingerprints of single records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.files import MALFORMED, FileReports, locate
from activities.transform.records import (
    Mapper,
    Rules,
    Selection,
    check_mapping,
    digest,
    fingerprint,
    record_id,
    stands,
)
from contracts.dataset import DataSource, SourceFormat, SourceKind
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping, TransformationRule
from contracts.sync import DataFilter

KEY = bytes(range(32))
SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=20)
RECORDS = st.dictionaries(st.text(min_size=1, max_size=10), SCALARS, max_size=6)


def selects(operator: str, value: Any, held: Any) -> bool:
    item = DataFilter.model_validate({"field": "x", "operator": operator, "value": value})
    return Selection([item]).takes({"x": held})


def field(target: str, **origin: Any) -> FieldMapping:
    return FieldMapping.model_validate({"target": target, **origin})


def rule(condition: str) -> Rules:
    return Rules([TransformationRule(rule_id="r1", condition=condition)])


@pytest.mark.parametrize(
    ("operator", "value", "held", "taken"),
    [
        ("eq", 3, 3, True),
        ("eq", 3, "3", True),
        ("ne", "a", "b", True),
        ("in", ["booked"], "booked", True),
        ("in", ["booked"], None, False),
        ("not_in", ["booked"], "lost", True),
        ("gt", 100, 101, True),
        ("gt", 100, None, False),
        ("lte", 100, "many", False),
        ("gte", "2027-06-01", "2027-06-12", True),
        ("lt", "2027-06-01", "2027-06-12", False),
    ],
)
def test_a_filter_compares_as_stated(operator: str, value: Any, held: Any, taken):
    assert selects(operator, value, held) is taken


def test_a_filter_over_a_missing_column_names_it():
    item = DataFilter.model_validate({"field": "venue", "operator": "eq", "value": 1})
    with pytest.raises(InvalidInput, match="'venue'"):
        Selection([item]).check(["id"])


def test_a_record_that_fails_a_rule_is_told_which():
    assert "r1" in rule("guestCount > 10").objection({"guestCount": 3})


def test_a_record_that_fulfils_every_rule_has_no_objection():
    assert rule("guestCount > 10 && status in ['booked']").objection({"guestCount": 30, "status": "booked"}) == ""


def test_a_rule_over_an_absent_field_cannot_be_decided():
    assert "could not be decided" in rule("guestCount > 10").objection({})


@pytest.mark.parametrize("condition", ["guestCount >", "name.matches('(a+)+$')"])
def test_a_rule_that_does_not_parse_or_has_no_time_bound_is_refused(condition: str):
    with pytest.raises(InvalidInput, match="'r1'"):
        rule(condition)


@given(RECORDS)
def test_the_fingerprint_ignores_the_order_of_properties(record: dict[str, Any]):
    assert fingerprint(KEY, record) == fingerprint(KEY, dict(reversed(record.items())))


@given(RECORDS, RECORDS)
def test_different_contents_have_different_fingerprints(left: dict[str, Any], right: dict[str, Any]):
    same = digest(left) == digest(right)
    assert (fingerprint(KEY, left) == fingerprint(KEY, right)) is same


def test_the_fingerprint_needs_the_key():
    assert fingerprint(KEY, {"a": 1}) != fingerprint(bytes(32), {"a": 1})


@given(RECORDS)
def test_what_was_written_stands(record: dict[str, Any]):
    assert stands(record, record)


@pytest.mark.parametrize(
    ("wanted", "held", "same"),
    [("5", 5, True), ("5.0", "5", True), (None, "", True), (True, "true", True), ("a", "b", False), ("a", None, False)],
)
def test_values_compare_as_the_vendor_may_spell_them(wanted: Any, held: Any, same):
    assert stands({"x": wanted}, {"x": held}) is same


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"weddingId": "wed-1"}, "wed-1"),
        ({"wedding_id": 7}, "7"),
        ({"id": "wed-2", "weddingId": None}, "wed-2"),
        ({"weddingId": "ana@example.com"}, None),
        ({"weddingId": "x" * 65}, None),
        ({}, None),
    ],
)
def test_only_an_opaque_id_is_an_id(record: dict[str, Any], expected: str | None):
    assert record_id(record) == expected


def test_expressions_are_computed_beside_plain_sources():
    mapping = [field("total", expression="adults + children"), field("name", source="client")]
    mapper = Mapper(mapping, ["adults", "children", "client"])
    found = mapper.map([{"adults": 2, "children": 1, "client": "c"}, {"adults": 5, "children": 5, "client": None}])
    assert [(row["total"], row["name"], problem) for row, problem in found] == [(3, "c", ""), (10, None, "")]


def test_a_missing_source_column_is_named():
    with pytest.raises(InvalidInput, match="'venueName'"):
        Mapper([field("venue", source="venueName")], ["id"])


def test_a_required_value_that_is_null_rejects_the_record():
    mapper = Mapper([field("day", source="day", required=True)], ["day"])
    assert mapper.map([{"day": None}])[0][1] == "required value missing: day"


def test_without_a_mapping_every_field_keeps_its_name():
    assert Mapper([], ["a"]).map([{"a": 1}]) == [({"a": 1}, "")]


def test_an_expression_is_checked_before_its_source_is_read():
    with pytest.raises(InvalidInput):
        check_mapping([field("x", expression="read_csv('x')")])


async def pages(path: Path, file_format: SourceFormat, cursor: str | None = None) -> list[dict[str, Any]]:
    return [
        dict(row) async for page in FileReports(path, file_format).pages("any", cursor=cursor) for row in page.records
    ]


async def test_a_csv_file_yields_its_rows_and_marks_a_broken_one(tmp_path: Path):
    path = tmp_path / "w.csv"
    path.write_text("\ufeffid,name\n1,Ann\n2,\n3,x,y\n", encoding="utf-8")
    rows = await pages(path, SourceFormat.CSV)
    assert rows[:2] == [{"id": "1", "name": "Ann"}, {"id": "2", "name": None}]
    assert MALFORMED in rows[2]


async def test_an_ndjson_file_yields_its_objects_and_marks_a_broken_line(tmp_path: Path):
    path = tmp_path / "w.ndjson"
    path.write_text('{"id": 1}\n\nnot json\n', encoding="utf-8")
    assert await pages(path, SourceFormat.NDJSON) == [{"id": 1}, {MALFORMED: "line 3 is not a JSON object"}]


async def test_a_parquet_file_resumes_after_its_cursor(tmp_path: Path):
    path = tmp_path / "w.parquet"
    pq.write_table(pa.table({"id": list(range(2_500))}), path)
    everything = await pages(path, SourceFormat.PARQUET)
    assert await pages(path, SourceFormat.PARQUET, cursor="1000") == everything[1_000:]
    assert len(everything) == 2_500


async def test_a_file_of_another_format_is_refused(tmp_path: Path):
    path = tmp_path / "w.parquet"
    path.write_text("not parquet")
    with pytest.raises(InvalidInput, match="parquet"):
        await pages(path, SourceFormat.PARQUET)


@pytest.mark.parametrize("name", ["../secret.csv", "link.csv"])
def test_a_file_outside_the_import_directories_is_refused(tmp_path: Path, name: str):
    (tmp_path / "secret.csv").write_text("id\n1\n")
    inside = tmp_path / "import"
    inside.mkdir()
    (inside / "link.csv").symlink_to(tmp_path / "secret.csv")
    source = DataSource(kind=SourceKind.FILE, uri=f"file://{inside}/{name}")
    with pytest.raises(InvalidInput, match="imported"):
        locate(source, [inside])


@pytest.mark.parametrize("protection", ["token", "encrypt", "drop"])
def test_a_mapping_that_asks_for_protection_is_refused_where_there_is_none(protection: str):
    with pytest.raises(InvalidInput) as caught:
        check_mapping([field("email", source="email", protection=protection)])
    assert caught.value.detail.code == "protection_unsupported"


def test_a_rule_on_which_the_interpreter_itself_fails_cannot_be_decided():
    assert "could not be decided" in rule("status && !([])").objection({})
