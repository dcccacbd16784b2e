"""Every row is either loaded or rejected with its reasons."""

from __future__ import annotations

import csv
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.transform import extract, reading
from contracts.dataset import SourceFormat
from contracts.errors import InvalidInput, Owner, Permanent
from contracts.etl import Layer
from contracts.integration import FieldMapping

GOOD = {
    "wedding_id": "w-1", "wedding_date": "2027-06-12", "guest_count": "80", "total_revenue": "1200.50",
    "satisfaction_score": "4.5", "supplier_id": "s-1", "supplier_name": "Lumen", "updated_at": "2027-01-01 10:00:00",
}  # fmt: skip


def judged(rows, mapping=(), folder=None, text=None):
    """Extract `rows` from a CSV file; returns the judgement, the rejected rows and the STAGING rows."""
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        source = place / "source.csv"
        if text is None:
            with source.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, list(rows[0]))
                writer.writeheader()
                writer.writerows(rows)
        else:
            source.write_text(text, encoding="utf-8")
        with extract.engine(place, source) as connection:
            names = reading.columns_of(connection, source, SourceFormat.CSV)
            judgement = extract.judge(connection, source, SourceFormat.CSV, names, list(mapping))
            parts = list(extract.write_parts(connection, place, "etl-1", datetime(2027, 1, 1, tzinfo=UTC)))
            quarantine = place / "quarantine.ndjson"
            extract.write_quarantine(connection, quarantine)
            rejected = [json.loads(line) for line in quarantine.read_text(encoding="utf-8").splitlines()]
            staging = [part.path for part in parts if part.layer is Layer.STAGING]
            loaded = [row for path in staging for row in duckdb.read_parquet(str(path)).fetchall()]
        return judgement, rejected, loaded


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"wedding_id": ""}, "wedding_id_missing"),
        ({"wedding_id": "w" * 51}, "wedding_id_too_long"),
        ({"wedding_date": "31/02/2027"}, "wedding_date_invalid"),
        ({"wedding_date": ""}, "wedding_date_missing"),
        ({"total_revenue": "-1"}, "total_revenue_negative"),
        ({"total_revenue": "much"}, "total_revenue_invalid"),
        ({"total_revenue": "99999999999999"}, "total_revenue_invalid"),
        ({"satisfaction_score": "9.9"}, "satisfaction_score_out_of_range"),
        ({"satisfaction_score": "nan"}, "satisfaction_score_out_of_range"),
        ({"guest_count": "about 80"}, "guest_count_invalid"),
        ({"guest_count": "80.5"}, "guest_count_invalid"),
        ({"guest_count": "-3"}, "guest_count_invalid"),
        ({"supplier_name": "L" * 201}, "supplier_name_too_long"),
    ],
)
def test_a_bad_value_is_rejected_with_its_rule(change, rule):
    judgement, rejected, loaded = judged([{**GOOD, **change}])
    assert (judgement.failed, rejected[0]["reasons"], loaded) == (1, [rule], [])


def test_a_row_that_breaks_two_rules_counts_once():
    judgement, _, _ = judged([GOOD, {**GOOD, "wedding_id": "w-2", "guest_count": "x", "total_revenue": "-1"}])
    assert (judgement.failed, judgement.reasons) == (1, {"guest_count_invalid": 1, "total_revenue_negative": 1})


def test_of_two_rows_of_one_wedding_the_newest_is_kept():
    older = {**GOOD, "guest_count": "10", "updated_at": "2026-01-01 10:00:00"}
    judgement, rejected, loaded = judged([GOOD, older])
    assert (judgement.reasons, rejected[0]["rowNumber"], len(loaded)) == ({"wedding_id_duplicate": 1}, 2, 1)


def test_of_two_rows_without_a_date_of_change_the_last_is_kept():
    rows = [{**GOOD, "updated_at": ""}, {**GOOD, "updated_at": ""}]
    assert judged(rows)[1][0]["rowNumber"] == 1


def test_a_bad_newer_row_does_not_displace_the_good_one():
    judgement, _, loaded = judged([GOOD, {**GOOD, "guest_count": "x", "updated_at": "2027-05-01 10:00:00"}])
    assert (judgement.reasons, len(loaded)) == ({"guest_count_invalid": 1}, 1)


def test_a_value_an_expression_cannot_read_is_a_reason_and_not_a_loss():
    mapping = [FieldMapping(target="guestCount", expression="guest_count + 1")]
    assert judged([{**GOOD, "guest_count": "many"}], mapping)[1][0]["reasons"] == ["guest_count_invalid"]


def test_the_quarantine_keeps_the_original_row():
    record = judged([{**GOOD, "guest_count": "about 80"}])[1][0]["record"]
    assert json.loads(record)["guest_count"] == "about 80"


def test_a_line_with_too_many_values_is_rejected_and_the_others_load():
    text = "wedding_id,wedding_date\n" + "".join(f"w-{n},2027-06-12\n" for n in range(50)) + "w-x,2027-06-12,1,2,3\n"
    judgement, rejected, loaded = judged([], text=text)
    assert (judgement.total, rejected[0]["reasons"], len(loaded)) == (51, ["row_unreadable"], 50)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_a_csv_file_is_split_by_the_delimiter_of_its_heading(delimiter):
    rows = [("wedding_id", "wedding_date", "supplier_name"), ("w-1", "2027-06-12", '"Lumen, & ; | sons"')]
    _, _, loaded = judged([], text="\ufeff" + "".join(delimiter.join(row) + "\r\n" for row in rows))
    assert [(row[2], row[11]) for row in loaded] == [("w-1", "Lumen, & ; | sons")]


def test_a_missing_required_column_is_named_with_the_columns_there_are():
    with pytest.raises(InvalidInput) as caught:
        judged([{"wedding_id": "w", "day": "2027-06-12"}])
    assert "wedding_date" in caught.value.detail.message
    assert "wedding_id, day" in caught.value.detail.action


def test_what_is_mapped_of_a_venue_without_its_id_is_refused_instead_of_kept_nowhere():
    rows = [{"wedding_id": "w", "wedding_date": "2027-06-12", "country": "PRT"}]
    region = FieldMapping(target="venueRegion", expression="country")
    with pytest.raises(InvalidInput) as caught:
        judged(rows, [region])
    assert caught.value.detail.code == "key_not_mapped"
    judgement, _, _ = judged(rows, [region, FieldMapping(target="venueId", expression="country")])
    assert judgement.failed == 0


def test_a_file_with_a_heading_only_is_refused():
    with pytest.raises(InvalidInput) as caught:
        judged([], text="wedding_id,wedding_date\n")
    assert caught.value.detail.code == "source_empty"


def test_the_digest_tells_whether_the_rows_are_the_same():
    first, again, other = (judged([{**GOOD, "guest_count": n}])[0].raw_digest for n in ("8", "8", "9"))
    assert (first == again, first == other) == (True, False)


def test_a_line_that_is_no_object_takes_no_other_rows_number(tmp_path):
    source = tmp_path / "source.ndjson"
    lines = [json.dumps({**GOOD, "wedding_id": "w-1"}), "[]", json.dumps({**GOOD, "guest_count": "x"})]
    source.write_text("\n".join(lines), encoding="utf-8")
    with extract.engine(tmp_path, source) as connection:
        names = reading.columns_of(connection, source, SourceFormat.NDJSON)
        extract.judge(connection, source, SourceFormat.NDJSON, names, [])
        assert connection.execute("SELECT __row FROM judged ORDER BY 1").fetchall() == [(1,), (3,), (4,)]


def test_rows_keep_the_numbers_of_their_lines_though_two_threads_work_on_them(tmp_path):
    source = tmp_path / "source.csv"
    heading, values = ",".join(GOOD), ",".join(list(GOOD.values())[1:])
    padding = "x" * 200
    source.write_text(f"{heading},padding\n" + "".join(f"{n},{values},{padding}\n" for n in range(1, 150_001)))
    with extract.engine(tmp_path, source) as connection:
        names = reading.columns_of(connection, source, SourceFormat.CSV)
        extract.judge(connection, source, SourceFormat.CSV, names, [])
        parts = list(extract.write_parts(connection, tmp_path, "etl-1", datetime(2027, 1, 1, tzinfo=UTC)))
    for part in parts:
        moved = duckdb.sql(f"SELECT count(*) FILTER (WEDDING_ID <> ROW_NUMBER::VARCHAR) FROM '{part.path}'").fetchall()
        assert (part.rows, moved) == (150_000, [(0,)])


def test_records_that_do_not_fit_into_memory_are_the_tenants_to_shorten(tmp_path):
    source = tmp_path / "source.ndjson"
    line = json.dumps({**GOOD, "notes": "x" * 500_000}) + "\n"
    source.write_text(line * 400)
    with (
        pytest.raises(InvalidInput) as caught,
        extract.engine(tmp_path, source) as connection,
    ):
        reading.columns_of(connection, source, SourceFormat.NDJSON)
    assert caught.value.detail.code == "records_too_large"


def test_rows_that_were_read_but_cannot_be_worked_on_within_memory_are_ours_to_mend(tmp_path):
    with pytest.raises(Permanent) as caught, extract.engine(tmp_path, tmp_path / "source.csv") as connection:
        connection.execute("SELECT list(repeat('x', 100_000)) FROM range(20_000)").fetchall()
    assert (caught.value.detail.code, caught.value.detail.owner) == ("memory_exceeded", Owner.ENGINEER)


def test_long_rejected_records_are_kept_in_the_order_of_their_rows_though_together_they_exceed_the_memory(tmp_path):
    source, quarantine = tmp_path / "source.csv", tmp_path / "quarantine.ndjson"
    values, padding = ",".join(list({**GOOD, "total_revenue": "-1"}.values())[1:]), "x" * 4_000
    with source.open("w") as file:
        file.write(f"{','.join(GOOD)},padding\n")
        file.writelines(f"{n},{values},{padding}\n" for n in range(1, 120_001))
    with extract.engine(tmp_path, source) as connection:
        names = reading.columns_of(connection, source, SourceFormat.CSV)
        extract.judge(connection, source, SourceFormat.CSV, names, [])
        assert extract.write_quarantine(connection, quarantine) == 120_000
    with quarantine.open() as lines:
        assert [json.loads(line)["rowNumber"] for line in lines] == list(range(1, 120_001))


def test_a_file_of_another_format_is_not_readable(tmp_path):
    source = tmp_path / "source.parquet"
    source.write_text("wedding_id\nw-1\n")
    with (
        pytest.raises(InvalidInput) as caught,
        extract.engine(tmp_path, source) as connection,
    ):
        reading.columns_of(connection, source, SourceFormat.PARQUET)
    assert caught.value.detail.code == "file_unreadable"


VALUES = st.text(max_size=12) | st.sampled_from(["", "5", "-5", "nan", "inf", "2027-06-12", "1e400", "'", "true"])


@settings(max_examples=10)
@given(st.lists(st.fixed_dictionaries(dict.fromkeys(GOOD, VALUES)), min_size=1, max_size=8))
def test_every_row_is_loaded_or_rejected_with_a_reason(rows):
    with tempfile.TemporaryDirectory() as temporary:
        place = Path(temporary)
        source = place / "source.ndjson"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        with extract.engine(place, source) as connection:
            names = reading.columns_of(connection, source, SourceFormat.NDJSON)
            judgement = extract.judge(connection, source, SourceFormat.NDJSON, names, [])
            parts = list(extract.write_parts(connection, place, "etl-1", datetime(2027, 1, 1, tzinfo=UTC)))
            loaded = sum(part.rows for part in parts if part.layer is Layer.STAGING)
            rejected = extract.write_quarantine(connection, place / "quarantine.ndjson")
        # A record may hold characters that splitlines() takes for line ends.
        lines = (place / "quarantine.ndjson").read_text(encoding="utf-8").split("\n")[:-1]
        assert (judgement.total, loaded + rejected, judgement.failed) == (len(rows), len(rows), rejected)
        assert all(json.loads(line)["reasons"] for line in lines)
