"""Requests to one Power BI workspace: its models, their tables and rows, queries and refreshes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import quote

import httpx
from pydantic import JsonValue

from activities.transport.client import JsonClient, vendor_word
from contracts.base import JsonObject
from contracts.errors import CREDENTIAL_REFUSED, AuthExpired, InvalidInput, OutcomeUnknown, Permanent, Transient

SYSTEM = "powerbi"
_TOKEN_EXPIRED = "TokenExpired"  # noqa: S105 - the vendor's word
_JSON = {"Content-Type": "application/json"}


class Workspace:
    """The workspace as one publication sees it, with the number of requests it made.

    Args:
        http: the connection's client, with `error_word` of this module.
        group_id: the workspace's id.

    Source: https://learn.microsoft.com/rest/api/power-bi (Groups, Datasets, Push Datasets), v1.0. That an expired token
        is refused with 403 and `TokenExpired` is from public threads.
    """

    def __init__(self, http: JsonClient, group_id: str) -> None:
        self._http = http
        self._path = f"/v1.0/myorg/groups/{quote(group_id, safe='')}"
        self.calls = 0

    async def describe(self) -> JsonObject:
        """Return the workspace itself."""
        return _object(await self._ask("GET", "", "workspace.read"), "workspace.read")

    async def model(self, name: str) -> JsonObject | None:
        """Return the semantic model of that name, None where there is none.

        Raises:
            InvalidInput: `name_not_unique`.
        """
        found = [one for one in await self._listed("/datasets", "models.list") if one.get("name") == name]
        if len(found) > 1:
            raise InvalidInput(
                "name_not_unique",
                f"The workspace has {len(found)} semantic models named {name!r}.",
                action="Rename all but one in Power BI, or name another in targetObject.",
                system=SYSTEM,
            )
        return found[0] if found else None

    async def create_push_model(self, name: str, table: JsonObject) -> str:
        """Create a push model of one table that keeps every row, and return its id."""
        body: JsonObject = {"name": name, "defaultMode": "Push", "tables": [table]}
        path, operation = "/datasets?defaultRetentionPolicy=None", "model.create"
        made = _object(await self._ask("POST", path, operation, body, writes=True), operation, writes=True)
        return str(made.get("id"))

    async def shape_table(self, model_id: str, table: JsonObject) -> None:
        """Give a push model's table these columns. Idempotent: yes."""
        await self._ask("PUT", _table(model_id, str(table["name"])), "table.update", table, writes=True)

    async def add_rows(self, model_id: str, table: str, body: bytes) -> None:
        """Append the rows of a request body. Idempotent: no."""
        await self._post(f"{_table(model_id, table)}/rows", "rows.add", body)

    async def delete_rows(self, model_id: str, table: str) -> None:
        """Delete every row of a push model's table. Idempotent: yes."""
        await self._ask("DELETE", f"{_table(model_id, table)}/rows", "rows.delete", writes=True)

    async def count(self, model_id: str, table: str, column: str | None = None) -> Mapping[str, int]:
        """Return the rows of a table by the text in a column, or all of them under an empty text.

        Source: https://learn.microsoft.com/rest/api/power-bi/datasets/execute-queries-in-group.
        """
        name = "'" + table.replace("'", "''") + "'"
        query = f'EVALUATE ROW("rows", COUNTROWS({name}))'
        if column is not None:
            query = f'EVALUATE SUMMARIZECOLUMNS({name}[{column.replace("]", "]]")}], "rows", COUNTROWS({name}))'
        body: JsonObject = {"queries": [{"query": query}], "serializerSettings": {"includeNulls": True}}
        rows = _query_rows(await self._ask("POST", f"{_model(model_id)}/executeQueries", "rows.count", body))
        counted: dict[str, int] = {}
        for row in rows:
            number = row.get("[rows]")
            key = next((value for column, value in row.items() if column != "[rows]"), None)
            counted["" if key is None else str(key)] = number if isinstance(number, int) else 0
        return counted

    async def newest_refresh(self, model_id: str) -> JsonObject | None:
        """Return the newest entry of a model's refresh history."""
        found = await self._listed(f"{_model(model_id)}/refreshes?$top=1", "refreshes.list")
        return found[0] if found else None

    async def begin_refresh(self, model_id: str) -> str:
        """Begin a full refresh that is committed as a whole, and return its id.

        Raises:
            Permanent: another one runs, refused with 409 by the guide and with 400 in public threads; or the capacity
                has no enhanced refresh.

        Source: https://learn.microsoft.com/power-bi/connect-data/asynchronous-refresh.
        """
        body = b'{"type":"Full","commitMode":"Transactional","retryCount":2}'
        headers = await self._post(f"{_model(model_id)}/refreshes", "refresh.begin", body)
        refresh_id = headers.get("Location", "").rstrip("/").rpartition("/")[2] or headers.get("x-ms-request-id", "")
        if not refresh_id:
            raise _bad_response("refresh.begin", writes=True)
        return str(refresh_id)

    async def refresh(self, model_id: str, refresh_id: str) -> JsonObject:
        """Return how far a refresh is."""
        path = f"{_model(model_id)}/refreshes/{quote(refresh_id, safe='')}"
        return _object(await self._ask("GET", path, "refresh.read"), "refresh.read")

    async def _listed(self, path: str, operation: str) -> list[JsonObject]:
        items = _object(await self._ask("GET", path, operation), operation).get("value")
        if not isinstance(items, list):
            raise _bad_response(operation)
        return [item for item in items if isinstance(item, dict)]

    async def _ask(
        self, method: str, path: str, operation: str, json: JsonObject | None = None, *, writes: bool = False
    ) -> JsonValue:
        self.calls += 1
        with _expiry(operation):
            return await self._http.request_json(
                method, f"{self._path}{path}", operation=operation, json=json, writes=writes
            )

    async def _post(self, path: str, operation: str, body: bytes) -> httpx.Headers:
        self.calls += 1
        with _expiry(operation):
            answer = await self._http.request(
                "POST", f"{self._path}{path}", operation=operation, content=body, headers=_JSON, writes=True
            )
        return answer.headers


def error_word(body: JsonValue) -> str:
    """Return the fixed word of Power BI's error body."""
    return vendor_word(body.get("error")) if isinstance(body, dict) else ""


@contextmanager
def _expiry(operation: str) -> Iterator[None]:
    """Tell an expired token from a missing permission, which have one status."""
    try:
        yield
    except Permanent as error:
        if error.detail.evidence.get("vendorCode") != _TOKEN_EXPIRED:
            raise
        raise AuthExpired(
            CREDENTIAL_REFUSED,
            f"Power BI says that the access token for {operation} has expired.",
            action="Connect the integration again with a valid credential.",
            system=SYSTEM,
            operation=operation,
            evidence=error.detail.evidence,
        ) from None


def _model(model_id: str) -> str:
    return f"/datasets/{quote(model_id, safe='')}"


def _table(model_id: str, table: str) -> str:
    return f"{_model(model_id)}/tables/{quote(table, safe='')}"


def _query_rows(answer: JsonValue) -> list[JsonObject]:
    """Return the rows of a query's only table; a query may fail inside a success."""
    found: JsonValue = answer
    for name in ("results", "tables", "rows"):
        found = found.get(name) if isinstance(found, dict) and "error" not in found else None
        if not isinstance(found, list):
            raise _bad_response("rows.count")
        if name != "rows":
            found = found[0] if found else None
    return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []


def _object(answer: JsonValue, operation: str, *, writes: bool = False) -> JsonObject:
    if not isinstance(answer, dict):
        raise _bad_response(operation, writes=writes)
    return answer


def _bad_response(operation: str, *, writes: bool = False) -> Transient:
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_bad_response",
        f"powerbi answered {operation} without what it documents.",
        system=SYSTEM,
        operation=operation,
    )
