"""Which analytics queries are run, and as what."""

from __future__ import annotations

from typing import Any

import pytest
import sqlglot
from hypothesis import given
from hypothesis import strategies as st

from activities.transform.analytics_sql import BoundQuery, bind
from contracts.analytics import AnalyticsQuery
from contracts.errors import InvalidInput

FACTS = "WEDDING_MARTS.FACT_WEDDINGS"


DIALECTS = ["snowflake", "bigquery", "redshift", "databricks", "tsql"]


def bound(statement: str, *, max_rows: int = 100, dialect: str = "snowflake", **parameters: Any) -> BoundQuery:
    query = AnalyticsQuery.model_validate(
        {
            "queryId": "q-1",
            "organizationId": "lumen-studios",
            "targetIntegration": {"integrationId": "warehouse"},
            "statement": statement,
            "parameters": parameters,
            "maxRows": max_rows,
        }
    )
    return bind(query, dialect, lambda _: "%s", escape="%")


def refusal(statement: str, **parameters: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        bound(statement, **parameters)
    return caught.value.detail.code


@pytest.mark.parametrize(
    "statement",
    [
        f"SELECT * FROM {FACTS}",
        f"SELECT SUPPLIER_SK, COUNT(*), SUM(TOTAL_REVENUE) FROM {FACTS} GROUP BY 1 HAVING COUNT(*) > 3 ORDER BY 2 DESC",
        f"SELECT DATE_TRUNC('month', WEDDING_DATE) AS M, AVG(GUEST_COUNT) FROM {FACTS} GROUP BY ALL",
        f"WITH f AS (SELECT * FROM {FACTS}) SELECT f.A FROM f JOIN WEDDING_MARTS.DIM_VENUES v ON f.B = v.B",
        f"SELECT * FROM {FACTS} QUALIFY ROW_NUMBER() OVER (PARTITION BY SUPPLIER_SK ORDER BY WEDDING_DATE) = 1",
        f"SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY TOTAL_REVENUE) FROM {FACTS}",
        f"SELECT WEDDING_ID FROM {FACTS} UNION ALL SELECT WEDDING_ID FROM {FACTS}",
        "SELECT * FROM WEDDING_ANALYTICS.MONTHLY_SUPPLIER_METRICS WHERE SUPPLIER_ID IN ('a', 'b')",
        f"SELECT YEAR(WEDDING_DATE), DATEDIFF('day', BOOKING_DATE, WEDDING_DATE) FROM {FACTS}",
        f"SELECT IFF(GUEST_COUNT > 100, 'large', 'small') FROM {FACTS}",
    ],
)
def test_questions_that_analysts_ask_are_run(statement: str):
    assert "LIMIT 101" in bound(statement).sql


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        (f"DELETE FROM {FACTS}", "query_not_a_select"),
        (f"SELECT 1 FROM {FACTS}; DROP TABLE {FACTS}", "query_not_a_select"),
        (f"CREATE TABLE x AS SELECT * FROM {FACTS}", "query_not_a_select"),
        (f"INSERT INTO x SELECT * FROM {FACTS}", "query_not_a_select"),
        (f"MERGE INTO {FACTS} USING x ON TRUE WHEN MATCHED THEN DELETE", "query_not_a_select"),
        ("CALL SYSTEM$WAIT(100)", "query_not_a_select"),
        ("GRANT ALL ON DATABASE x TO ROLE y", "query_not_a_select"),
        ("COPY INTO @stage FROM x", "query_not_a_select"),
        ("USE ROLE ACCOUNTADMIN", "query_not_a_select"),
        ("EXECUTE IMMEDIATE 'DROP TABLE x'", "query_not_a_select"),
        ("SHOW TABLES", "query_not_a_select"),
        ("", "query_not_a_select"),
        ("SELECT FROM WHERE (", "query_unparsable"),
        (f"SELECT '__wedsync_value_0__', :a FROM {FACTS}", "query_not_allowed"),
        (f"SELECT SYSTEM$WAIT(100) FROM {FACTS}", "query_not_allowed"),
        (f"SELECT my_own_function(1) FROM {FACTS}", "query_not_allowed"),
        ("SELECT $1 FROM @~/secrets.csv", "query_not_allowed"),
        ("SELECT * FROM TABLE(RESULT_SCAN(LAST_QUERY_ID()))", "query_not_allowed"),
        (f"SELECT * FROM {FACTS}, LATERAL FLATTEN(INPUT => x)", "query_not_allowed"),
        (f"SELECT * FROM {FACTS} AT (OFFSET => -3600)", "query_not_allowed"),
        (f"SELECT $secret FROM {FACTS}", "query_not_allowed"),
        ("SELECT * FROM WEDDING_RAW.WEDDINGS", "table_not_allowed"),
        ("SELECT * FROM WEDDING_STAGING.WEDDINGS", "table_not_allowed"),
        ("SELECT * FROM OTHER_DATABASE.WEDDING_MARTS.FACT_WEDDINGS", "table_not_allowed"),
        ("SELECT * FROM INFORMATION_SCHEMA.TABLES", "table_not_allowed"),
        ("SELECT * FROM SNOWFLAKE.ACCOUNT_USAGE.LOGIN_HISTORY", "table_not_allowed"),
        ("SELECT * FROM FACT_WEDDINGS", "table_not_allowed"),
        (f"SELECT (SELECT max(REJECTED_RECORD) FROM WEDDING_RAW.WEDDINGS) FROM {FACTS}", "table_not_allowed"),
        (f"SELECT * FROM {FACTS} WHERE EXISTS (SELECT 1 FROM WEDDING_RAW.WEDDINGS)", "table_not_allowed"),
        (f"SELECT * FROM {FACTS} UNION SELECT * FROM WEDDING_RAW.WEDDINGS", "table_not_allowed"),
        (f"WITH a AS (SELECT * FROM WEDDING_RAW.WEDDINGS) SELECT * FROM a JOIN {FACTS} ON TRUE", "table_not_allowed"),
        (f"WITH a AS (SELECT 1) SELECT * FROM (WITH b AS (SELECT * FROM {FACTS}) SELECT * FROM b) JOIN b ON TRUE",
         "table_not_allowed"),
        (f"SELECT * FROM {FACTS} LIMIT (SELECT 5)", "limit_not_a_number"),
        (f"SELECT * FROM {FACTS} WHERE WEDDING_ID = :missing", "parameter_missing"),
        ("SELECT " + "(" * 60 + "1" + ")" * 60, "query_too_long"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(statement: str, code: str):
    assert refusal(statement or " ") == code


def test_a_parameter_that_is_not_used_is_a_mistake():
    assert refusal(f"SELECT * FROM {FACTS}", day="2027-06-12") == "parameter_unused"


def test_values_are_bound_in_the_order_of_the_text():
    found = bound(f"SELECT * FROM {FACTS} WHERE A = :b AND B IN (:a, :b) AND C LIKE '5%'", a=1, b="x'; DROP TABLE y")
    assert found.values == ("x'; DROP TABLE y", 1, "x'; DROP TABLE y")
    assert "A = %s AND B IN (%s, %s)" in found.sql
    assert "LIKE '5%%'" in found.sql
    assert "DROP" not in found.sql


@pytest.mark.parametrize(("own", "expected"), [(5, 5), (100, 100), (5_000, 101)])
def test_a_limit_of_ones_own_counts_when_it_is_lower(own: int, expected: int):
    assert f"LIMIT {expected}" in bound(f"SELECT * FROM {FACTS} LIMIT {own}").sql


def test_comments_are_not_passed_on():
    assert bound(f"SELECT * FROM {FACTS} WHERE C LIKE '5%'").sql.count("%") == 1
    assert "hint" not in bound(f"SELECT /* hint */ * FROM {FACTS} -- hint").sql


@given(st.text(max_size=40))
def test_no_value_ever_stands_in_the_statement(value: str):
    plain = bound(f"SELECT * FROM {FACTS} WHERE A = :a", a="")
    assert bound(f"SELECT * FROM {FACTS} WHERE A = :a", a=value[:40]).sql == plain.sql


@pytest.mark.parametrize("dialect", DIALECTS)
@given(text=st.text("SELECT FROM*(),;'\"-/@$:WEDDING_RAW.x1 ", max_size=60))
def test_whatever_is_written_reads_from_nothing_but_readable_tables(dialect: str, text: str):
    try:
        sql = bound(f"SELECT 1 FROM {FACTS} {text}", dialect=dialect).sql
    except InvalidInput:
        return
    tree = sqlglot.parse_one(sql.replace("%%", "%").replace("%s", "1"), read=dialect)
    assert {table.db.upper() for table in tree.find_all(sqlglot.exp.Table) if table.db} <= {
        "WEDDING_MARTS", "WEDDING_ANALYTICS",
    }  # fmt: skip


def test_values_follow_the_text_however_deep_they_stand():
    found = bound(f"SELECT * FROM {FACTS} WHERE (A = :x OR (B = :y AND D < :w)) AND C = :z", x=1, y=2, w=3, z=4)
    assert found.values == (1, 2, 3, 4)


def test_a_null_is_written_because_no_driver_knows_its_type():
    found = bound(f"SELECT * FROM {FACTS} WHERE COALESCE(A, :b) = :a", a=None, b=2)
    assert (found.sql.count("NULL"), found.values) == (1, (2,))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", ["QUOTE", "back\\\\slash", "new\nline"])
def test_a_text_that_two_engines_read_differently_is_bound(dialect: str, text: str):
    text = text.replace("QUOTE", "it\\'s" if dialect in {"bigquery", "databricks"} else "it''s")
    found = bound(f"SELECT * FROM {FACTS} WHERE C = '{text}' AND D = :d", dialect=dialect, d=1)
    assert len(found.values) == 2
    assert "'" not in found.sql


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("text", ["month) FROM WEDDING_RAW.WEDDINGS --", "day, A, B), (SELECT 1", "mon th"])
def test_a_unit_of_time_is_one_word(dialect: str, text: str):
    unit = f"'{text}'"
    calls = [f"DATE_TRUNC({unit}, WEDDING_DATE)", f"DATEDIFF({unit}, BOOKING_DATE, WEDDING_DATE)"]
    if dialect == "bigquery":
        calls = [f"DATE_TRUNC(WEDDING_DATE, {unit})", f"DATE_DIFF(WEDDING_DATE, BOOKING_DATE, {unit})"]
    for call in calls:
        with pytest.raises(InvalidInput):
            bound(f"SELECT {call} FROM {FACTS}", dialect=dialect)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ['"a""b"', "`a\\`b`", "[a]]b]", '"a\'b"'])
def test_a_name_that_could_end_early_is_refused(dialect: str, name: str):
    with pytest.raises(InvalidInput):
        bound(f"SELECT 1 AS {name} FROM {FACTS}", dialect=dialect)


@pytest.mark.parametrize(
    ("dialect", "source"),
    [
        ("bigquery", "WEDDING_MARTS.INFORMATION_SCHEMA.TABLES"),
        ("bigquery", "`WEDDING_MARTS.FACT_*`"),
        ("bigquery", "`other-project.WEDDING_MARTS.FACT_WEDDINGS`"),
        ("bigquery", f"{FACTS} FOR SYSTEM_TIME AS OF TIMESTAMP '2027-01-01'"),
        ("bigquery", "EXTERNAL_QUERY('c', 'SELECT 1')"),
        ("redshift", "pg_catalog.pg_user"),
        ("redshift", "svv_table_info"),
        ("databricks", "parquet.`/Volumes/wedsync/raw/x`"),
        ("databricks", "read_files('/Volumes/x')"),
        ("databricks", f"{FACTS} VERSION AS OF 3"),
        ("databricks", "IDENTIFIER('WEDDING_RAW.WEDDINGS')"),
        ("tsql", "OPENROWSET(BULK 'x', FORMAT = 'CSV') AS r"),
        ("tsql", "sys.databases"),
        ("tsql", f"{FACTS} WITH (NOLOCK)"),
        ("tsql", "[WEDDING_RAW].[WEDDINGS]"),
    ],
)
def test_what_an_engine_reads_besides_its_tables_is_refused(dialect: str, source: str):
    with pytest.raises(InvalidInput):
        bound(f"SELECT * FROM {source}", dialect=dialect)


@pytest.mark.parametrize(
    ("dialect", "statement"),
    [
        ("tsql", f"SELECT 1 INTO #x FROM {FACTS}"),
        ("tsql", f"SELECT 1 FROM {FACTS} OPTION (LABEL = 'x')"),
        ("tsql", "EXEC sp_who"),
        ("redshift", f"SELECT 1 INTO x FROM {FACTS}"),
        ("redshift", f"SELECT pg_sleep(100) FROM {FACTS}"),
        ("redshift", f"SELECT 1 FROM {FACTS} FOR UPDATE"),
        ("bigquery", f"SELECT @@project_id FROM {FACTS}"),
        ("bigquery", f"SELECT SESSION_USER() FROM {FACTS}"),
        ("databricks", f"SELECT ai_query('m', 'x') FROM {FACTS}"),
        ("databricks", f"SELECT secret('a', 'b') FROM {FACTS}"),
    ],
)
def test_what_an_engine_does_besides_reading_is_refused(dialect: str, statement: str):
    with pytest.raises(InvalidInput):
        bound(statement, dialect=dialect)
