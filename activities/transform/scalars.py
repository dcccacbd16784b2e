"""What a tenant's expression may use, as tables: kinds of values, functions, comparisons, types and date parts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from sqlglot import exp

UNITS = frozenset({"DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "HOUR", "MINUTE"})


class Kind(StrEnum):
    """What a compiled part yields; `any` is a source column, whose type is only known once it is read."""

    ANY = "any"
    TEXT = "VARCHAR"
    NUMBER = "DOUBLE"
    DATE = "DATE"
    TIMESTAMP = "TIMESTAMP"
    BOOLEAN = "BOOLEAN"


@dataclass(frozen=True)
class Function:
    """DuckDB's SQL of a function; `arguments` are the parser's names of what fills the template, read as `kinds`."""

    template: str
    arguments: tuple[str, ...]
    kinds: tuple[Kind, ...]
    result: Kind


def _text(template: str, *more: tuple[str, Kind], result: Kind = Kind.TEXT) -> Function:
    return Function(template, ("this", *(n for n, _ in more)), (Kind.TEXT, *(k for _, k in more)), result)


def _numeric(template: str, *more: str, kind: Kind = Kind.NUMBER) -> Function:
    return Function(template, ("this", *more), (kind, *(Kind.NUMBER for _ in more)), Kind.NUMBER)


FUNCTIONS: dict[type[exp.Expression], Function] = {
    exp.Add: _numeric("({} + {})", "expression"),
    exp.Sub: _numeric("({} - {})", "expression"),
    exp.Mul: _numeric("({} * {})", "expression"),
    exp.Div: _numeric("({} / nullif({}, 0))", "expression"),
    exp.Mod: _numeric("({} % nullif({}, 0))", "expression"),
    exp.Neg: _numeric("(- {})"),
    exp.Abs: _numeric("abs({})"),
    exp.Ceil: _numeric("ceil({})"),
    exp.Floor: _numeric("floor({})"),
    exp.Round: _numeric("round({}{rest})", "decimals"),
    exp.Year: _numeric("CAST(year({}) AS DOUBLE)", kind=Kind.TIMESTAMP),
    exp.Month: _numeric("CAST(month({}) AS DOUBLE)", kind=Kind.TIMESTAMP),
    exp.Day: _numeric("CAST(day({}) AS DOUBLE)", kind=Kind.TIMESTAMP),
    exp.Quarter: _numeric("CAST(quarter({}) AS DOUBLE)", kind=Kind.TIMESTAMP),
    exp.Length: _text("CAST(length({}) AS DOUBLE)", result=Kind.NUMBER),
    exp.Upper: _text("upper({})"),
    exp.Lower: _text("lower({})"),
    exp.Trim: _text("trim({})"),
    exp.Left: _text("left({}{rest})", ("expression", Kind.NUMBER)),
    exp.Right: _text("right({}{rest})", ("expression", Kind.NUMBER)),
    exp.Substring: _text("substring({}{rest})", ("start", Kind.NUMBER), ("length", Kind.NUMBER)),
    exp.Replace: _text("replace({}{rest})", ("expression", Kind.TEXT), ("replacement", Kind.TEXT)),
    exp.SplitPart: _text("split_part({}{rest})", ("delimiter", Kind.TEXT), ("part_index", Kind.NUMBER)),
    exp.StartsWith: _text("starts_with({}{rest})", ("expression", Kind.TEXT), result=Kind.BOOLEAN),
    exp.Contains: _text("contains({}{rest})", ("expression", Kind.TEXT), result=Kind.BOOLEAN),
    exp.Like: _text("({} LIKE {})", ("expression", Kind.TEXT), result=Kind.BOOLEAN),
    exp.ILike: _text("({} ILIKE {})", ("expression", Kind.TEXT), result=Kind.BOOLEAN),
    exp.Not: Function("(NOT {})", ("this",), (Kind.BOOLEAN,), Kind.BOOLEAN),
    exp.And: Function("({} AND {})", ("this", "expression"), (Kind.BOOLEAN, Kind.BOOLEAN), Kind.BOOLEAN),
    exp.Or: Function("({} OR {})", ("this", "expression"), (Kind.BOOLEAN, Kind.BOOLEAN), Kind.BOOLEAN),
}
COMPARISONS: dict[type[exp.Expression], str] = {
    exp.EQ: "=", exp.NEQ: "<>", exp.GT: ">", exp.GTE: ">=", exp.LT: "<", exp.LTE: "<=",
}  # fmt: skip
COMMON: dict[type[exp.Expression], str] = {
    exp.Nullif: "nullif", exp.Greatest: "greatest", exp.Least: "least",
}  # fmt: skip
TYPES = {
    **dict.fromkeys(("VARCHAR", "TEXT", "CHAR", "NVARCHAR"), Kind.TEXT),
    **dict.fromkeys(("INT", "BIGINT", "SMALLINT", "TINYINT", "DOUBLE", "FLOAT", "DECIMAL"), Kind.NUMBER),
    "DATE": Kind.DATE, "TIMESTAMP": Kind.TIMESTAMP, "BOOLEAN": Kind.BOOLEAN,
}  # fmt: skip
FUNCTION_WORDS = (
    "abs, ceil, floor, round, year, month, day, quarter, extract, date_trunc, date_diff, strptime, try_strptime, "
    "length, upper, lower, trim, left, right, substring, replace, split_part, starts_with, contains, concat, "
    "coalesce, nullif, greatest, least, if, case, cast, try_cast"
)
