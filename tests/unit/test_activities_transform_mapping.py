"""Mappings become SQL over the source's columns and nothing else."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from activities.transform.expression import compile_expression
from activities.transform.identifiers import literal, quote
from activities.transform.mapping import check_expression, compile_mapping
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping

COLUMNS = ["wedding_id", "event_day", "adults", "children", "price", "nights", "client.name"]
ROW = ["w-1", "2027-06-12T10:00:00Z", "3", "about 4", "12.345", "2", "n"]


@pytest.fixture(scope="module")
def database():
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE source ({', '.join(quote(name) + ' VARCHAR' for name in COLUMNS)})")
        connection.execute(f"INSERT INTO source VALUES ({', '.join(literal(value) for value in ROW)})")
        yield connection


def value_of(database, expression):
    return database.execute(f"SELECT {check_expression(expression, COLUMNS)} FROM source").fetchone()[0]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("wedding_id", "w-1"),
        ("cast(cast(event_day as date) as varchar)", "2027-06-12"),
        ("round(price * nights, 2)", 24.69),
        ("adults / 0", None),
        ("case when adults > 2 then 'big' else 'small' end", "big"),
        ("coalesce(nullif(wedding_id, 'w-1'), 'none')", "none"),
        ("year(event_day)", 2027.0),
        ("upper(client.name) || '!'", "N!"),
        ("wedding_id || '/' || nullif(nights, '2')", None),
        ("concat(wedding_id, '/', nullif(nights, '2'))", "w-1/"),
        ("date_diff('day', event_day, '2027-06-20')", 8.0),
        ("weddingId", "w-1"),
    ],
)
def test_an_allowed_expression_yields_its_value(database, expression, expected):
    assert value_of(database, expression) == expected


def test_a_value_that_cannot_be_read_is_null_and_reported(database):
    compiled = compile_expression("adults + children", COLUMNS, "guestCount")
    assert database.execute(f"SELECT {compiled.sql}, {compiled.unreadable} FROM source").fetchone() == (None, True)


_TWO_FORMATS = "case when contains(day, '/') then strptime(day, '%m/%d/%Y') else strptime(day, '%m-%d-%y') end"


@pytest.mark.parametrize(
    ("expression", "value", "day", "unreadable"),
    [
        (_TWO_FORMATS, "1/15/2026", "2026-01-15", False),
        (_TWO_FORMATS, "01-05-26", "2026-01-05", False),
        (_TWO_FORMATS, "mid May", None, True),
        (_TWO_FORMATS, "5/2026", None, True),
        (f"case when day = '' then null when day = 'later' then null else {_TWO_FORMATS} end", "later", None, False),
        (f"case when day = '' then null when day = 'later' then null else {_TWO_FORMATS} end", "5/2026", None, True),
        (f"case contains(day, 'x') when true then null when false then {_TWO_FORMATS} end", "5/x", None, False),
        ("if(starts_with(day, '20'), cast(day as date), strptime(day, '%d.%m.%Y'))", "15.01.2026", "2026-01-15", False),
        ("if(starts_with(day, '20'), cast(day as date), strptime(day, '%d.%m.%Y'))", "2026-01-35", None, True),
        ("case when length(day) = 4 then null when year(day) > 2000 then cast(day as date) end", "soon", None, False),
        ("case when length(day) = 5 then null when year(day) > 2000 then cast(day as date) end", "soon", None, True),
        ("coalesce(try_strptime(day, '%d.%m.%Y'), strptime(day, '%m/%d/%Y'))", "15.01.2026", "2026-01-15", False),
        ("coalesce(try_strptime(day, '%d.%m.%Y'), strptime(day, '%m/%d/%Y'))", "1/15/2026", "2026-01-15", False),
        ("coalesce(try_strptime(day, '%d.%m.%Y'), strptime(day, '%m/%d/%Y'))", "mid May", None, True),
        ("coalesce(strptime(day, '%d.%m.%Y'), try_strptime(day, '%m/%d/%Y'))", "1/15/2026", "2026-01-15", True),
    ],
)
def test_a_value_counts_as_unreadable_where_the_expression_reads_it(database, expression, value, day, unreadable):
    compiled = compile_expression(f"cast({expression} as date)", ["day"], "weddingDate")
    row = f"(SELECT {literal(value)} AS day)"
    found = database.execute(f"SELECT CAST({compiled.sql} AS VARCHAR), {compiled.unreadable} FROM {row}").fetchone()
    assert found == (day, unreadable)


def test_a_case_in_the_condition_of_a_case_does_not_double_what_is_checked():
    deep = "adults"
    for _ in range(18):
        deep = f"case when {deep}>1 then price+1 else nights+1 end"
    assert len(compile_expression(deep, COLUMNS, "guestCount").unreadable) < 100_000


@pytest.mark.parametrize(
    "expression",
    [
        "try_strptime(adults)", "try_strptime(adults, price)", "try_strptime(adults, '%d', '%m')", "(select 1)",
        "exists(select 1)", "adults in (select 1)", "read_text('/etc/passwd')", "getenv('HOME')",
        "adults; drop table source", "adults -- hidden", "*", "source.*", "columns(*)", "count(*)", "sum(adults)",
        "row_number() over ()", "$1", ":name", "?", "[1, 2]", "{'a': 1}", "list_transform(adults, x -> x)",
        "cast(adults as struct(x int))", "adults as b", "adults, children", "current_date", "repeat(adults, 999999)",
        "(" * 200 + "adults" + ")" * 200, "pg_catalog.version()", "adults collate nocase", "", "1 +",
    ],
)  # fmt: skip
def test_anything_but_a_scalar_expression_is_refused(expression):
    with pytest.raises(InvalidInput):
        check_expression(expression, COLUMNS, target="guestCount")


def test_the_refusal_names_the_target_the_part_and_the_columns():
    with pytest.raises(InvalidInput) as caught:
        check_expression("adults + infants", COLUMNS, target="guestCount")
    sentence = caught.value.detail.sentence()
    assert all(word in sentence for word in ("'guestCount'", "'infants'", "wedding_id, event_day"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    expression=st.text(max_size=60) | st.sampled_from(["adults", "'", '"', ";", "x'; DROP TABLE source; --", "$$a$$"])
)
@example(expression="@")
def test_f64_a_hostile_expression_is_refused_or_harmless(database, expression):
    try:
        sql = check_expression(expression, COLUMNS)
    except InvalidInput:
        return
    database.execute(f"SELECT {sql} FROM source")
    assert database.execute("SELECT count(*) FROM duckdb_tables()").fetchone() == (1,)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(alphabet=st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1))
def test_f64_a_hostile_column_name_stays_a_name(database, name):
    try:
        compiled = compile_mapping([FieldMapping(target="clientName", expression=quote(name)[:1_000])], [name])
    except InvalidInput:
        return
    found = database.execute(f"SELECT {compiled['clientName'].sql} FROM (SELECT 7 AS {quote(name)})").fetchall()
    assert (found, database.execute("SELECT count(*) FROM duckdb_tables()").fetchone()) == ([(7,)], (1,))


def test_a_source_that_is_missing_is_named_with_what_there_is():
    with pytest.raises(InvalidInput) as caught:
        compile_mapping([FieldMapping(target="guestCount", source="guests")], COLUMNS)
    assert caught.value.detail.code == "missing_column"


def test_a_target_mapped_twice_is_refused():
    twice = [FieldMapping(target="guestCount", source=name) for name in ("adults", "children")]
    with pytest.raises(InvalidInput):
        compile_mapping(twice, COLUMNS)
