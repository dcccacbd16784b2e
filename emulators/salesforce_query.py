"""The subset of SOQL that the emulated Salesforce understands: one sObject, `=` and `IN`, `AND`, `LIMIT`."""

from __future__ import annotations

import re
from typing import Any

from emulators.salesforce_org import Org, Record, SalesforceError

_SELECT = re.compile(
    r"\s*SELECT\s+(?P<fields>[\w.,\s]+?)\s+FROM\s+(?P<type>\w+)(?:\s+WHERE\s+(?P<where>.+?))?(?:\s+LIMIT\s+(?P<limit>\d+))?\s*",
    re.IGNORECASE | re.DOTALL,
)
_TEXT = r"'(?:[^'\\]|\\.)*'"
_CONDITION = re.compile(
    rf"\s*(?P<field>\w+)\s*(?:=\s*(?P<one>{_TEXT})|IN\s*\(\s*(?P<many>{_TEXT}(?:\s*,\s*{_TEXT})*)\s*\))\s*",
    re.IGNORECASE,
)
_AND = re.compile(r"AND\b", re.IGNORECASE)
_PAGE = 2_000


def query(org: Org, soql: str, version: str) -> Record:
    """The answer to a query; at most 2,000 records, without further pages.

    Raises:
        SalesforceError: 400 `MALFORMED_QUERY`, `INVALID_FIELD` or `INVALID_TYPE`.
    """
    found = _SELECT.fullmatch(soql)
    if found is None:
        raise SalesforceError(400, "MALFORMED_QUERY", "This emulator understands no such query.")
    sobject, names = found["type"], [name.strip() for name in found["fields"].split(",")]
    try:
        org.known(sobject, dict.fromkeys(names))
    except SalesforceError as error:
        if error.status == 404:
            raise SalesforceError(400, "INVALID_TYPE", f"sObject type '{sobject}' is not supported.") from None
        raise
    limit = min(_PAGE, int(found["limit"] or _PAGE))
    records = _matching(org, sobject, _conditions(found["where"] or ""))[:limit]
    rows = [{"attributes": _attributes(sobject, row, version), **{n: row.get(n) for n in names}} for row in records]
    return {"totalSize": len(rows), "done": True, "records": rows}


def _attributes(sobject: str, row: Record, version: str) -> dict[str, Any]:
    return {"type": sobject, "url": f"/services/data/{version}/sobjects/{sobject}/{row['Id']}"}


def _conditions(where: str) -> list[tuple[str, list[str]]]:
    conditions, rest = [], where
    while rest:
        found = _CONDITION.match(rest)
        if found is None:
            raise SalesforceError(400, "MALFORMED_QUERY", "This emulator understands no such condition.")
        texts = re.findall(_TEXT, found["one"] or found["many"])
        conditions.append((found["field"], [re.sub(r"\\(.)", r"\1", text[1:-1]) for text in texts]))
        rest = rest[found.end() :]
        joint = _AND.match(rest)
        if rest and joint is None:
            raise SalesforceError(400, "MALFORMED_QUERY", "This emulator understands AND only.")
        rest = rest[joint.end() :] if joint else ""
    return conditions


def _matching(org: Org, sobject: str, conditions: list[tuple[str, list[str]]]) -> list[Record]:
    if not conditions:
        return org.emulator.list(sobject, limit=_PAGE)
    org.known(sobject, {field: None for field, _ in conditions})
    field, values = conditions[0]
    found = [row for value in dict.fromkeys(values) if (row := org.find(sobject, field, value))]
    return [row for row in found if all(row.get(name) in allowed for name, allowed in conditions[1:])]
