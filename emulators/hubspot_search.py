"""The emulated HubSpot search: filter groups, sorting and pages over stored records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from emulators.hubspot_portal import ApiError, Portal, Record, present

if TYPE_CHECKING:
    from starlette.requests import Request

_MAX_PAGE = 200
_OPERATORS = (
    "EQ",
    "NEQ",
    "IN",
    "NOT_IN",
    "HAS_PROPERTY",
    "NOT_HAS_PROPERTY",
    "GT",
    "GTE",
    "LT",
    "LTE",
    "BETWEEN",
    "CONTAINS_TOKEN",
)


def search(portal: Portal, object_type: str, body: Any, request: Request) -> Record:
    """Answer a search body.

    Raises:
        ApiError: 400, an unknown property or operator, or a page that is too large.
    """
    asked = body if isinstance(body, dict) else {}
    groups = asked.get("filterGroups") or []
    for group in groups:
        for rule in group.get("filters") or []:
            _check(portal, object_type, rule)
    limit, offset = int(asked.get("limit") or 10), int(asked.get("after") or 0)
    if not 0 < limit <= _MAX_PAGE:
        raise ApiError(400, "VALIDATION_ERROR", f"The limit of a search page is {_MAX_PAGE}.")
    found = [record for record in _candidates(portal, object_type, groups) if _matches_any(record, groups)]
    for sort in reversed(asked.get("sorts") or []):
        name = sort["propertyName"] if isinstance(sort, dict) else str(sort)
        downwards = isinstance(sort, dict) and sort.get("direction") == "DESCENDING"
        found.sort(key=lambda record, name=name: _sortable(record["properties"].get(name)), reverse=downwards)  # type: ignore[misc]
    repeated = offset > 0 and portal.emulator.fault_active("duplicate_page", request) is not None
    begin = max(0, offset - limit) if repeated else offset
    wanted: Sequence[str] = asked.get("properties") or []
    page = [present(object_type, record, wanted) for record in found[begin : begin + limit]]
    answer: Record = {"total": len(found), "results": page}
    if offset + limit < len(found):
        answer["paging"] = {"next": {"after": str(offset + limit)}}
    return answer


def _check(portal: Portal, object_type: str, rule: Record) -> None:
    name, operator = rule.get("propertyName"), rule.get("operator")
    if name not in portal.catalog(object_type):
        message = f"There was a problem with the request: property {name} does not exist."
        raise ApiError(400, "VALIDATION_ERROR", message)
    if operator not in _OPERATORS:
        raise ApiError(400, "VALIDATION_ERROR", f"The search operator {operator} is not supported.")


def _candidates(portal: Portal, object_type: str, groups: Sequence[Record]) -> list[Record]:
    if len(groups) == 1:
        for rule in groups[0].get("filters") or []:
            values = {"EQ": [rule.get("value")], "IN": rule.get("values") or []}.get(rule["operator"])
            if values is not None:
                field = f"properties.{rule['propertyName']}"
                return [
                    record
                    for value in dict.fromkeys(str(value) for value in values)
                    for record in portal.emulator.find_all(object_type, field, value)
                ]
    return list(portal.emulator.list(object_type))


def _matches_any(record: Record, groups: Sequence[Record]) -> bool:
    if not groups:
        return True
    return any(all(_matches(record, rule) for rule in group.get("filters") or []) for group in groups)


def _matches(record: Record, rule: Record) -> bool:
    value, operator = str(record["properties"].get(rule["propertyName"]) or ""), rule["operator"]
    wanted, several = str(rule.get("value", "")), [str(item) for item in rule.get("values") or []]
    if operator in ("HAS_PROPERTY", "NOT_HAS_PROPERTY"):
        return bool(value) is (operator == "HAS_PROPERTY")
    simple = {
        "EQ": value == wanted,
        "NEQ": value != wanted,
        "IN": value in several,
        "NOT_IN": value not in several,
        "CONTAINS_TOKEN": wanted.strip("*").lower() in value.lower(),
    }
    if operator in simple:
        return simple[operator]
    if not value:
        return False
    mine, bound = _sortable(value), _sortable(wanted)
    ordered = {"GT": mine > bound, "GTE": mine >= bound, "LT": mine < bound, "LTE": mine <= bound}
    if operator == "BETWEEN":
        return bound <= mine <= _sortable(str(rule.get("highValue", "")))
    return ordered[operator]


def _sortable(value: Any) -> tuple[int, float, str]:
    text = str(value or "")
    try:
        return (1, float(text), "")
    except ValueError:
        return (2 if text else 0, 0.0, text)
