"""Databricks' statements in DuckDB's words."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from emulators.databricks_sql import RefusedError


def duckdb_text(tree: exp.Expr, parquet: Callable[[str], str], types: dict[str, str]) -> str:
    """The statement in DuckDB's words.

    Args:
        tree: What was read.
        parquet: Where the files of a volume's path lie on disk, as a glob.
        types: The declared type of every named parameter.

    Raises:
        RefusedError: A parameter is missing or bears an unknown type.
    """

    def rewritten(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Placeholder):
            return _parameter(node, types)
        if isinstance(node, exp.Table):
            return _source(node, parquet)
        if isinstance(node, exp.DayOfWeek):
            return exp.paren(exp.Add(this=node.copy(), expression=exp.Literal.number(1)))
        if isinstance(node, exp.TimestampTrunc | exp.DateTrunc):
            return exp.cast(node.copy(), "timestamp" if isinstance(node, exp.TimestampTrunc) else "date")
        if isinstance(node, exp.TsOrDsAdd):
            return exp.cast(node.copy(), "date")
        if isinstance(node, exp.Anonymous) and node.name.lower() == "weekday":
            return exp.paren(exp.Sub(this=exp.func("isodow", *node.expressions), expression=exp.Literal.number(1)))
        return node

    text = tree.copy().transform(_once(rewritten))
    if isinstance(text, exp.Merge):
        text.set("returning", exp.Returning(expressions=[exp.column("merge_action")]))
    return text.sql("duckdb")


def _once(change: Callable[[exp.Expr], exp.Expr]) -> Callable[[exp.Expr], exp.Expr]:
    """A change that does not meet its own result again."""
    made: set[int] = set()

    def apply(node: exp.Expr) -> exp.Expr:
        if id(node) in made:
            return node
        changed = change(node)
        if changed is not node:
            made.update(id(part) for part in changed.walk())
        return changed

    return apply


def _parameter(node: exp.Expr, types: dict[str, str]) -> exp.Expr:
    name = str(node.this)
    if name not in types:
        raise RefusedError("UNBOUND_SQL_PARAMETER", "42P02", f"The parameter {name} has no value.")
    if types[name].upper() == "STRING":
        # Databricks casts a text implicitly to what it is compared with (SQL data type rules), as DuckDB a bare value.
        return node
    try:
        return exp.cast(node.copy(), exp.DataType.build(types[name], dialect="databricks"))
    except SqlglotError:
        raise RefusedError("UNSUPPORTED_DATATYPE", "0A000", "A parameter's type is unknown.") from None


def _source(table: exp.Table, parquet: Callable[[str], str]) -> exp.Expr:
    """A volume's files, or the information schema of this catalog alone, in the place of a table."""
    call: Any = table.this
    if isinstance(call, exp.Anonymous) and call.name.lower() == "read_files":
        return _files(table, parquet(call.expressions[0].name), ", NULL::VARCHAR AS _rescued_data")
    if table.db == "parquet" and "/" in table.name:
        return _files(table, parquet(table.name), "")
    if table.db == "information_schema":
        text = f"SELECT * FROM information_schema.{table.name} WHERE {_catalog_column(table.name)} = current_database()"
        return _subquery(text, table)
    return table


def _files(table: exp.Table, glob: str, further: str) -> exp.Expr:
    place = glob.replace("'", "''")
    return _subquery(f"SELECT *{further} FROM read_parquet('{place}')", table)


def _subquery(text: str, table: exp.Table) -> exp.Expr:
    query = cast("exp.Query", sqlglot.parse_one(text, read="duckdb"))
    return query.subquery(table.alias or "source")


def _catalog_column(name: str) -> str:
    return "catalog_name" if name == "schemata" else "table_catalog"
