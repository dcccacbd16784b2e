"""Personal columns of a load: replaced by tokens or boxes before anything is written, and kept out of what is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from activities.transform import quality
from activities.transform.expression import Compiled
from activities.transform.identifiers import literal, quote, resolve
from activities.transform.star import FIELDS, Field, FieldType
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping, FieldProtection

SHORTEST_FOR_BOXES = 100
"""Characters that a column needs for a box around a name."""
_BATCH = 10_000
_SUBJECT = "coalesce(CLIENT_ID, WEDDING_ID)"
_BY_NAME = {field.name: field for field in FIELDS}


class Sealing(Protocol):
    """Makes tokens and boxes for one organisation; blocks."""

    def tokens(self, values: Sequence[str | None]) -> Sequence[str | None]:
        """Return the token of each value."""
        ...

    def boxes(self, subjects: Sequence[str | None], field: str, values: Sequence[str | None]) -> Sequence[str | None]:
        """Return each value sealed under its subject's key, nothing where that key is destroyed."""
        ...


def refuse_unprotectable(mapping: Sequence[FieldMapping]) -> None:
    """Refuse a protection that the field's type, length or necessity does not allow; targets are field names.

    Raises:
        InvalidInput: `protection_unsupported`, naming the target.
    """
    for item in mapping:
        field, wanted = _BY_NAME[item.target], item.protection
        reason = ""
        if wanted is FieldProtection.DROP and (field.required or item.required):
            reason = "it is required"
        elif wanted in {FieldProtection.TOKEN, FieldProtection.ENCRYPT} and field.type is not FieldType.TEXT:
            reason = "it is no text"
        elif wanted is FieldProtection.ENCRYPT and field.length < SHORTEST_FOR_BOXES:
            reason = "its column is too short for an encrypted text"
        if reason:
            raise InvalidInput(
                "protection_unsupported",
                f"The target {item.target!r} cannot have the protection {wanted.value!r}: {reason}.",
                action="Use token for keys, encrypt for names, drop for what nobody needs.",
            )


def refuse_protection(mapping: Sequence[FieldMapping]) -> None:
    """Refuse any protection, for a target that would get the plain value.

    Raises:
        InvalidInput: `protection_unsupported`, naming the target.
    """
    for item in mapping:
        if item.protection is not FieldProtection.NONE:
            raise InvalidInput(
                "protection_unsupported",
                f"The target {item.target!r} asks for a protection that only loads into warehouses have.",
                action="Leave the column out of this mapping, or take the protection away.",
            )


def shown_columns(
    mapping: Sequence[FieldMapping], planned: Mapping[str, Compiled], names: Sequence[str], personal: Sequence[str]
) -> list[str]:
    """Return the source's columns that a rejected record may show.

    Args:
        mapping: the tenant's, with field names as targets.
        planned: field name -> SQL and its source columns.
        names: the source's columns.
        personal: columns that the integration calls personal.
    """
    protected = [item.target for item in mapping if item.protection is not FieldProtection.NONE]
    hidden = {column for target in protected for column in planned[target].columns}
    hidden |= {found for name in personal if (found := resolve(name, names)) is not None}
    # Whoever protects one column wants no other one told that nobody asked for.
    known = {column for one in planned.values() for column in one.columns} if protected else set(names)
    return [name for name in names if name in known - hidden]


def protect(
    connection: duckdb.DuckDBPyConnection, scratch: Path, mapping: Sequence[FieldMapping], sealing: Sealing
) -> None:
    """Replace the protected texts of the table `judged`; a box that is too long for its column is a broken rule.

    Args:
        connection: holds `judged`.
        scratch: a private directory.
        mapping: the tenant's, with field names as targets.
        sealing: makes tokens and boxes.
    """
    wanted = {
        _BY_NAME[item.target]: item.protection
        for item in mapping
        if item.protection in {FieldProtection.TOKEN, FieldProtection.ENCRYPT}
    }
    if not wanted:
        return
    path = scratch / "protected.parquet"
    _write(connection, path, wanted, sealing)
    replaced = ", ".join(f"sealed.{quote(field.column)} AS {quote(field.column)}" for field in wanted)
    too_long = ", ".join(_too_long(field) for field in wanted)
    reasons = f"concat_ws(',', nullif(plain.{quality.REASONS}, ''), {too_long}) AS {quality.REASONS}"
    connection.execute("ALTER TABLE judged RENAME TO plain")
    connection.execute(
        f"CREATE TABLE judged AS SELECT plain.* REPLACE ({replaced}, {reasons}) FROM plain "
        f"JOIN read_parquet({literal(str(path))}) AS sealed USING ({quality.ROW})"
    )
    connection.execute("DROP TABLE plain")


def _too_long(field: Field) -> str:
    column = quote(field.column)
    grown = f"length(sealed.{column}) > {field.length} AND length(plain.{column}) <= {field.length}"
    return f"CASE WHEN {grown} THEN {literal(f'{field.column.lower()}_too_long')} END"


def _write(
    connection: duckdb.DuckDBPyConnection, path: Path, wanted: Mapping[Field, FieldProtection], sealing: Sealing
) -> None:
    columns = ", ".join(quote(field.column) for field in wanted)
    schema = pa.schema([(quality.ROW, pa.int64()), *((field.column, pa.string()) for field in wanted)])
    rows = connection.execute(f"SELECT {quality.ROW}, {_SUBJECT}, {columns} FROM judged")
    with pq.ParquetWriter(path, schema) as writer:
        while batch := rows.fetchmany(_BATCH):
            numbers, subjects, *values = zip(*batch, strict=True)
            made = [
                sealing.tokens(texts)
                if protection is FieldProtection.TOKEN
                else sealing.boxes(subjects, field.name, texts)
                for (field, protection), texts in zip(wanted.items(), values, strict=True)
            ]
            arrays = [pa.array(numbers, pa.int64()), *(pa.array(texts, pa.string()) for texts in made)]
            writer.write_table(pa.table(arrays, schema=schema))
