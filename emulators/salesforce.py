"""An emulated Salesforce org: sObjects, collections, queries, limits, and Bulk API 2.0 over the REST paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State
from emulators.faults import Fault
from emulators.oauth import AuthorisationServer
from emulators.salesforce_bulk import BulkJobs
from emulators.salesforce_edge import DAILY_REQUESTS, Answer, Call, Edge, render_error
from emulators.salesforce_oauth import VENDOR
from emulators.salesforce_org import (
    ORG_ID,
    SOBJECTS,
    USER_ID,
    Org,
    Record,
    RolledBackError,
    SalesforceError,
    sobject_id,
    spoil,
    stamp,
)
from emulators.salesforce_query import query

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_COLLECTION = 200


def describe(call: Call) -> Answer:
    """GET /sobjects/{type}/describe."""
    fields = call.org.fields(call.path("type"))
    name = call.path("type")
    body = {"name": name, "custom": name.endswith("__c"), "createable": True, "updateable": True, "queryable": True}
    return 200, {**body, "fields": [field.described() for field in fields.values()]}


def describe_all(_call: Call) -> Answer:
    """GET /sobjects."""
    listed = [{"name": name, "custom": name.endswith("__c"), "queryable": True} for name in SOBJECTS]
    return 200, {"encoding": "UTF-8", "maxBatchSize": 200, "sobjects": listed}


def run_query(call: Call) -> Answer:
    """GET /query?q=."""
    return 200, query(call.org, call.request.query_params.get("q", ""), call.version)


def create_record(call: Call) -> Answer:
    """POST /sobjects/{type}."""
    record = call.org.create(call.path("type"), call.body)
    return 201, {"id": record["Id"], "success": True, "errors": []}


def _held(call: Call) -> Record:
    sobject, field = call.path("type"), call.request.path_params.get("field", "Id")
    if field != "Id":
        call.org.external(sobject, field)
    else:
        call.org.fields(sobject)
    record = call.org.find(sobject, field, call.path("value"))
    if record is None:
        raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
    return record


def get_record(call: Call) -> Answer:
    """GET /sobjects/{type}/{id}, or by external id."""
    record, sobject = _held(call), call.path("type")
    asked = [name for name in call.request.query_params.get("fields", "").split(",") if name]
    call.org.known(sobject, dict.fromkeys(asked))
    names = asked or list(call.org.fields(sobject))
    url = f"/services/data/{call.version}/sobjects/{sobject}/{record['Id']}"
    return 200, {"attributes": {"type": sobject, "url": url}, **{name: record.get(name) for name in names}}


def update_record(call: Call) -> Answer:
    """PATCH /sobjects/{type}/{id}."""
    call.org.update(call.path("type"), _held(call), call.body)
    return 204, None


def upsert_record(call: Call) -> Answer:
    """PATCH /sobjects/{type}/{field}/{value}."""
    record, created = call.org.upsert(call.path("type"), call.path("field"), call.path("value"), call.body)
    return 201 if created else 200, {"id": record["Id"], "success": True, "errors": [], "created": created}


def delete_record(call: Call) -> Answer:
    """DELETE /sobjects/{type}/{id}."""
    call.org.delete(call.path("type"), call.path("value"))
    return 204, None


def delete_collection(call: Call) -> Answer:
    """DELETE /composite/sobjects?ids=."""
    ids = [one for one in call.request.query_params.get("ids", "").split(",") if one]
    if not ids or len(ids) > MAX_COLLECTION:
        raise SalesforceError(400, "INVALID_BATCH_SIZE", f"A collection names 1 to {MAX_COLLECTION} records.")
    fault = call.fault("partial_batch")
    return 200, [_deleted(call, record_id, fault, place) for place, record_id in enumerate(ids)]


def _deleted(call: Call, record_id: str, fault: Fault | None, place: int) -> Record:
    try:
        spoil(fault, place)
        # What no object holds is answered by the first one's own word.
        holders = [name for name in SOBJECTS if call.org.emulator.get(name, record_id) is not None]
        call.org.delete((holders or list(SOBJECTS))[0], record_id)
    except SalesforceError as error:
        return {"id": record_id, "success": False, "errors": [error.item()]}
    return {"id": record_id, "success": True, "errors": []}


def upsert_collection(call: Call) -> Answer:
    """PATCH /composite/sobjects/{type}/{field}."""
    sobject, field, body = call.path("type"), call.path("field"), call.body
    call.org.external(sobject, field)
    records = body.get("records")
    if not isinstance(records, list) or len(records) > MAX_COLLECTION:
        raise SalesforceError(400, "INVALID_BATCH_SIZE", f"A collection holds at most {MAX_COLLECTION} records.")
    for record in records:
        values = {name: value for name, value in record.items() if name != "attributes"}
        if (record.get("attributes") or {}).get("type") != sobject:
            raise SalesforceError(400, "INVALID_TYPE", "Each record names the type of the request's address.")
        call.org.known(sobject, values)
    fault = call.fault("partial_batch")
    results = [_upserted(call, record, fault, place) for place, record in enumerate(records)]
    if body.get("allOrNone") and not all(result["success"] for result in results):
        raise RolledBackError(results)
    return 200, results


def _upserted(call: Call, record: Record, fault: Fault | None, place: int) -> Record:
    field = call.path("field")
    values = {name: value for name, value in record.items() if name not in {"attributes", field}}
    try:
        spoil(fault, place)
        held, created = call.org.upsert(call.path("type"), field, str(record.get(field) or ""), values)
    except SalesforceError as error:
        return {"success": False, "errors": [error.item()]}
    return {"id": held["Id"], "success": True, "errors": [], "created": created}


def limits(call: Call) -> Answer:
    """GET /limits."""
    connection = call.org.emulator.state.connection
    row = connection.execute(
        "SELECT value FROM counters WHERE system = ? AND name = 'api-usage'", (call.org.emulator.system,)
    ).fetchone()
    remaining = max(0, DAILY_REQUESTS - int(row[0]))
    return 200, {
        "DailyApiRequests": {"Max": DAILY_REQUESTS, "Remaining": remaining},
        "DailyBulkApiBatches": {"Max": 15_000, "Remaining": 15_000},
    }


def userinfo(call: Call) -> Answer:
    """GET /services/oauth2/userinfo."""
    mount = f"{call.request.url.scheme}://{call.request.url.netloc}{call.request.scope.get('root_path', '')}"
    identity = f"{mount}/id/{ORG_ID}/{USER_ID}"
    return 200, {"sub": identity, "user_id": USER_ID, "organization_id": ORG_ID, "active": True, "zoneinfo": "GMT"}


def create_job(call: Call) -> Answer:
    """POST /jobs/ingest."""
    return 200, BulkJobs(call.org).create(call.body, call.version)


def upload_job_data(call: Call) -> Answer:
    """PUT /jobs/ingest/{id}/batches."""
    BulkJobs(call.org).upload(call.path("id"), call.raw)
    return 201, None


def change_job(call: Call) -> Answer:
    """PATCH /jobs/ingest/{id}."""
    return 200, BulkJobs(call.org).change(call.path("id"), call.body, call.fault("partial_batch"))


def read_job(call: Call) -> Answer:
    """GET /jobs/ingest/{id}."""
    return 200, BulkJobs(call.org).read(call.path("id"))


def delete_job(call: Call) -> Answer:
    """DELETE /jobs/ingest/{id}."""
    BulkJobs(call.org).delete(call.path("id"))
    return 204, None


def job_results(call: Call) -> Answer:
    """GET /jobs/ingest/{id}/successfulResults, failedResults or unprocessedRecords."""
    kind = call.path("kind")
    if kind not in {"successfulResults", "failedResults", "unprocessedRecords"}:
        raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
    return 200, BulkJobs(call.org).results(call.path("id"), kind)


async def _unknown_path(request: Request) -> Response:
    del request
    return JSONResponse(SalesforceError(404, "NOT_FOUND", "The requested resource does not exist").body(), 404)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    oauth = AuthorisationServer(emulator, VENDOR)
    edge = Edge(emulator, Org(emulator), oauth)
    row, job = "/sobjects/{type}/{value}", "/jobs/ingest/{id}"
    return [
        edge.route("/services/oauth2/userinfo", userinfo, "GET"),
        *oauth.routes(),
        edge.route("/limits", limits, "GET"),
        edge.route("/limits/", limits, "GET"),
        edge.route("/query", run_query, "GET"),
        edge.route("/query/", run_query, "GET"),
        edge.route("/composite/sobjects", delete_collection, "DELETE"),
        edge.route("/composite/sobjects/{type}/{field}", upsert_collection, "PATCH"),
        edge.route("/sobjects", describe_all, "GET"),
        edge.route("/sobjects/{type}/describe", describe, "GET"),
        edge.route("/sobjects/{type}", create_record, "POST"),
        edge.route("/sobjects/{type}/", create_record, "POST"),
        edge.route(row, get_record, "GET"),
        edge.route(row, update_record, "PATCH"),
        edge.route(row, delete_record, "DELETE"),
        edge.route("/sobjects/{type}/{field}/{value}", get_record, "GET"),
        edge.route("/sobjects/{type}/{field}/{value}", upsert_record, "PATCH"),
        edge.route("/jobs/ingest", create_job, "POST"),
        edge.route(job, read_job, "GET"),
        edge.route(job, change_job, "PATCH"),
        edge.route(job, delete_job, "DELETE"),
        edge.route(f"{job}/batches", upload_job_data, "PUT"),
        edge.route(f"{job}/{{kind}}", job_results, "GET"),
        Route("/{rest:path}", _unknown_path, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]


def _seed(emulator: Emulator) -> None:
    now = stamp()
    stamps = {"CreatedDate": now, "LastModifiedDate": now, "SystemModstamp": now}
    anna = {"FirstName": "Anna", "LastName": "Fisher", "Email": "anna.fisher@example.com"}
    deal = {"Name": "Wedding wed-1001", "StageName": "Prospecting", "CloseDate": "2027-06-12"}
    for sobject, number, values in (
        ("Contact", "501", anna),
        ("Lead", "502", {**anna, "Company": "Lumen Studios"}),
        ("Opportunity", "701", deal),
    ):
        record_id = sobject_id(sobject, number)
        emulator.put(sobject, record_id, {"Id": record_id, **values, **stamps})


def build(state: State) -> Emulator:
    """The emulated Salesforce org over this state."""
    return Emulator("salesforce", state, routes=_routes, seed=_seed, render_error=render_error)
