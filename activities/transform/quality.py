"""The quality rules of the wedding record as SQL, and the types in which good rows are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from activities.transform.expression import Compiled, listed
from activities.transform.identifiers import literal, quote, resolve
from activities.transform.mapping import compile_mapping, missing_column
from activities.transform.star import CLIENT, FIELDS, FINGERPRINTS, SUPPLIER, VENUE, Field, FieldType
from contracts.errors import InvalidInput
from contracts.integration import FieldMapping, FieldProtection

ROW = "__row"
REASONS = "__reasons"
UNREADABLE_ROW = "row_unreadable"
DUPLICATE = "wedding_id_duplicate"
_MAX_COUNT = 1_000_000_000


def plan_fields(mapping: Sequence[FieldMapping], columns: Sequence[str]) -> dict[str, Compiled]:
    """Return field name -> SQL over the source's columns; optional fields that are nowhere are left out.

    Args:
        mapping: the tenant's mappings; their targets are field names in camelCase or snake_case.
        columns: names of the source's columns.

    Raises:
        InvalidInput: a target is unknown, an expression is refused, a required field has no column, or what a mapping
            says of a supplier, client or venue has no id to stand under.
    """
    named = named_fields(mapping)
    planned = dict(compile_mapping(named, columns))
    dropped = [item.target for item in named if item.protection is FieldProtection.DROP]
    planned |= {target: Compiled("NULL", columns=planned[target].columns) for target in dropped}
    for field in FIELDS:
        if field.name in planned:
            continue
        found = resolve(field.name, columns)
        if found is not None:
            planned[field.name] = Compiled(quote(found), columns=(found,))
        elif field.required:
            raise missing_column(field.column.lower(), columns, field.name)
    _refuse_nameless([item.target for item in named], planned)
    return planned


def _refuse_nameless(targets: Sequence[str], planned: Mapping[str, Compiled]) -> None:
    for key, *rest in (SUPPLIER, CLIENT, VENUE):
        attribute = next((field.name for field in rest if field.name in targets), None)
        if attribute is not None and key.name not in planned:
            raise InvalidInput(
                "key_not_mapped",
                f"{attribute!r} is mapped and {key.name!r} is not, so the warehouse would keep it nowhere.",
                action=f"Map {key.name} too; an expression over several columns may serve as one.",
            )


def named_fields(mapping: Sequence[FieldMapping]) -> list[FieldMapping]:
    """Return the mapping with the fields' own names as targets.

    Raises:
        InvalidInput: a target is unknown.
    """
    names = [field.name for field in FIELDS]
    named = []
    for item in mapping:
        target = resolve(item.target, names)
        if target is None:
            raise InvalidInput(
                "unknown_target",
                f"The warehouse has no field {item.target!r}.",
                action=f"Map to one of: {listed(names)}.",
            )
        named.append(item.model_copy(update={"target": target}))
    return named


def judged_rows(planned: Mapping[str, Compiled], required: Iterable[str] = ()) -> str:
    """Return the SELECT over `source` that yields row number, every field as text, and the broken rules.

    Args:
        planned: the result of `plan_fields`.
        required: names of optional fields that this load requires.
    """
    needed = {field.name for field in FIELDS if field.required} | set(required)
    texts, flags, rules = [], [], []
    for field in FIELDS:
        compiled = planned.get(field.name)
        sql = compiled.sql if compiled else "NULL"
        texts.append(f"nullif(trim(CAST({sql} AS VARCHAR)), '') AS {quote(field.column)}")
        flag = quote(f"__unreadable_{field.column}")
        flags.append(f"{compiled.unreadable if compiled else 'FALSE'} AS {flag}")
        rules += [
            f"CASE WHEN {condition} THEN {literal(name)} END"
            for name, condition in field_rules(field, flag, required=field.name in needed)
        ]
    fields = ", ".join(quote(field.column) for field in FIELDS)
    broken = f"concat_ws(',', {', '.join(rules)})"
    # Numbering is one thread's work; what is kept of it is shared out to all.
    return (
        f"WITH numbered AS MATERIALIZED (FROM source) SELECT {ROW}, {fields}, {broken} AS {REASONS} "
        f"FROM (SELECT {ROW}, {', '.join(texts)}, {', '.join(flags)} FROM numbered)"
    )


def field_rules(field: Field, unreadable_flag: str, *, required: bool) -> list[tuple[str, str]]:
    """Return (rule, condition) for one field, over its text column and the flag that its mapping could not read it."""
    text, name = quote(field.column), field.column.lower()
    invalid = f"({text} IS NOT NULL AND {typed(field)} IS NULL)"
    rules: list[tuple[str, str]] = []
    if required:
        rules.append((f"{name}_missing", f"({text} IS NULL AND NOT {unreadable_flag})"))
    if field.type is FieldType.TEXT:
        rules.append((f"{name}_too_long", f"length({text}) > {field.length}"))
        rules.append((f"{name}_invalid", unreadable_flag))
    elif field.type is FieldType.SCORE:
        number = f"TRY_CAST({text} AS DOUBLE)"
        rules.append((f"{name}_invalid", f"({unreadable_flag} OR ({text} IS NOT NULL AND {number} IS NULL))"))
        rules.append((f"{name}_out_of_range", f"NOT ({number} BETWEEN 1 AND 5)"))
    else:
        rules.append((f"{name}_invalid", f"({unreadable_flag} OR {invalid})"))
    if field.type is FieldType.MONEY:
        rules.append((f"{name}_negative", f"{typed(field)} < 0"))
    return rules


def typed(field: Field) -> str:
    """Return the SQL of the field's typed value over its text column; NULL where the text is no such value."""
    text = quote(field.column)
    if field.type is FieldType.TEXT:
        return text
    if field.type is FieldType.INTEGER:
        number = f"TRY_CAST({text} AS DOUBLE)"
        whole = f"{number} = floor({number}) AND {number} BETWEEN 0 AND {_MAX_COUNT}"
        return f"CASE WHEN {whole} THEN TRY_CAST({number} AS BIGINT) END"
    if field.type is FieldType.DATE:
        day = f"coalesce(TRY_CAST({text} AS DATE), CAST(TRY_CAST({text} AS TIMESTAMP) AS DATE))"
        return f"CASE WHEN {day} BETWEEN DATE '1900-01-01' AND DATE '2199-12-31' THEN {day} END"
    return f"TRY_CAST({text} AS {_TYPES[field.type]})"


_TYPES = {
    FieldType.MONEY: "DECIMAL(12,2)",
    FieldType.SCORE: "DECIMAL(3,2)",
    FieldType.TIMESTAMP: "TIMESTAMP",
    FieldType.BOOLEAN: "BOOLEAN",
}


def duplicates() -> str:
    """Return the SELECT of the rows of `judged` that lose to a newer (else later) good row of the same wedding."""
    wedding, updated = quote(FIELDS[0].column), typed(FIELDS[-1])
    order = f"(coalesce({updated}, TIMESTAMP '0001-01-01'), {ROW})"
    return (
        f"SELECT judged.{ROW} FROM judged JOIN (SELECT {wedding} AS id, arg_max({ROW}, {order}) AS kept FROM judged "
        f"WHERE {REASONS} = '' GROUP BY 1 HAVING count(*) > 1) AS twins ON judged.{wedding} = twins.id "
        f"WHERE judged.{REASONS} = '' AND judged.{ROW} <> twins.kept"
    )


def typed_rows(columns: str, condition: str) -> str:
    """Return the SELECT over `judged` of `columns`, typed fields and fingerprints, where `condition` holds."""
    fields = [quote(field.column) for field in FIELDS]
    values = ", ".join(f"{typed(field)} AS {name}" for field, name in zip(FIELDS, fields, strict=True))
    prints = [f"{_fingerprint(of)} AS {quote(name)}" for name, of in FINGERPRINTS.items()]
    return f"SELECT *, {', '.join(prints)} FROM (SELECT {columns}, {values} FROM judged WHERE {condition})"


def _fingerprint(fields: Iterable[Field]) -> str:
    parts = ", ".join(f"coalesce(CAST({quote(field.column)} AS VARCHAR), chr(30))" for field in fields)
    return f"md5(concat_ws(chr(31), {parts}))"
