"""Judges a tenant's analytics query: one SELECT over the tables that are meant for reading, with bound values."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from typing import cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.scope import traverse_scope

from contracts.analytics import AnalyticsQuery, ParameterValue
from contracts.errors import InvalidInput

READABLE = frozenset({"WEDDING_MARTS", "WEDDING_ANALYTICS"})
"""RAW and STAGING hold what the quality gate has refused."""
MAX_TOKENS = 2_000
MAX_NESTING = 50
_PLACE = "__wedsync_value_"
_PLACES = re.compile(_PLACE + r"(\d+)__")
_TEXT = re.compile(r"[^\\'\x00-\x1f]*")
"""What an engine reads as the parser does; a text with anything else is bound."""
_NAME = re.compile(r"[^\\'\"`\[\]\x00-\x1f]*")
_WORDS = re.compile(r"(?:[\w .+]|-(?!-))*", re.ASCII)
"""What may be written as it is: kinds of joins, ends of windows, numbers."""
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)
"""A table, a unit of time."""


@dataclass(frozen=True)
class BoundQuery:
    """A statement with the warehouse's own marks for values, and the values in their order."""

    sql: str
    values: tuple[ParameterValue, ...]


def bind(query: AnalyticsQuery, dialect: str, mark: Callable[[int], str], escape: str = "") -> BoundQuery:
    """Return the query as the warehouse is to run it: written anew from its parts, and for one row more than allowed.

    Args:
        query: the tenant's.
        dialect: sqlglot's word for the warehouse's SQL.
        mark: number of a value in the order of the text, from 0 -> how the driver marks its place.
        escape: a character that marks values and is doubled elsewhere, where there are values.

    Raises:
        InvalidInput: it is no single SELECT, uses what is not allowed, reads other tables, or lacks a parameter.
    """
    tree = _parsed(query.statement, dialect)
    for node in tree.walk():
        if type(node) not in _ALLOWED:
            raise _refused("query_not_allowed", f"uses `{_shown(node)}`, which is not allowed")
        if not _is_plain(node):
            raise _refused("query_not_allowed", "holds a name or a word that could be read as more than one")
    _refuse_tables(tree)
    values = _values(tree, query)
    _limit(tree, query.max_rows + 1)
    sql = tree.sql(dialect=dialect, comments=False)
    if escape and values:
        sql = sql.replace(escape, escape * 2)
    # A driver that counts marks takes the values in the order of the text, which the generator decides.
    order = [int(number) for number in _PLACES.findall(sql)]
    marks = count()
    return BoundQuery(_PLACES.sub(lambda _: mark(next(marks)), sql), tuple(values[number] for number in order))


def _parsed(statement: str, dialect: str) -> exp.Query:
    if _PLACE in statement.lower():
        # In a text it would be taken for the place of a value.
        raise _refused("query_not_allowed", "uses a name of ours")
    try:
        tokens = sqlglot.tokenize(statement, read=dialect)
        if len(tokens) > MAX_TOKENS or _depth(statement) > MAX_NESTING:
            raise _refused("query_too_long", "is too long or nested too deeply")
        trees = sqlglot.parse(statement, read=dialect)
    except (SqlglotError, RecursionError, ValueError):
        raise _refused("query_unparsable", "is not SQL that we can read") from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Select | exp.SetOperation):
        raise _refused("query_not_a_select", "is not one SELECT")
    return cast("exp.Query", trees[0])


def _is_plain(node: exp.Expr) -> bool:
    """Return whether what the generator writes of a node as it is cannot be read as anything else."""
    if isinstance(node, exp.Literal) and node.is_string:
        return node.arg_key != "unit" or _WORD.fullmatch(node.name) is not None
    pattern = _NAME if isinstance(node, exp.Identifier) else _WORD if isinstance(node, exp.Var) else _WORDS
    return all(pattern.fullmatch(text) for text in node.args.values() if isinstance(text, str))


def _refuse_tables(tree: exp.Query) -> None:
    try:
        tables = [source for scope in traverse_scope(tree) for source in scope.sources.values()]
        named = [table for table in tables if isinstance(table, exp.Table)]
        known = {id(table) for table in named}
        loose = [table for table in tree.find_all(exp.Table) if id(table) not in known and table.db]
    except (SqlglotError, RecursionError, ValueError):
        raise _refused("query_unparsable", "is not SQL that we can read") from None
    for table in [*named, *loose]:
        if table.catalog or table.db.upper() not in READABLE or not _is_named(table):
            raise _refused("table_not_allowed", f"reads `{_shown(table)}`, which is not a table for reading")


def _is_named(table: exp.Table) -> bool:
    """Return whether a table is called by a plain name: no function, and no set of tables or view of the catalog."""
    return isinstance(table.this, exp.Identifier) and _WORD.fullmatch(table.name) is not None


def _values(tree: exp.Query, query: AnalyticsQuery) -> list[ParameterValue]:
    """Put a numbered mark of our own in the place of each value and return the values."""
    values: list[ParameterValue] = []
    used: set[str] = set()
    for place in list(tree.find_all(exp.Placeholder, exp.Literal)):
        value: ParameterValue = place.name
        if isinstance(place, exp.Placeholder):
            name = place.this if isinstance(place.this, str) else ""
            if name not in query.parameters:
                raise _refused("parameter_missing", f"names the parameter {name[:60]!r}, which has no value")
            used.add(name)
            value = query.parameters[name]
        elif not place.is_string or _TEXT.fullmatch(place.name):
            continue
        # A NULL has no type that a driver could name.
        place.replace(exp.Null() if value is None else exp.Var(this=f"{_PLACE}{len(values)}__"))
        values.append(value)
    unused = sorted(set(query.parameters) - used)
    if unused:
        raise _refused("parameter_unused", f"does not use the parameter {unused[0]!r}")
    return values


def _limit(tree: exp.Query, most: int) -> None:
    own = tree.args.get("limit")
    wanted = most
    if own is not None:
        number = own.args.get("expression") or own.args.get("count")
        if not isinstance(number, exp.Literal) or not number.is_int:
            raise _refused("limit_not_a_number", "limits its rows by something other than a whole number")
        wanted = min(int(number.this), most)
    tree.set("limit", exp.Limit(expression=exp.Literal.number(wanted)))


def _depth(statement: str) -> int:
    depth = deepest = 0
    for character in statement:
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return deepest


def _shown(node: exp.Expr) -> str:
    try:
        return node.sql(comments=False)[:80]
    except (SqlglotError, RecursionError, ValueError):
        return type(node).__name__


def _refused(code: str, problem: str) -> InvalidInput:
    return InvalidInput(
        code,
        f"The query {problem}.",
        action=f"Write one SELECT over tables of {' and '.join(sorted(READABLE))}, with values as :parameters.",
        operation="analytics.check",
    )


def _types(names: str) -> Iterable[type]:
    # A name that a version of the library lacks allows nothing.
    return [found for name in names.split() if (found := getattr(exp, name, None)) is not None]


_ALLOWED = frozenset(
    _types(
        # The parts of a SELECT.
        "Select Union Except Intersect Subquery With CTE From Join Where Group Having Qualify Order Ordered Limit "
        "Offset Fetch Distinct Table TableAlias Alias Column Identifier Star Literal Null Boolean Paren Tuple "
        "Placeholder Var Cube Rollup GroupingSets Window WindowSpec WithinGroup Filter IgnoreNulls RespectNulls "
        "Escape DataType DataTypeParam Interval Exists "
        # Operators.
        "And Or Not EQ NEQ GT GTE LT LTE NullSafeEQ NullSafeNEQ Is In Between Like ILike Add Sub Mul Div Mod "
        "IntDiv Neg DPipe Case If Cast TryCast "
        # Aggregates and windows.
        "Count CountIf Sum Avg Min Max Median Stddev StddevPop StddevSamp Variance VariancePop Corr PercentileCont "
        "PercentileDisc ApproxDistinct RowNumber Rank DenseRank PercentRank CumeDist Ntile Lag Lead FirstValue "
        "LastValue "
        # Values.
        "Coalesce Nullif Greatest Least Abs Ceil Floor Round Sign Sqrt Pow Ln Log Exp Upper Lower Initcap Trim "
        "Left Right Substring Length Concat ConcatWs Replace SplitPart StartsWith EndsWith Contains "
        # Time.
        "DateTrunc TimestampTrunc DateDiff DateAdd DateSub TimestampDiff TimestampAdd Extract Year Month Day "
        "Quarter Week DayOfWeek DayOfYear CurrentDate CurrentTimestamp TsOrDsToDate TsOrDsAdd TsOrDsDiff Date "
        "LastDay ToChar "
    )
)
