"""Compiles a tenant's scalar expression into DuckDB SQL that cannot fail on a row and reaches only columns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from activities.transform.identifiers import literal, quote, resolve
from activities.transform.scalars import COMMON, COMPARISONS, FUNCTION_WORDS, FUNCTIONS, TYPES, UNITS, Kind
from contracts.errors import InvalidInput

MAX_LENGTH = 1_000
MAX_TOKENS = 250
MAX_NESTING = 20
_NUMBER = re.compile(r"\d{1,18}(\.\d{0,18})?([eE][+-]?\d{1,2})?|\.\d{1,18}")


@dataclass(frozen=True)
class Compiled:
    """DuckDB SQL of one target column.

    `sql` yields NULL where a value cannot be read; `unreadable` is then true, so that the row is rejected with a
    reason instead of losing the value.
    """

    sql: str
    kind: Kind = Kind.ANY
    unreadable: str = "FALSE"
    columns: tuple[str, ...] = ()
    """The source's columns that it reads."""


def read_as(sql: str, kind: Kind, exact_type: str = "") -> str:
    """Return `sql` read as `kind`, NULL where that fails; a date may also be written as an instant."""
    if kind is Kind.ANY:
        return sql
    if kind is Kind.DATE:
        return f"coalesce(TRY_CAST({sql} AS DATE), CAST(TRY_CAST({sql} AS TIMESTAMP) AS DATE))"
    return f"TRY_CAST({sql} AS {exact_type or kind.value})"


def unreadable(sql: str, reading: str) -> str:
    """Return the condition that `sql` holds something which `reading` made NULL."""
    return f"(trim(CAST({sql} AS VARCHAR)) <> '' AND ({reading}) IS NULL)"


def compile_expression(expression: str, columns: Sequence[str], target: str) -> Compiled:
    """Compile one expression over the source's columns.

    Args:
        expression: an SQL scalar expression; allowed are columns, literals, casts, arithmetic, comparisons, CASE,
            and the functions listed in `FUNCTIONS`.
        columns: names of the source's columns.
        target: the mapping's target, for the error's sentence.

    Raises:
        InvalidInput: the expression does not parse, names an unknown column, or uses anything else.
    """
    return _Compiler(columns, target).run(expression)


class _Compiler:
    def __init__(self, columns: Sequence[str], target: str) -> None:
        self._columns = columns
        self._target = target
        self._unreadable: list[str] = []
        self._read: dict[str, None] = {}

    def run(self, expression: str) -> Compiled:
        tree = self._parse(expression)
        sql, kind = self._emit(tree)
        problems = list(dict.fromkeys(self._unreadable))
        return Compiled(
            sql, kind, " OR ".join(f"coalesce({part}, FALSE)" for part in problems) or "FALSE", tuple(self._read)
        )

    def _parse(self, expression: str) -> exp.Expression:
        if len(expression) > MAX_LENGTH:
            raise self._refused("text_too_long", f"is longer than {MAX_LENGTH} characters")
        if ";" in expression or "--" in expression or "/*" in expression:
            raise self._refused("expression_not_scalar", "contains a semicolon or a comment")
        try:
            tokens = sqlglot.tokenize(expression, read="duckdb")
            if len(tokens) > MAX_TOKENS or max(_depths(expression)) > MAX_NESTING:
                raise self._refused("expression_too_deep", "is too long or nested too deeply")
            # Condition is the parser to use; the library's types do not say that it yields expressions.
            tree = cast("exp.Expression", sqlglot.parse_one(expression, read="duckdb", into=exp.Condition))
        except (SqlglotError, RecursionError, ValueError):
            raise self._refused("expression_unparsable", "is not an SQL expression") from None
        return tree

    def _emit(self, node: exp.Expression) -> tuple[str, Kind]:
        if isinstance(node, exp.Paren):
            sql, kind = self._emit(node.this)
            return f"({sql})", kind
        handler = _HANDLERS.get(type(node))
        if handler is None or node.args.get("query") is not None:
            raise self._refused("expression_not_allowed", f"uses `{_shown(node)}`, which is not allowed")
        return handler(self, node)

    def as_kind(self, node: exp.Expression, kind: Kind) -> str:
        """Return the SQL of `node` read as `kind`, noting where it cannot be read."""
        sql, found = self._emit(node)
        return self._coerced(sql, found, kind)

    def _coerced(self, sql: str, found: Kind, kind: Kind, exact_type: str = "") -> str:
        if sql == "NULL" or kind is Kind.ANY or (found is kind and not exact_type):
            return sql
        if kind is Kind.TEXT:
            return f"CAST({sql} AS VARCHAR)"
        reading = read_as(sql, kind, exact_type)
        self._unreadable.append(unreadable(sql, reading))
        return reading

    def column(self, node: exp.Expression) -> tuple[str, Kind]:
        if not isinstance(node.this, exp.Identifier):
            raise self._refused("expression_not_allowed", f"uses `{_shown(node)}`, which is not allowed")
        name = ".".join(part.name for part in node.parts) if isinstance(node, exp.Column) else node.name
        found = resolve(name, self._columns)
        if found is None:
            raise self._refused("missing_column", f"names the column {name[:60]!r}, which the source does not have")
        self._read[found] = None
        return quote(found), Kind.ANY

    def number(self, node: exp.Expression) -> tuple[str, Kind]:
        if node.is_string:
            return literal(str(node.this)), Kind.TEXT
        if not _NUMBER.fullmatch(str(node.this)):
            raise self._refused("expression_not_allowed", f"uses the number `{_shown(node)}`, which is not allowed")
        return f"CAST({node.this} AS DOUBLE)", Kind.NUMBER

    def cast(self, node: exp.Expression) -> tuple[str, Kind]:
        exact, kind = self._type(node.args["to"])
        sql, found = self._emit(node.this)
        if isinstance(node, exp.TryCast):
            return read_as(sql, kind, exact), kind
        return self._coerced(sql, found, kind, exact), kind

    def _type(self, node: exp.Expression) -> tuple[str, Kind]:
        name = node.this.value if isinstance(node, exp.DataType) and isinstance(node.this, exp.DType) else ""
        kind = TYPES.get(name)
        sizes = [str(part.this) for part in node.expressions if isinstance(part, exp.DataTypeParam)]
        if kind is None or len(sizes) != len(node.expressions) or not all(size.isdigit() for size in sizes):
            raise self._refused("expression_not_allowed", f"casts to `{_shown(node)}`, which is not allowed")
        if name != "DECIMAL":
            return ("" if kind in {Kind.TEXT, Kind.DATE, Kind.TIMESTAMP, Kind.BOOLEAN} else name), kind
        precision, scale = int((sizes or ["18"])[0]), int((*sizes, "2" if not sizes else "0")[1 if sizes else 0])
        if not 1 <= precision <= 38 or not 0 <= scale <= precision:  # noqa: PLR2004 - DECIMAL's own bounds
            raise self._refused("expression_not_allowed", f"casts to `{_shown(node)}`, which is not allowed")
        return f"DECIMAL({precision},{scale})", kind

    @contextmanager
    def _noting_apart(self) -> Iterator[list[str]]:
        noted, self._unreadable = self._unreadable, []
        yield self._unreadable
        self._unreadable = noted

    def _note_where(self, reached: str, noted: Sequence[str]) -> None:
        """Note what cannot be read where that counts: a part that is not reached takes no value from the row."""
        if noted:
            self._unreadable.append(f"({reached} AND ({' OR '.join(noted)}))")

    def unify(self, nodes: Sequence[exp.Expression], *, text_wins: bool) -> tuple[list[str], Kind]:
        """Return the nodes' SQL read as one common kind."""
        values, noted, common = self._unified(nodes, text_wins=text_wins)
        self._unreadable += [part for parts in noted for part in parts]
        return values, common

    def _unified(self, nodes: Sequence[exp.Expression], *, text_wins: bool) -> tuple[list[str], list[list[str]], Kind]:
        parts, noted = [], []
        for node in nodes:
            with self._noting_apart() as notes:
                parts.append(self._emit(node))
            noted.append(notes)
        kinds = {kind for sql, kind in parts if kind is not Kind.ANY and sql != "NULL"}
        if kinds == {Kind.DATE, Kind.TIMESTAMP}:
            kinds = {Kind.TIMESTAMP}
        others = kinds - {Kind.TEXT}
        mixed = len(others) > 1 or (text_wins and Kind.TEXT in kinds) or not others
        common = Kind.TEXT if mixed else others.pop()
        values = []
        for (sql, kind), notes in zip(parts, noted, strict=True):
            with self._noting_apart() as more:
                values.append(self._coerced(sql, kind, common))
            notes.extend(more)
        return values, noted, common

    def compare(self, node: exp.Expression) -> tuple[str, Kind]:
        sides = [node.this, node.expression]
        if isinstance(node, exp.GT | exp.GTE | exp.LT | exp.LTE) and all(_is_column(side) for side in sides):
            raise self._refused(
                "expression_ambiguous", f"compares two columns in `{_shown(node)}`: cast both to what they are"
            )
        (left, right), _ = self.unify(sides, text_wins=False)
        return f"({left} {COMPARISONS[type(node)]} {right})", Kind.BOOLEAN

    def case(self, node: exp.Expression) -> tuple[str, Kind]:
        branches = node.args["ifs"] if isinstance(node, exp.Case) else [node]
        default = node.args.get("default") if isinstance(node, exp.Case) else node.args.get("false")
        subject = node.this if isinstance(node, exp.Case) else None
        conditions: list[str] = []
        for branch in branches:
            with self._noting_apart() as noted:
                if subject is None:
                    condition = self.as_kind(branch.this, Kind.BOOLEAN)
                else:
                    (left, right), _ = self.unify([subject, branch.this], text_wins=False)
                    condition = f"({left} = {right})"
            self._note_where(_unless(conditions, "TRUE"), noted)
            conditions.append(condition)
        values, noted_apart, kind = self._unified(
            [*(branch.args["true"] for branch in branches), default or exp.Null()], text_wins=True
        )
        for place, (condition, noted) in enumerate(zip([*conditions, "TRUE"], noted_apart, strict=True)):
            self._note_where(_unless(conditions[:place], condition), noted)
        whens = " ".join(f"WHEN {when} THEN {then}" for when, then in zip(conditions, values[:-1], strict=True))
        return f"CASE {whens} ELSE {values[-1]} END", kind

    def between(self, node: exp.Expression) -> tuple[str, Kind]:
        (value, low, high), _ = self.unify([node.this, node.args["low"], node.args["high"]], text_wins=False)
        return f"({value} BETWEEN {low} AND {high})", Kind.BOOLEAN

    def within(self, node: exp.Expression) -> tuple[str, Kind]:
        if not node.expressions:
            raise self._refused("expression_not_allowed", f"uses `{_shown(node)}`, which is not allowed")
        parts, _ = self.unify([node.this, *node.expressions], text_wins=False)
        return f"({parts[0]} IN ({', '.join(parts[1:])}))", Kind.BOOLEAN

    def is_null(self, node: exp.Expression) -> tuple[str, Kind]:
        if not isinstance(node.expression, exp.Null | exp.Boolean):
            raise self._refused("expression_not_allowed", f"uses `{_shown(node)}`, which is not allowed")
        if isinstance(node.expression, exp.Null):
            return f"({self._emit(node.this)[0]} IS NULL)", Kind.BOOLEAN
        return f"({self.as_kind(node.this, Kind.BOOLEAN)} IS {self._emit(node.expression)[0]})", Kind.BOOLEAN

    def common(self, node: exp.Expression) -> tuple[str, Kind]:
        extra = [node.expression] if isinstance(node, exp.Nullif) else node.expressions
        parts, kind = self.unify([node.this, *extra], text_wins=True)
        return f"{COMMON[type(node)]}({', '.join(parts)})", kind

    def coalesce(self, node: exp.Expression) -> tuple[str, Kind]:
        parts, noted_apart, kind = self._unified([node.this, *node.expressions], text_wins=True)
        for place, noted in enumerate(noted_apart):
            self._note_where(" AND ".join(["TRUE", *(f"{part} IS NULL" for part in parts[:place])]), noted)
        return f"coalesce({', '.join(parts)})", kind

    def concat(self, node: exp.Expression) -> tuple[str, Kind]:
        """Return the parts joined: `||` yields NULL where a part is NULL, the function leaves it out, as in SQL."""
        if isinstance(node, exp.DPipe):
            return f"({self.as_kind(node.this, Kind.TEXT)} || {self.as_kind(node.expression, Kind.TEXT)})", Kind.TEXT
        return f"concat({', '.join(self.as_kind(part, Kind.TEXT) for part in node.expressions)})", Kind.TEXT

    def unit(self, node: exp.Expression) -> str:
        """Return a date part's name, which must be one of the known words."""
        word = node.name.upper()
        if word not in UNITS:
            raise self._refused("expression_not_allowed", f"uses the date part `{_shown(node)}`")
        return literal(word.lower())

    def date_trunc(self, node: exp.Expression) -> tuple[str, Kind]:
        return f"date_trunc({self.unit(node.args['unit'])}, {self.as_kind(node.this, Kind.TIMESTAMP)})", Kind.TIMESTAMP

    def date_diff(self, node: exp.Expression) -> tuple[str, Kind]:
        start, end = self.as_kind(node.expression, Kind.TIMESTAMP), self.as_kind(node.this, Kind.TIMESTAMP)
        return f"CAST(date_diff({self.unit(node.args['unit'])}, {start}, {end}) AS DOUBLE)", Kind.NUMBER

    def extract(self, node: exp.Expression) -> tuple[str, Kind]:
        value = self.as_kind(node.expression, Kind.TIMESTAMP)
        return f"CAST(date_part({self.unit(node.this)}, {value}) AS DOUBLE)", Kind.NUMBER

    def parse_instant(self, node: exp.Expression) -> tuple[str, Kind]:
        text, reading = self._parsed(node.this, node.args["format"])
        self._unreadable.append(unreadable(text, reading))
        return reading, Kind.TIMESTAMP

    def try_parse_instant(self, node: exp.Expression) -> tuple[str, Kind]:
        if node.name.lower() != "try_strptime" or len(node.expressions) != 2:  # noqa: PLR2004 - text, format
            raise self._refused("expression_not_allowed", f"uses `{_shown(node)}`, which is not allowed")
        return self._parsed(*node.expressions)[1], Kind.TIMESTAMP

    def _parsed(self, node: exp.Expression, pattern: exp.Expression) -> tuple[str, str]:
        text = self.as_kind(node, Kind.TEXT)
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            raise self._refused("expression_not_allowed", "needs a literal date format")
        return text, f"try_strptime({text}, {literal(str(pattern.this))})"

    def function(self, node: exp.Expression) -> tuple[str, Kind]:
        shape = FUNCTIONS[type(node)]
        given = [node.args.get(name) for name in shape.arguments]
        parts = [
            self.as_kind(part, kind) if kind is not Kind.NUMBER or shape.result is Kind.NUMBER else self._count(part)
            for part, kind in zip(given, shape.kinds, strict=True)
            if part is not None
        ]
        if type(node) is exp.Round and len(parts) > 1:
            parts[1] = self._count(node.args["decimals"])
        rest = "".join(f", {part}" for part in parts[1:])
        try:
            return shape.template.format(*parts, rest=rest), shape.result
        except IndexError:
            # The parser takes an operator such as `@` without what it stands before.
            raise self._refused("expression_unparsable", "leaves out an argument") from None

    def _count(self, node: exp.Expression) -> str:
        sign, number = ("-", node.this) if isinstance(node, exp.Neg) else ("", node)
        if not isinstance(number, exp.Literal) or not re.fullmatch(r"\d{1,4}", str(number.this)) or number.is_string:
            raise self._refused("expression_not_allowed", f"needs a whole number in place of `{_shown(node)}`")
        return f"{sign}{number.this}"

    def _refused(self, code: str, problem: str) -> InvalidInput:
        whose = f"The expression for {self._target!r}" if self._target else "The expression"
        return InvalidInput(
            code,
            f"{whose} {problem}.",
            action=f"Use a scalar expression over the columns {listed(self._columns)}; functions: {FUNCTION_WORDS}.",
        )


_Handler = Callable[[_Compiler, exp.Expression], tuple[str, Kind]]
_HANDLERS: dict[type[exp.Expression], _Handler] = {
    **dict.fromkeys(FUNCTIONS, _Compiler.function),
    **dict.fromkeys(COMPARISONS, _Compiler.compare),
    **dict.fromkeys(COMMON, _Compiler.common),
    exp.Coalesce: _Compiler.coalesce,
    **dict.fromkeys((exp.Cast, exp.TryCast), _Compiler.cast),
    **dict.fromkeys((exp.Case, exp.If), _Compiler.case),
    **dict.fromkeys((exp.Concat, exp.DPipe), _Compiler.concat),
    **dict.fromkeys((exp.TimestampTrunc, exp.DateTrunc), _Compiler.date_trunc),
    exp.Column: _Compiler.column,
    exp.Literal: _Compiler.number,
    exp.Between: _Compiler.between,
    exp.In: _Compiler.within,
    exp.Is: _Compiler.is_null,
    exp.DateDiff: _Compiler.date_diff,
    exp.Extract: _Compiler.extract,
    exp.StrToTime: _Compiler.parse_instant,
    exp.Anonymous: _Compiler.try_parse_instant,
    exp.Null: lambda _, __: ("NULL", Kind.ANY),
    exp.Boolean: lambda _, node: ("TRUE" if node.this else "FALSE", Kind.BOOLEAN),
}


def listed(columns: Sequence[str], most: int = 60) -> str:
    """Return the columns' names for a sentence, cut after `most`."""
    more = f" and {len(columns) - most} more" if len(columns) > most else ""
    return ", ".join(name[:60] for name in columns[:most]) + more


def _unless(earlier: Sequence[str], then: str) -> str:
    """Return the condition `then` where none of the earlier ones holds."""
    return (
        f"CASE {' '.join(f'WHEN {condition} THEN FALSE' for condition in earlier)} ELSE {then} END" if earlier else then
    )


def _is_column(node: exp.Expression) -> bool:
    return isinstance(node.unnest(), exp.Column)


def _shown(node: exp.Expression) -> str:
    try:
        return node.sql(dialect="duckdb", comments=False)[:80]
    except (SqlglotError, RecursionError, ValueError):
        return type(node).__name__


def _depths(expression: str) -> list[int]:
    depths = [0]
    for character in expression:
        depths.append(depths[-1] + (character in "([{") - (character in ")]}"))
    return depths
