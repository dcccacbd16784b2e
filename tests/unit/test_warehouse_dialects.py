"""Every statement of every warehouse as it is sent, in a file to read; `WEDSYNC_GOLDEN=write` writes the files anew."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from activities.connectors.registry import CONNECTORS, connector_class
from activities.connectors.warehouse.analytics import analytics, usual_query
from activities.connectors.warehouse.dialect import Dialect
from activities.connectors.warehouse.model import (
    DATES_TABLE,
    DIMENSIONS,
    FACT_TABLE,
    LOADS_TABLE,
    LOCKS_TABLE,
    NEXT_DATES,
    NEXT_FACTS,
    SCHEMAS,
    TABLES,
)
from activities.connectors.warehouse.sql_warehouse import SqlWarehouse
from activities.connectors.warehouse.statements import CHANGES, Statements, later_loads

GOLDEN = Path(__file__).parent / "golden"
WAREHOUSES: dict[str, type[SqlWarehouse]] = {
    name: found
    for name in CONNECTORS
    if ".warehouse." in CONNECTORS[name]
    and isinstance(found := connector_class(name), type)
    and issubclass(found, SqlWarehouse)
}
FORBIDDEN = {
    "snowflake": r"\bIS NOT DISTINCT\b|\bHASH\(",
    "redshift": r"CREATE OR REPLACE TABLE|ON CONFLICT|MERGE INTO \S+ t\b|WHEN (?:NOT )?MATCHED AND|QUALIFY",
    "bigquery": r"AUTOINCREMENT|WITHIN GROUP|PRIMARY KEY|DEFAULT CURRENT|\bVARCHAR\b",
    "databricks": r"AUTOINCREMENT|UPDATE \S+ SET .* FROM|''|BEGIN|COMMIT",
    "synapse": r"CREATE OR REPLACE|LIMIT \d|GROUP BY 1|\bTRUE\b|\bFALSE\b|\bBOOLEAN\b|^WITH\b|EXTRACT\(",
}
"""Constructs that a warehouse does not know, though what stands in for it here might."""


def statements_of(dialect: Dialect) -> list[str]:
    """Return every kind of statement that the loader sends, in its order."""
    day = date(2027, 1, 10)
    found = [dialect.create_schema(schema) for schema in SCHEMAS]
    found += [dialect.create_table(table) for table in TABLES]
    found += [dialect.existing_columns(SCHEMAS), dialect.add_column(FACT_TABLE, FACT_TABLE.columns[-1])]
    found += [dialect.lock(LOCKS_TABLE, "MARTS", "etl-1"), later_loads(dialect, "etl-1", day)]
    for late in (False, True):
        told = Statements(dialect, "etl-1", day, datetime(2027, 1, 10, 6, 0, tzinfo=UTC), late=late)
        found += [*dialect.refill(NEXT_DATES, told.dates()), dialect.merge(DATES_TABLE, NEXT_DATES, "DATE_SK")]
        for dimension in DIMENSIONS[:1]:
            found += dialect.refill(dimension.incoming, told.incoming(dimension, anew=late))
            found += [told.begun_today(dimension)]
            found += dialect.refill(dimension.next, told.versions(dimension, anew=late))
            found += [told.new_versions(dimension), dialect.merge(dimension.table, dimension.next, dimension.key)]
            found += dialect.refill(NEXT_FACTS, told.moved_facts(dimension, anew=late))
            found += [told.drop_versions(dimension)]
        found += [*dialect.refill(NEXT_FACTS, told.facts()), CHANGES]
        found += [dialect.merge(FACT_TABLE, NEXT_FACTS, "WEDDING_ID"), told.standing()]
    found += [dialect.insert(LOADS_TABLE, "SELECT 1")]
    for table, query in analytics(dialect).items():
        found += dialect.replace(table, query)
    found += [usual_query(dialect)]
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("name", sorted(WAREHOUSES))
def test_the_statements_are_those_of_the_golden_file(name: str):
    path = GOLDEN / f"{name}.sql"
    text = "".join(f"{_broken(statement)};\n\n" for statement in statements_of(WAREHOUSES[name].dialect))
    if os.environ.get("WEDSYNC_GOLDEN") == "write":
        path.write_text(text)
    assert path.read_text() == text


@pytest.mark.parametrize("name", sorted(WAREHOUSES))
def test_no_statement_holds_what_the_warehouse_does_not_know(name: str):
    forbidden = re.compile(FORBIDDEN[name])
    assert [found[0] for one in statements_of(WAREHOUSES[name].dialect) if (found := forbidden.search(one))] == []


@pytest.mark.parametrize("name", sorted(WAREHOUSES))
def test_no_join_is_on_either_of_two_conditions_because_some_engines_then_compare_every_pair(name: str):
    condition = re.compile(r" ON (.*?)(?= LEFT JOIN | JOIN | WHERE | WHEN MATCHED |$)")
    joins = [found[1] for one in statements_of(WAREHOUSES[name].dialect) for found in condition.finditer(one)]
    assert len(joins) > 20
    assert [join for join in joins if " OR " in join] == []


def _broken(statement: str) -> str:
    """Return a statement with a line for each clause, for people who compare two versions."""
    not_a_clause = "".join(f"(?<!{word})" for word in ("YEAR", "MONTH", "DAY", "QUARTER", "DELETE", "DISTINCT", "CASE"))
    clauses = "FROM|WHERE|LEFT JOIN|JOIN|UNION ALL|GROUP BY|WHEN|VALUES|USING|AS SELECT|SELECT"
    return re.sub(f"{not_a_clause} ({clauses}) ", r"\n\1 ", statement)
