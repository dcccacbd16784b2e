"""The emulated WedSync: paged and streamed reports, filters, changes on demand, and weddings as they are now.

WedSync's API is its own and ours to define: there is no other document of it.
`GET /v1/organizations/{org}/weddings/{id}` answers `weddingId`, the newest event's `sequence`, `asOf`, and `facts`:
by name a `value` and its `version` with `eventId`, `sequence`, `occurredAt` and `origin`.
`POST /_emulators/wedsync/change` changes `facts` of `weddingId` (`organizationId`, `at` and `origin` are optional) and
answers with the event that tells of it.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, Fault, State, now_iso
from emulators.wedding_rows import records
from emulators.weddings import FIELDS
from emulators.wedsync_query import OPERATORS, BadQueryError, Condition, Cursor, Query
from emulators.wedsync_store import REPORTS, Holding, Store
from emulators.wedsync_weddings import FACTS, LiveWeddings

TOKEN = "sandbox-wedsync-token"
MAX_PAGE = 5000
_DEFAULT_PAGE = 500
_DEFAULT_ORGANIZATION = "lumen-studios"
_STREAM_PAGE = 2000
_RESERVED = frozenset({"cursor", "limit", "updatedSince", "updatedUntil", "filter", "format", "organizationId"})
_CODES = {401: "unauthorized", 403: "forbidden", 404: "not_found", 429: "rate_limited"}


class WedSync(Emulator):
    """WedSync's reporting API, with control routes of its own beside the common ones."""

    def __init__(self, state: State) -> None:
        """Attach to the state; every organisation holds the default data set until a scenario says otherwise."""
        super().__init__("wedsync", state, routes=_routes, seed=lambda _emulator: None, render_error=_fault_error)
        self.store = Store(self)
        self.live = LiveWeddings(self)
        self.control_routes: list[BaseRoute] = [
            Route("/_emulators/wedsync/scenario", self._guarded(self._scenario), methods=["GET", "POST"]),
            Route("/_emulators/wedsync/touch", self._guarded(self._touch), methods=["POST"]),
            Route("/_emulators/wedsync/change", self._guarded(self._change), methods=["POST"]),
            Route("/_emulators/wedsync/reports", self.list_reports),
            Route("/_emulators/wedsync/reports/{report}/records", self.read),
            Route("/_emulators/wedsync/v1/organizations/{organization}/reports", self.list_reports),
            Route("/_emulators/wedsync/v1/organizations/{organization}/reports/{report}/records", self.read),
        ]

    def _guarded(self, handler: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            try:
                return JSONResponse(await handler(request))
            except BadQueryError as error:
                return _error(400, error.code, str(error))
            except (ValueError, TypeError, KeyError, AttributeError):
                return _error(400, "invalid_body", "The body must be a JSON object with numbers in range.")

        return answer

    async def list_reports(self, request: Request) -> Response:
        """The reports an organisation has."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        holding = self.store.holding(_organization(request))
        reports = [
            {"reportId": report, "title": title, "fields": list(fields), "totalRecords": holding.data.rows}
            for report, (title, fields) in REPORTS.items()
        ]
        return JSONResponse({"reports": reports, "asOf": now_iso()})

    async def read(self, request: Request) -> Response:
        """A page of a report, or with `format=ndjson` the whole of it."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        report = request.path_params["report"]
        if report not in REPORTS:
            return _error(404, "report_not_found", "The organisation has no report with this id.")
        try:
            query, limit = _query(request), _limit(request)
            after, as_of = self._position(request, query)
            holding = self.store.holding(_organization(request))
            if request.query_params.get("format", "json") == "ndjson":
                return StreamingResponse(
                    _lines(holding, query, report, after),
                    media_type="application/x-ndjson",
                    headers={"X-WedSync-As-Of": as_of},
                )
            page = await run_in_threadpool(_page, holding, query, report, after, limit)
        except BadQueryError as error:
            return _error(400, error.code, str(error))
        last, rows, total = page
        following = Cursor(last, as_of, crc32(query.key.encode())).encode() if last is not None else None
        if following is not None and self.fault_active("duplicate_page", request) is not None:
            following = Cursor(after, as_of, crc32(query.key.encode())).encode()
        if self.fault_active("schema_drift", request) is not None:
            rows = [_drifted(row) for row in rows]
        body = {"reportId": report, "records": rows, "nextCursor": following, "totalRecords": total, "asOf": as_of}
        return JSONResponse(body)

    async def read_wedding(self, request: Request) -> Response:
        """A wedding as it is now: each fact with the event it is from, and the number of the newest event."""
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        found = self.live.read(_organization(request), request.path_params["wedding"])
        if found is None:
            return _error(404, "wedding_not_found", "The organisation has no wedding with this id.")
        return JSONResponse({**found, "asOf": now_iso()})

    def _position(self, request: Request, query: Query) -> tuple[int, str]:
        text = request.query_params.get("cursor")
        if not text:
            return -1, now_iso()
        cursor = Cursor.decode(text, query)
        return cursor.after, cursor.as_of

    def _refusal(self, request: Request) -> Response | None:
        if request.url.path.startswith("/_emulators/"):
            return None
        if self.fault_active("expire_token", request) is not None:
            return _error(401, "token_expired", "The access token has expired.")
        revoked = self.fault_active("revoke_token", request) is not None
        if revoked or request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return _error(401, "invalid_token", "A valid bearer token is required.")
        return None

    async def _scenario(self, request: Request) -> dict[str, Any]:
        if request.method == "GET":
            organization = request.query_params.get("organizationId", _DEFAULT_ORGANIZATION)
            return _describe(organization, self.store.holding(organization))
        body = await request.json()
        organization = str(body.get("organizationId", _DEFAULT_ORGANIZATION))
        _known_report(body)
        seed = body.get("seed")
        rows, ratio = int(body.get("rows", 2000)), float(body.get("dirtyRatio", 0.0))
        holding = self.store.set_scenario(organization, rows, ratio, None if seed is None else int(seed))
        if body.get("changes"):
            self.store.touch(organization, int(body["changes"]), _now_ms())
        return _describe(organization, holding)

    async def _change(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        facts, at = body["facts"], str(body.get("at") or now_iso())
        if not facts or not facts.keys() <= FACTS.keys():
            raise BadQueryError("unknown_fact", f"The facts are {', '.join(FACTS)}.")
        _milliseconds(at)
        organization = str(body.get("organizationId", _DEFAULT_ORGANIZATION))
        return self.live.change(organization, str(body["weddingId"]), facts, at, body.get("origin"))

    async def _touch(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        organization = str(body.get("organizationId", _DEFAULT_ORGANIZATION))
        _known_report(body)
        at = _milliseconds(str(body["at"])) if "at" in body else _now_ms()
        changed = self.store.touch(organization, int(body.get("count", 1)), at)
        moment = datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds")
        return {"changed": changed, "count": len(changed), "updatedAt": moment.replace("+00:00", "Z")}


def build(state: State) -> Emulator:
    """The emulated WedSync reporting API."""
    return WedSync(state)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    assert isinstance(emulator, WedSync)  # noqa: S101
    return [
        Route("/v1/organizations/{organization}/reports", emulator.list_reports),
        Route("/v1/organizations/{organization}/reports/{report}/records", emulator.read),
        Route("/v1/organizations/{organization}/weddings/{wedding}", emulator.read_wedding),
    ]


def _describe(organization: str, holding: Holding) -> dict[str, Any]:
    data = holding.data
    return {
        "organizationId": organization,
        "rows": data.rows,
        "seed": data.seed,
        "dirtyRatio": data.dirty_ratio,
        "dirtyRows": data.dirt.count,
        "dirtyByReason": data.dirt.counts(),
        "changedRows": len(holding.touched),
    }


def _known_report(body: dict[str, Any]) -> None:
    if body.get("reportId", "weddings") not in REPORTS:
        raise BadQueryError("report_not_found", "There is no report with this id.")


def _page(
    holding: Holding, query: Query, report: str, after: int, limit: int
) -> tuple[int | None, list[dict[str, Any]], int]:
    rows = query.select(holding, after, limit + 1)
    more = len(rows) > limit
    rows = rows[:limit]
    found = records(holding.data, holding.weddings(rows), REPORTS[report][1])
    return (rows[-1] if more else None), found, query.count(holding)


async def _lines(holding: Holding, query: Query, report: str, after: int) -> AsyncIterator[bytes]:
    position: int | None = after
    while position is not None:
        rows = await run_in_threadpool(query.select, holding, position, _STREAM_PAGE)
        found = records(holding.data, holding.weddings(rows), REPORTS[report][1])
        yield "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in found).encode()
        position = rows[-1] if len(rows) == _STREAM_PAGE else None


def _organization(request: Request) -> str:
    in_path = request.path_params.get("organization")
    return str(in_path or request.query_params.get("organizationId", _DEFAULT_ORGANIZATION))


def _limit(request: Request) -> int:
    text = request.query_params.get("limit", str(_DEFAULT_PAGE))
    if not text.isdecimal() or not 1 <= int(text) <= MAX_PAGE:
        raise BadQueryError("invalid_limit", f"limit must be a whole number from 1 to {MAX_PAGE}.")
    return int(text)


def _query(request: Request) -> Query:
    conditions = []
    for name, text in request.query_params.multi_items():
        if name == "filter":
            conditions.append(_condition(text))
        elif name not in _RESERVED:
            conditions.append(_checked(name, "in", [_plain(part) for part in text.split(",")]))
    window = {}
    if "updatedSince" in request.query_params:
        window["since"] = _milliseconds(request.query_params["updatedSince"])
    if "updatedUntil" in request.query_params:
        window["until"] = _milliseconds(request.query_params["updatedUntil"])
    return Query(tuple(conditions), **window)


def _condition(text: str) -> Condition:
    field, _, rest = text.partition(":")
    operator, _, value = rest.partition(":")
    try:
        return _checked(field, operator, json.loads(value))
    except ValueError as error:
        if isinstance(error, BadQueryError):
            raise
        raise BadQueryError("invalid_filter", "A filter reads field:operator:value, the value in JSON.") from error


def _checked(field: str, operator: str, value: Any) -> Condition:
    if field not in FIELDS:
        raise BadQueryError("unknown_field", "A filter names a field that this report does not have.")
    if operator not in OPERATORS:
        raise BadQueryError("invalid_filter", f"The operator must be one of {', '.join(OPERATORS)}.")
    if operator in {"in", "not_in"} and not isinstance(value, list):
        raise BadQueryError("invalid_filter", "The operators in and not_in take a JSON list.")
    return Condition(field, operator, value)


def _plain(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _milliseconds(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadQueryError("invalid_time", "A time must be ISO 8601.") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(moment.timestamp() * 1000)


def _now_ms() -> int:
    return int(datetime.now(UTC).timestamp() * 1000)


def _drifted(row: dict[str, Any]) -> dict[str, Any]:
    changed = {name: value for name, value in row.items() if name != "satisfactionScore"}
    if "guestCount" in changed:
        changed["guestCount"] = str(changed["guestCount"])
    return {**changed, "weatherNote": "dry"}


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"error": {"code": code, "message": message}}, status)


def _fault_error(status: int, _fault: Fault | None) -> Response:
    return _error(status, _CODES.get(status, "unavailable"), "The service could not answer this request.")
