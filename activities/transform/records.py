"""What happens to one report record on its way: selection, rules, mapping, fingerprint."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from datetime import time as time_of_day
from decimal import Decimal, InvalidOperation
from typing import Any

import celpy
import duckdb
import pyarrow as pa
from celpy.adapter import json_to_cel
from celpy.celparser import CELParseError
from celpy.evaluation import CELEvalError
from pydantic import JsonValue

from activities.transform.cel import Condition, plain
from activities.transform.cel_values import Unsure
from activities.transform.expression import Compiled
from activities.transform.identifiers import resolve
from activities.transform.mapping import compile_mapping, missing_column
from activities.transform.protection import refuse_protection
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping, TransformationRule
from contracts.sync import DataFilter, FilterOperator

ID_FIELDS = ("weddingId", "wedding_id", "id")
"""Where a record's opaque id is looked for, in this order."""

Record = Mapping[str, JsonValue]
_OPAQUE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:\-]{0,63}")
_MEMO_SIZE = 50_000
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), default=str)
_SURROGATE = b"\\ud"
_UNBOUNDED_CEL = frozenset({"matches"})


def record_id(record: Record) -> str | None:
    """Return the record's opaque id, None when it has none that is opaque."""
    for name in ID_FIELDS:
        found = record.get(name)
        if found is not None:
            text = str(found)
            return text if _OPAQUE_ID.fullmatch(text) else None
    return None


def digest(record: Record) -> str:
    """Return 16 hex digits that tell two contents of a record apart."""
    return _digest(_canonical(record))


def content(record: Record) -> tuple[str, bool]:
    """Return the digest, and whether all text of the record can be written as UTF-8; a lone surrogate cannot."""
    canonical = _canonical(record)
    return _digest(canonical), _SURROGATE not in canonical or _writable(record)


def _digest(canonical: bytes) -> str:
    return hashlib.blake2b(canonical, digest_size=8).hexdigest()


def _writable(record: Record) -> bool:
    try:
        json.dumps(record, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return False
    return True


def fingerprint(key: bytes, properties: Record) -> str:
    """Return the keyed digest of a record's prepared properties; without the key it tells nothing about them.

    Args:
        key: 32 secret bytes.
        properties: in the vendor's formats.
    """
    return hashlib.blake2b(_canonical(properties), key=key, digest_size=16).hexdigest()


def stands(wanted: Record, held: Record) -> bool:
    """Return whether the vendor holds every wanted property; numbers compare by value, null equals empty."""
    return all(_same(value, held.get(name)) for name, value in wanted.items())


def _same(wanted: JsonValue, held: JsonValue) -> bool:
    left, right = _word(wanted), _word(held)
    if left == right:
        return True
    try:
        return Decimal(left) == Decimal(right)
    except InvalidOperation:
        return False


def _word(value: JsonValue) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _canonical(record: Record) -> bytes:
    return _CANONICAL.encode(record).encode()


class Selection:
    """The filters of a request: a record outside them is not part of the sync."""

    def __init__(self, filters: Sequence[DataFilter]) -> None:
        self._filters = filters

    def check(self, columns: Sequence[str]) -> None:
        """Refuse a filter over a column the source lacks.

        Raises:
            InvalidInput: `missing_column`, naming the column.
        """
        for item in self._filters:
            if resolve(item.field, columns) is None:
                raise missing_column(item.field, columns, "data filter")

    def takes(self, record: Record) -> bool:
        """Return whether every filter holds; a null or another type compares with nothing."""
        return all(_holds(item, record.get(resolve(item.field, tuple(record)) or "")) for item in self._filters)


def _holds(item: DataFilter, value: JsonValue) -> bool:
    wanted = item.value
    if item.operator in {FilterOperator.IN, FilterOperator.NOT_IN}:
        choices = wanted if isinstance(wanted, list) else [wanted]
        inside = any(_equal(value, choice) for choice in choices)
        return inside if item.operator is FilterOperator.IN else not inside
    if item.operator is FilterOperator.EQUALS:
        return _equal(value, wanted)
    if item.operator is FilterOperator.NOT_EQUALS:
        return not _equal(value, wanted)
    order = _order(value, wanted)
    if order is None:
        return False
    return {
        FilterOperator.GREATER: order > 0,
        FilterOperator.GREATER_OR_EQUAL: order >= 0,
        FilterOperator.LESS: order < 0,
        FilterOperator.LESS_OR_EQUAL: order <= 0,
    }[item.operator]


def _equal(value: JsonValue, wanted: JsonValue) -> bool:
    return value == wanted or _order(value, wanted) == 0


def _order(value: JsonValue, wanted: JsonValue) -> int | None:
    """Return -1, 0 or 1, None where the two do not compare; text from a file is read as a number if need be."""
    if isinstance(wanted, bool) or isinstance(value, bool) or value is None or wanted is None:
        return None
    if isinstance(wanted, int | float):
        try:
            number = float(str(value))
        except ValueError:
            return None
        return (number > wanted) - (number < wanted) if math.isfinite(number) else None
    if isinstance(wanted, str) and isinstance(value, str):
        return (value > wanted) - (value < wanted)
    return None


class Rules:
    """The integration's transformation rules (CEL over the source's fields), compiled once.

    Raises:
        InvalidInput: a condition does not parse, or uses a function without a time bound.
    """

    def __init__(self, rules: Sequence[TransformationRule]) -> None:
        # Building the grammar costs about a second, and most integrations have no rules.
        environment = celpy.Environment() if rules else None
        self._rules = [_compiled_rule(environment, rule) for rule in rules]
        self._memo: dict[tuple[str, bytes], bool | None] = {}

    def objection(self, record: Record) -> str:
        """Return why a rule drops the record, empty when every condition holds."""
        for compiled in self._rules:
            rule, holds = compiled.rule, self._evaluated(compiled, record)
            if holds is None:
                return f"rule {rule.rule_id} could not be decided"
            if not holds:
                return f"rule {rule.rule_id}: {rule.reason or 'its condition does not hold'}"
        return ""

    def _evaluated(self, compiled: _Rule, record: Record) -> bool | None:
        if compiled.plain is not None:
            with suppress(Unsure):
                found = compiled.plain(record)
                return found if isinstance(found, bool) else None
        given = {name: record[name] for name in compiled.names if name in record}
        # Interpreting CEL costs long; records that agree in the fields a condition names share the answer.
        key = (compiled.rule.rule_id, _canonical(given))
        if key not in self._memo:
            if len(self._memo) >= _MEMO_SIZE:
                self._memo.clear()
            self._memo[key] = _interpreted(compiled.program, given)
        return self._memo[key]


@dataclass(frozen=True)
class _Rule:
    rule: TransformationRule
    program: Any
    names: frozenset[str]
    plain: Condition | None


def _interpreted(program: Any, given: Record) -> bool | None:
    try:
        answer = program.evaluate({name: json_to_cel(value) for name, value in given.items()})
    except (CELEvalError, IndexError):
        # The library ends in an IndexError where it writes an error about two errors down.
        return None
    return bool(answer) if isinstance(answer, celpy.celtypes.BoolType) else None


def _compiled_rule(environment: Any, rule: TransformationRule) -> _Rule:
    try:
        tree = environment.compile(rule.condition)
    except CELParseError:
        raise InvalidInput(
            "rule_unparsable",
            f"The condition of the rule {rule.rule_id!r} is not a CEL expression.",
            action="Correct the condition, such as `guestCount > 0 && status != 'draft'`.",
        ) from None
    names = frozenset(str(token) for token in tree.scan_values(lambda token: token.type == "IDENT"))
    if names & _UNBOUNDED_CEL:
        raise InvalidInput(
            "rule_not_allowed",
            f"The condition of the rule {rule.rule_id!r} uses matches(), whose running time has no bound.",
            action="Use ==, in, startsWith(), endsWith() or contains().",
        )
    return _Rule(rule, environment.program(tree), names, plain(tree))


class _AnyColumns(tuple[str, ...]):
    """Columns that contain every name: for checking an expression before its source is read."""

    __slots__ = ()

    def __contains__(self, _name: object) -> bool:
        return True


def check_mapping(mapping: Sequence[FieldMapping]) -> None:
    """Refuse a mapping that no source could fulfil.

    Raises:
        InvalidInput: an expression is refused, a target is mapped twice, or one asks to be protected.
    """
    compile_mapping(mapping, _AnyColumns())
    refuse_protection(mapping)


class Mapper:
    """A mapping bound to the columns a source really has.

    Args:
        mapping: empty to keep every field under its own name.
        columns: the source's columns.

    Raises:
        InvalidInput: `missing_column`, naming the column and its target.
    """

    def __init__(self, mapping: Sequence[FieldMapping], columns: Sequence[str]) -> None:
        self._mapping = mapping
        self._columns = tuple(columns)
        compiled = compile_mapping(mapping, columns)
        self._sources = {
            field.target: resolve(field.source, columns) or "" for field in mapping if field.source is not None
        }
        self._expressions = {field.target: compiled[field.target] for field in mapping if field.expression is not None}
        self._sandbox: duckdb.DuckDBPyConnection | None = None

    def map(self, records: Sequence[Record]) -> list[tuple[dict[str, JsonValue], str]]:
        """Return properties by target, and the reason for a rejection (empty when there is none), per record."""
        if not self._mapping:
            return [(dict(record), "") for record in records]
        computed = self._computed(records) if self._expressions and records else [({}, "")] * len(records)
        return [self._mapped(record, *row) for record, row in zip(records, computed, strict=True)]

    def _mapped(
        self, record: Record, computed: Mapping[str, JsonValue], problem: str
    ) -> tuple[dict[str, JsonValue], str]:
        properties = {
            field.target: record.get(self._sources[field.target])
            if field.source is not None
            else computed.get(field.target)
            for field in self._mapping
        }
        lacking = [item.target for item in self._mapping if item.required and properties[item.target] in (None, "")]
        if lacking:
            problem = f"required value missing: {', '.join(lacking)}"
        return properties, problem

    def _computed(self, records: Sequence[Record]) -> list[tuple[dict[str, JsonValue], str]]:
        targets = list(self._expressions)
        wanted = [self._expressions[target] for target in targets]
        self._sandbox = self._sandbox or _sandbox()
        read = list(dict.fromkeys(name for compiled in wanted for name in compiled.columns)) or self._columns[:1]
        self._sandbox.register("page", _table(records, read))
        rows = self._sandbox.execute(f"SELECT {', '.join(map(_pair, wanted))} FROM page").fetchall()
        self._sandbox.unregister("page")
        return [_row(targets, row) for row in rows]


def _pair(compiled: Compiled) -> str:
    return f"{compiled.sql}, {compiled.unreadable}"


def _row(targets: Sequence[str], row: Sequence[Any]) -> tuple[dict[str, JsonValue], str]:
    unreadable = [target for target, bad in zip(targets, row[1::2], strict=True) if bad]
    values = {target: json_value(value) for target, value in zip(targets, row[0::2], strict=True)}
    return values, f"unreadable value for: {', '.join(unreadable)}" if unreadable else ""


def _sandbox() -> duckdb.DuckDBPyConnection:
    limits: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": "false",
        "threads": "1",
        "memory_limit": "256MB",
    }
    connection = duckdb.connect(":memory:", config=limits)
    connection.execute("SET lock_configuration = true")
    return connection


def _table(records: Sequence[Record], columns: Sequence[str]) -> Any:
    return pa.table({name: _column([record.get(name) for record in records]) for name in columns})


def _column(values: list[JsonValue]) -> Any:
    try:
        found = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        found = pa.array([None if value is None else _word(value) for value in values], pa.string())
    return found.cast(pa.string()) if pa.types.is_null(found.type) else found


def json_value(value: Any) -> JsonValue:
    """Return a database or Parquet value as JSON: decimals as numbers, dates and instants as ISO 8601 text."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, datetime | date | time_of_day):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, str | int | float | bool | list | dict):
        return value
    return str(value)
