"""The warehouse's tables in logical types: RAW and STAGING as loaded, the star, and the loader's own tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from activities.transform.star import CLIENT, FACT, FIELDS, SUPPLIER, UPDATED_AT, VENUE, Field

RAW, STAGING, MARTS, ANALYTICS = "WEDDING_RAW", "WEDDING_STAGING", "WEDDING_MARTS", "WEDDING_ANALYTICS"
SCHEMAS = (RAW, STAGING, MARTS, ANALYTICS)
FIRST_DAY = "1900-01-01"
FOREVER = "9999-12-31"


class Type(StrEnum):
    """What a column holds, whatever the warehouse calls it."""

    TEXT = "text"
    """At most `length` characters; without a limit where it is 0."""
    INTEGER = "integer"
    """A whole number of 64 bits."""
    MONEY = "money"
    """Twelve digits, two of them decimals."""
    SCORE = "score"
    """Three digits, two of them decimals."""
    DATE = "date"
    TIMESTAMP = "timestamp"
    """Without a zone; UTC."""
    BOOLEAN = "boolean"


@dataclass(frozen=True)
class Column:
    """A column: name, logical type, longest text, and whether it may be NULL."""

    name: str
    type: Type = Type.TEXT
    length: int = 0
    required: bool = False


@dataclass(frozen=True)
class Table:
    """A table: qualified name, columns in the order of its files, and what its rows are usually asked by."""

    name: str
    columns: tuple[Column, ...]
    clustered_by: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)


@dataclass(frozen=True)
class Dimension:
    """A dimension with versions (SCD2).

    A version holds from EFFECTIVE_DATE until before EXPIRY_DATE; the first one, VERSION 1, also for everything before.
    """

    table: Table
    incoming: Table
    """What the load at work saw of the members."""
    next: Table
    """The versions that it writes."""
    key: str
    """The surrogate key's column."""
    fields: tuple[Field, ...]
    fingerprint: str
    """The column of STAGING whose change makes a new version."""
    key_fields: int = 1
    """How many of the first fields together name the real thing."""

    @property
    def business_key(self) -> tuple[str, ...]:
        """The columns that name the real thing."""
        return self.attributes[: self.key_fields]

    @property
    def attributes(self) -> tuple[str, ...]:
        """The columns a version is made of, business key first."""
        return tuple(field.column for field in self.fields)


def _column(field: Field) -> Column:
    return Column(field.column, Type(field.type.value), field.length)


def _texts(fields: Sequence[Field]) -> tuple[Column, ...]:
    return tuple(Column(field.column) for field in fields)


def dimension(name: str, key: str, fields: tuple[Field, ...], fingerprint: str, key_fields: int = 1) -> Dimension:
    """Return a dimension and the loader's tables for it."""
    attributes = tuple(_column(field) for field in fields)
    columns = (
        Column(key, Type.INTEGER, required=True),
        *(replace(column, required=True) for column in attributes[:key_fields]),
        *attributes[key_fields:],
        Column("EFFECTIVE_DATE", Type.DATE, required=True),
        Column("EXPIRY_DATE", Type.DATE, required=True),
        Column("VERSION", Type.INTEGER, required=True),
        Column("ROW_FINGERPRINT", length=32),
    )
    seen = (
        *(*attributes, Column("FINGERPRINT", length=32)),
        *(Column("ROW_NUMBER", Type.INTEGER), Column("AS_OF", Type.DATE)),
    )
    return Dimension(
        table=Table(f"{MARTS}.DIM_{name}", columns, tuple(column.name for column in attributes[:key_fields])),
        incoming=Table(f"{STAGING}.INCOMING_{name}", seen),
        next=Table(f"{STAGING}.NEXT_{name}", columns),
        key=key,
        fields=fields,
        fingerprint=fingerprint,
        key_fields=key_fields,
    )


_LINEAGE = (Column("BATCH_ID", length=64, required=True), Column("ROW_NUMBER", Type.INTEGER, required=True))

SUPPLIERS = dimension("SUPPLIERS", "SUPPLIER_SK", SUPPLIER, "SUPPLIER_FINGERPRINT")
CLIENTS = dimension("CLIENTS", "CLIENT_SK", CLIENT, "CLIENT_FINGERPRINT")
VENUES = dimension("VENUES", "VENUE_SK", VENUE, "VENUE_FINGERPRINT")
DIMENSIONS = (SUPPLIERS, CLIENTS, VENUES)

RAW_TABLE = Table(
    f"{RAW}.WEDDINGS",
    (
        *_LINEAGE,
        *_texts(FIELDS),
        *(Column("REJECTED_BECAUSE"), Column("REJECTED_RECORD"), Column("LOADED_AT", Type.TIMESTAMP)),
    ),
    ("BATCH_ID",),
)
STAGING_TABLE = Table(
    f"{STAGING}.WEDDINGS",
    (
        *_LINEAGE,
        *(_column(field) for field in FIELDS),
        Column("FACT_FINGERPRINT", length=32),
        *(Column(of.fingerprint, length=32) for of in DIMENSIONS),
    ),
    ("BATCH_ID",),
)
_FACTS = (
    Column("WEDDING_SK", Type.INTEGER, required=True),
    Column("WEDDING_ID", length=50, required=True),
    *(Column(of.key, Type.INTEGER, required=True) for of in DIMENSIONS),
    Column("DATE_SK", Type.INTEGER, required=True),
    Column("WEDDING_DATE", Type.DATE, required=True),
    *(_column(field) for field in FACT[2:]),
    Column("SOURCE_UPDATED_AT", Type.TIMESTAMP),
    Column("CREATED_AT", Type.TIMESTAMP),
    Column("UPDATED_AT", Type.TIMESTAMP),
    Column("ROW_FINGERPRINT", length=32),
    # The lineage of the state: ETL_LOADS leads from the batch to its run.
    *_LINEAGE,
)
FACT_TABLE = Table(f"{MARTS}.FACT_WEDDINGS", _FACTS, ("WEDDING_DATE", "SUPPLIER_SK"))
NEXT_FACTS = Table(f"{STAGING}.NEXT_WEDDINGS", (*_FACTS, Column("CHANGE_KIND", length=10)))
DATES_TABLE = Table(
    f"{MARTS}.DIM_DATES",
    (
        Column("DATE_SK", Type.INTEGER, required=True),
        Column("FULL_DATE", Type.DATE, required=True),
        *(Column(name, Type.INTEGER) for name in ("YEAR", "QUARTER", "MONTH", "DAY", "DAY_OF_WEEK")),
        Column("IS_WEEKEND", Type.BOOLEAN),
    ),
)
NEXT_DATES = Table(f"{STAGING}.NEXT_DATES", DATES_TABLE.columns)
LOADS_TABLE = Table(
    f"{RAW}.ETL_LOADS",
    (
        *(Column("BATCH_ID", length=64, required=True), Column("LAYER", length=20, required=True)),
        *(Column("DIGEST", length=32), Column("RUN_ID", length=64), Column("AS_OF", Type.DATE)),
        # Which of two loads of one day came later.
        Column("SEQUENCE", Type.INTEGER),
        *(Column(name, Type.INTEGER) for name in ("ROWS_LOADED", "ROWS_CREATED", "ROWS_UPDATED", "DIMENSION_ROWS")),
        Column("LOADED_AT", Type.TIMESTAMP),
    ),
)
LOCKS_TABLE = Table(
    f"{RAW}.ETL_LOCKS",
    (Column("NAME", length=50, required=True), Column("HOLDER", length=64), Column("CHANGES", Type.INTEGER)),
)
LOCKS = ("RAW", "STAGING", "MARTS", "ANALYTICS")

TABLES = (
    *(RAW_TABLE, STAGING_TABLE, FACT_TABLE, DATES_TABLE, *(of.table for of in DIMENSIONS)),
    *(NEXT_FACTS, NEXT_DATES, *(table for of in DIMENSIONS for table in (of.incoming, of.next))),
    *(LOADS_TABLE, LOCKS_TABLE),
)
MART_TABLES = (FACT_TABLE, *(of.table for of in DIMENSIONS), DATES_TABLE)
METRICS_TABLE = f"{ANALYTICS}.MONTHLY_SUPPLIER_METRICS"
SEASONS_TABLE = f"{ANALYTICS}.SEASONAL_PATTERNS"
CHANGED_AT = UPDATED_AT.column
"""The column of STAGING that says when the source changed a record; the facts keep it as SOURCE_UPDATED_AT."""
