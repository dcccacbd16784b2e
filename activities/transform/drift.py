"""How the fields of a report differ from those that earlier syncs knew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from pydantic import JsonValue

from contracts.sync_schema import FieldChange, SchemaDrift

Kinds = dict[str, dict[str, int]]
"""Field -> kind -> records with such a value; a field without values has no kinds."""

_KINDS = {str: "text", int: "number", float: "number", bool: "boolean", list: "list", dict: "object"}


def kind_of(value: JsonValue) -> str:
    """Return the kind of a value, nothing for null."""
    return _KINDS.get(type(value), "")


def count_kinds(records: Sequence[Mapping[str, JsonValue]], fields: Iterable[str], seen: Kinds) -> Kinds:
    """Return `seen` with the values of further records counted."""
    found = dict(seen)
    for name in fields:
        counts = Counter(found.get(name, {}))
        for type_, count in Counter(type(record.get(name)) for record in records).items():
            if kind := _KINDS.get(type_):
                counts[kind] += count
        found[name] = dict(counts)
    return found


def known_fields(seen: Kinds) -> dict[str, str]:
    """Return each field with the kind that most of its values have; single misfits are the records' own fault."""
    return {name: max(kinds, key=lambda kind: kinds[kind]) if kinds else "" for name, kinds in seen.items()}


def drift_of(known: Mapping[str, str], found: Mapping[str, str], *, sparse: bool) -> list[SchemaDrift]:
    """Return what changed, by field.

    Args:
        known: the fields of earlier syncs; empty where there was none.
        found: the fields of this one.
        sparse: whether records may leave fields out, so that an absent one says nothing.
    """
    if not known or not found:
        return []
    changes = [SchemaDrift(field=name, change=FieldChange.ADDED) for name in found.keys() - known.keys()]
    if not sparse:
        changes += [SchemaDrift(field=name, change=FieldChange.MISSING) for name in known.keys() - found.keys()]
    changes += [
        SchemaDrift(field=name, change=FieldChange.KIND_CHANGED, was=known[name], now=found[name])
        for name in known.keys() & found.keys()
        if known[name] and found[name] and known[name] != found[name]
    ]
    return sorted(changes, key=lambda one: one.field)


def objection(record: Mapping[str, JsonValue], known: Mapping[str, str], needed: Collection[str]) -> str:
    """Return why a record does not fit the known fields, nothing when it does.

    Args:
        record: of the source.
        known: field -> kind.
        needed: the fields whose kind matters.
    """
    misfits = [
        f"{name} was {known[name]} and is {kind}"
        for name in sorted(needed)
        if known.get(name) and (kind := kind_of(record.get(name))) and kind != known[name]
    ]
    return f"the report's schema changed: {', '.join(misfits)}" if misfits else ""


def evolved(known: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return the fields that later syncs know: those found, with the known kind where no value tells one."""
    return {name: kind or known.get(name, "") for name, kind in found.items()}
