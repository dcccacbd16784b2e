"""Every statement that Snowflake is sent, rendered from the star's fields; no value of a row ever stands in one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from activities.transform.star import CLIENT, FACT, FIELDS, SUPPLIER, VENUE, Field, FieldType
from contracts.errors import InvalidInput

RAW_TABLE = "WEDDING_RAW.WEDDINGS"
STAGING_TABLE = "WEDDING_STAGING.WEDDINGS"
FACT_TABLE = "WEDDING_MARTS.FACT_WEDDINGS"
DATES_TABLE = "WEDDING_MARTS.DIM_DATES"
LOADS_TABLE = "WEDDING_RAW.ETL_LOADS"
LOCKS_TABLE = "WEDDING_RAW.ETL_LOCKS"
STAGE = "WEDDING_RAW.ETL_FILES"
METRICS_TABLE = "WEDDING_ANALYTICS.MONTHLY_SUPPLIER_METRICS"
SEASONS_TABLE = "WEDDING_ANALYTICS.SEASONAL_PATTERNS"
LOCKS = ("RAW", "STAGING", "MARTS", "ANALYTICS")
SCHEMAS = ("WEDDING_RAW", "WEDDING_STAGING", "WEDDING_MARTS", "WEDDING_ANALYTICS")
FOREVER = "9999-12-31"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,254}")
_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,127}")
_NUMBERS = {FieldType.INTEGER: "NUMBER", FieldType.MONEY: "NUMBER(12,2)", FieldType.SCORE: "NUMBER(3,2)"}
_OTHERS = {FieldType.DATE: "DATE", FieldType.TIMESTAMP: "TIMESTAMP_NTZ", FieldType.BOOLEAN: "BOOLEAN"}


@dataclass(frozen=True)
class Dimension:
    """A dimension with versions: its table, key column, fields, and its fingerprint in STAGING."""

    table: str
    key: str
    fields: tuple[Field, ...]
    fingerprint: str

    @property
    def business_key(self) -> str:
        """The column that names the real thing."""
        return self.fields[0].column


SUPPLIERS = Dimension("WEDDING_MARTS.DIM_SUPPLIERS", "SUPPLIER_SK", SUPPLIER, "SUPPLIER_FINGERPRINT")
CLIENTS = Dimension("WEDDING_MARTS.DIM_CLIENTS", "CLIENT_SK", CLIENT, "CLIENT_FINGERPRINT")
VENUES = Dimension("WEDDING_MARTS.DIM_VENUES", "VENUE_SK", VENUE, "VENUE_FINGERPRINT")
DIMENSIONS = (SUPPLIERS, CLIENTS, VENUES)
MART_TABLES = (FACT_TABLE, *(dimension.table for dimension in DIMENSIONS), DATES_TABLE)


def identifier(name: str) -> str:
    """Return `name` as a quoted identifier.

    Raises:
        InvalidInput: it holds anything but letters, digits, `_` and `$`.
    """
    if not _NAME.fullmatch(name):
        raise InvalidInput(
            "identifier_refused",
            "A warehouse, database or role name holds characters that are not allowed.",
            action="Use letters, digits, `_` and `$` only, beginning with a letter or `_`.",
            system="snowflake",
        )
    return f'"{name.upper()}"'


def path_part(text: str) -> str:
    """Return one part of a stage path.

    Raises:
        InvalidInput: it is not an opaque id or a plain file name.
    """
    if not _PATH.fullmatch(text):
        raise InvalidInput(
            "identifier_refused", "An id is not usable in a stage path.", action="Use opaque ids.", system="snowflake"
        )
    return text.replace(":", "_")


def column_type(field: Field) -> str:
    """Return the Snowflake type of a field."""
    if field.type is FieldType.TEXT:
        return f"VARCHAR({field.length})"
    return {**_NUMBERS, **_OTHERS}[field.type]


def migrations() -> list[tuple[str, str]]:
    """Return (object, statement) pairs that create what is missing and leave what exists as it is."""
    texts = ", ".join(f"{field.column} VARCHAR" for field in FIELDS)
    values = ", ".join(f"{field.column} {column_type(field)}" for field in FIELDS)
    prints = ", ".join(f"{name} VARCHAR(32)" for name in _FINGERPRINT_COLUMNS)
    tables = {
        RAW_TABLE: f"BATCH_ID VARCHAR(64) NOT NULL, ROW_NUMBER NUMBER NOT NULL, {texts}, "
        "REJECTED_BECAUSE VARCHAR, REJECTED_RECORD VARCHAR, LOADED_AT TIMESTAMP_NTZ",
        STAGING_TABLE: f"BATCH_ID VARCHAR(64) NOT NULL, ROW_NUMBER NUMBER NOT NULL, {values}, {prints}",
        LOCKS_TABLE: "NAME VARCHAR(50) NOT NULL, HOLDER VARCHAR(64), CHANGES NUMBER NOT NULL",
        LOADS_TABLE: "BATCH_ID VARCHAR(64) NOT NULL, LAYER VARCHAR(20) NOT NULL, DIGEST VARCHAR(32), "
        "RUN_ID VARCHAR(64), ROWS_LOADED NUMBER, ROWS_CREATED NUMBER, ROWS_UPDATED NUMBER, DIMENSION_ROWS NUMBER, "
        "LOADED_AT TIMESTAMP_NTZ DEFAULT CURRENT_TIMESTAMP()",
        FACT_TABLE: "WEDDING_SK NUMBER AUTOINCREMENT PRIMARY KEY, WEDDING_ID VARCHAR(50) NOT NULL, "
        "SUPPLIER_SK NUMBER NOT NULL, CLIENT_SK NUMBER NOT NULL, DATE_SK NUMBER NOT NULL, VENUE_SK NUMBER NOT NULL, "
        f"WEDDING_DATE DATE NOT NULL, {_columns(FACT[2:])}, CREATED_AT TIMESTAMP_NTZ DEFAULT CURRENT_TIMESTAMP(), "
        "UPDATED_AT TIMESTAMP_NTZ, ROW_FINGERPRINT VARCHAR(32)",
        DATES_TABLE: "DATE_SK NUMBER PRIMARY KEY, FULL_DATE DATE NOT NULL, YEAR NUMBER, QUARTER NUMBER, MONTH NUMBER, "
        "DAY NUMBER, DAY_OF_WEEK NUMBER, IS_WEEKEND BOOLEAN",
        **{dimension.table: _dimension_columns(dimension) for dimension in DIMENSIONS},
    }
    statements = [(schema, f"CREATE SCHEMA IF NOT EXISTS {schema}") for schema in SCHEMAS]
    statements += [(name, f"CREATE TABLE IF NOT EXISTS {name} ({body})") for name, body in tables.items()]
    return [*statements, (STAGE, f"CREATE STAGE IF NOT EXISTS {STAGE}")]


_FINGERPRINT_COLUMNS = ("FACT_FINGERPRINT", *(dimension.fingerprint for dimension in DIMENSIONS))


def _columns(fields: Sequence[Field]) -> str:
    return ", ".join(f"{field.column} {column_type(field)}" for field in fields)


def _dimension_columns(dimension: Dimension) -> str:
    key, *rest = dimension.fields
    return (
        f"{dimension.key} NUMBER AUTOINCREMENT PRIMARY KEY, {key.column} {column_type(key)} NOT NULL, "
        f"{_columns(rest)}, EFFECTIVE_DATE DATE, EXPIRY_DATE DATE DEFAULT '{FOREVER}', ROW_FINGERPRINT VARCHAR(32)"
    )


def first_rows() -> list[str]:
    """Return the statements that insert the unknown members, then the lock rows, where they are missing."""
    names = " UNION ALL ".join(f"SELECT '{name}' AS NAME" for name in LOCKS)
    members = [
        f"INSERT INTO {dimension.table} ({dimension.key}, {dimension.business_key}, EFFECTIVE_DATE, EXPIRY_DATE) "
        f"SELECT 0, '(unknown)', '1900-01-01', '{FOREVER}' "
        f"WHERE NOT EXISTS (SELECT 1 FROM {dimension.table} WHERE {dimension.key} = 0)"
        for dimension in DIMENSIONS
    ]
    return [
        *members,
        (
            f"INSERT INTO {LOCKS_TABLE} (NAME, CHANGES) SELECT n.NAME, 0 FROM ({names}) n "
            f"WHERE n.NAME NOT IN (SELECT NAME FROM {LOCKS_TABLE})"
        ),
    ]


def lock(name: str) -> str:
    """Return the statement that makes this transaction the only one to change a layer; the holder is bound."""
    return f"UPDATE {LOCKS_TABLE} SET HOLDER = %s WHERE NAME = '{name}'"


def copy_into(table: str, directory: str, files: Sequence[str]) -> str:
    """Return the COPY of named staged Parquet files; FORCE because the surrounding transaction counts the rows."""
    names = ", ".join(f"'{path_part(name)}'" for name in files)
    return (
        f"COPY INTO {table} FROM @{STAGE}/{directory}/ FILES = ({names}) FILE_FORMAT = (TYPE = PARQUET) "
        "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE FORCE = TRUE"
    )


def merge_dates() -> str:
    """Return the MERGE that adds the batch's days to DIM_DATES; the batch id is bound."""
    return (
        f"MERGE INTO {DATES_TABLE} t USING (SELECT DISTINCT WEDDING_DATE FROM {STAGING_TABLE} WHERE BATCH_ID = %s) s "
        f"ON t.DATE_SK = {_date_key('s.WEDDING_DATE')} "
        "WHEN NOT MATCHED THEN INSERT (DATE_SK, FULL_DATE, YEAR, QUARTER, MONTH, DAY, DAY_OF_WEEK, IS_WEEKEND) VALUES ("
        f"{_date_key('s.WEDDING_DATE')}, s.WEDDING_DATE, YEAR(s.WEDDING_DATE), QUARTER(s.WEDDING_DATE), "
        f"MONTH(s.WEDDING_DATE), DAY(s.WEDDING_DATE), {_WEEKDAY}, {_WEEKDAY} >= 6)"
    )


_WEEKDAY = "(MOD(DATEDIFF('day', '1900-01-01'::DATE, s.WEDDING_DATE), 7) + 1)"


def _date_key(column: str) -> str:
    return f"(YEAR({column}) * 10000 + MONTH({column}) * 100 + DAY({column}))"


def close_versions(dimension: Dimension, as_of: date) -> str:
    """Return the MERGE that ends changed versions on `as_of` or corrects those begun that day; batch id bound."""
    fields = dimension.fields[1:]
    changed = "t.ROW_FINGERPRINT <> s.FINGERPRINT"
    corrected = ", ".join(f"{field.column} = s.{field.column}" for field in fields)
    return (
        f"MERGE INTO {dimension.table} t USING ({_newest(dimension)}) s "
        f"ON t.{dimension.business_key} = s.{dimension.business_key} AND t.EXPIRY_DATE = '{FOREVER}' "
        f"WHEN MATCHED AND {changed} AND t.EFFECTIVE_DATE >= '{as_of:%Y-%m-%d}' "
        f"THEN UPDATE SET {corrected}, ROW_FINGERPRINT = s.FINGERPRINT "
        f"WHEN MATCHED AND {changed} THEN UPDATE SET EXPIRY_DATE = '{as_of:%Y-%m-%d}'"
    )


def open_versions(dimension: Dimension, as_of: date) -> str:
    """Return the MERGE that inserts the current version of every business key that has none; batch id bound."""
    names = [field.column for field in dimension.fields]
    return (
        f"MERGE INTO {dimension.table} t USING ({_newest(dimension)}) s "
        f"ON t.{dimension.business_key} = s.{dimension.business_key} AND t.EXPIRY_DATE = '{FOREVER}' "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}, EFFECTIVE_DATE, EXPIRY_DATE, ROW_FINGERPRINT) VALUES "
        f"({', '.join(f's.{name}' for name in names)}, '{as_of:%Y-%m-%d}', '{FOREVER}', s.FINGERPRINT)"
    )


def _newest(dimension: Dimension) -> str:
    names = ", ".join(field.column for field in dimension.fields)
    return (
        f"SELECT {names}, {dimension.fingerprint} AS FINGERPRINT FROM {STAGING_TABLE} "
        f"WHERE BATCH_ID = %s AND {dimension.business_key} IS NOT NULL QUALIFY ROW_NUMBER() OVER "
        f"(PARTITION BY {dimension.business_key} ORDER BY UPDATED_AT DESC NULLS LAST, ROW_NUMBER DESC) = 1"
    )


def merge_facts() -> str:
    """Return the MERGE of the batch into the facts, which leaves equal facts untouched; batch id bound."""
    keys = [dimension.key for dimension in DIMENSIONS]
    names = [field.column for field in FACT]
    joins = " ".join(
        f"LEFT JOIN {dimension.table} d{index} ON d{index}.{dimension.business_key} = w.{dimension.business_key} "
        f"AND d{index}.EXPIRY_DATE = '{FOREVER}'"
        for index, dimension in enumerate(DIMENSIONS)
    )
    found = ", ".join(f"COALESCE(d{index}.{key}, 0) AS {key}" for index, key in enumerate(keys))
    columns = [*names, *keys, "DATE_SK", "ROW_FINGERPRINT"]
    changes = ", ".join(f"{name} = s.{name}" for name in columns if name != "WEDDING_ID")
    return (
        f"MERGE INTO {FACT_TABLE} t USING (SELECT {', '.join(f'w.{name}' for name in names)}, {found}, "
        f"{_date_key('w.WEDDING_DATE')} AS DATE_SK, w.FACT_FINGERPRINT AS ROW_FINGERPRINT "
        f"FROM {STAGING_TABLE} w {joins} WHERE w.BATCH_ID = %s) s ON t.WEDDING_ID = s.WEDDING_ID "
        f"WHEN MATCHED AND t.ROW_FINGERPRINT IS DISTINCT FROM s.ROW_FINGERPRINT "
        f"THEN UPDATE SET {changes}, UPDATED_AT = CURRENT_TIMESTAMP() "
        f"WHEN NOT MATCHED THEN INSERT ({', '.join(columns)}) VALUES ({', '.join(f's.{name}' for name in columns)})"
    )


def standing_facts() -> str:
    """Return the count of the batch's rows whose fact is in exactly the loaded state; batch id bound."""
    return (
        f"SELECT COUNT(*) FROM {STAGING_TABLE} w JOIN {FACT_TABLE} t ON t.WEDDING_ID = w.WEDDING_ID "
        "AND t.ROW_FINGERPRINT = w.FACT_FINGERPRINT WHERE w.BATCH_ID = %s"
    )


def analytics() -> dict[str, str]:
    """Return table -> the statement that replaces it as a whole; the facts themselves are never replaced."""
    facts = f"FROM {FACT_TABLE} w JOIN {SUPPLIERS.table} s ON w.SUPPLIER_SK = s.SUPPLIER_SK"
    return {
        METRICS_TABLE: f"CREATE OR REPLACE TABLE {METRICS_TABLE} AS SELECT s.SUPPLIER_ID, s.SUPPLIER_NAME, "
        "s.SUPPLIER_CATEGORY, DATE_TRUNC('month', w.WEDDING_DATE) AS MONTH, COUNT(*) AS WEDDING_COUNT, "
        "AVG(w.SATISFACTION_SCORE) AS AVG_SATISFACTION, SUM(w.TOTAL_REVENUE) AS TOTAL_REVENUE, "
        f"AVG(w.GUEST_COUNT) AS AVG_GUEST_COUNT {facts} WHERE w.COMPLETION_STATUS = 'completed' GROUP BY 1, 2, 3, 4",
        SEASONS_TABLE: f"CREATE OR REPLACE TABLE {SEASONS_TABLE} AS SELECT EXTRACT(month FROM w.WEDDING_DATE) "
        "AS WEDDING_MONTH, EXTRACT(year FROM w.WEDDING_DATE) AS WEDDING_YEAR, s.SUPPLIER_CATEGORY, "
        "COUNT(*) AS BOOKING_COUNT, AVG(w.TOTAL_REVENUE) AS AVG_REVENUE, "
        f"PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY w.GUEST_COUNT) AS MEDIAN_GUESTS {facts} GROUP BY 1, 2, 3",
    }


def marts(as_of: date) -> list[tuple[str, str]]:
    """Return (table, statement) of the whole marts load in order; each takes the batch id as its one parameter."""
    statements = [(DATES_TABLE, merge_dates())]
    for dimension in DIMENSIONS:
        statements.append((dimension.table, close_versions(dimension, as_of)))
        statements.append((dimension.table, open_versions(dimension, as_of)))
    return [*statements, (FACT_TABLE, merge_facts())]
