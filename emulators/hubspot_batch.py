"""The emulated HubSpot batch calls, with their multi-status answers."""

from __future__ import annotations

from collections.abc import Callable

from emulators.core import now_iso
from emulators.faults import Fault
from emulators.hubspot_edge import Answer, Call, not_found, properties_of
from emulators.hubspot_portal import ApiError, Record, present


def _batch(call: Call, write: Callable[[Record], Record], success: int) -> Answer:
    started, inputs = now_iso(), call.inputs()
    broken = call.portal.emulator.fault_active("partial_batch", call.request)
    results: list[Record] = []
    failures: list[tuple[Record, ApiError]] = []
    for place, item in enumerate(inputs):
        try:
            if broken is not None and place % 2:
                raise _refused_item(broken)
            result = dict(write(item))
            if item.get("objectWriteTraceId"):
                result["objectWriteTraceId"] = item["objectWriteTraceId"]
            results.append(result)
        except ApiError as error:
            failures.append((item, error))
    untraced = [error for item, error in failures if not item.get("objectWriteTraceId")]
    if untraced and broken is None and untraced[0].status != 404:
        # Without trace ids HubSpot cannot say which input failed and refuses the whole batch.
        raise untraced[0]
    answer: Record = {"status": "COMPLETE", "results": results, "startedAt": started, "completedAt": now_iso()}
    if not failures:
        return success, answer
    errors = [error.item(item.get("objectWriteTraceId")) for item, error in failures]
    return 207, {**answer, "numErrors": len(errors), "errors": errors}


def _refused_item(fault: Fault) -> ApiError:
    permanent = 400 <= fault.status < 500 and fault.status != 429
    category = "VALIDATION_ERROR" if permanent else "INTERNAL_ERROR"
    return ApiError(fault.status, category, "This input could not be written.")


def batch_create(call: Call) -> Answer:
    """POST /{type}/batch/create."""
    kind = call.object_type

    def write(item: Record) -> Record:
        links = item.get("associations") or []
        return call.portal.create(kind, properties_of(item), links, item.get("objectWriteTraceId"))

    return _batch(call, write, 201)


def batch_update(call: Call) -> Answer:
    """POST /{type}/batch/update."""
    kind = call.object_type

    def write(item: Record) -> Record:
        record = call.portal.record(kind, str(item.get("id")), item.get("idProperty"))
        if record is None:
            raise not_found(kind, str(item.get("id")))
        return call.portal.update(kind, record, properties_of(item), item.get("objectWriteTraceId"))

    return _batch(call, write, 200)


def batch_upsert(call: Call) -> Answer:
    """POST /{type}/batch/upsert."""
    kind = call.object_type
    keys = [(item.get("idProperty"), str(item.get("id"))) for item in call.inputs()]
    if len(set(keys)) < len(keys):
        raise ApiError(400, "VALIDATION_ERROR", "Duplicate IDs found in batch input. IDs must be unique.")

    def write(item: Record) -> Record:
        value, id_property, trace = str(item.get("id")), item.get("idProperty"), item.get("objectWriteTraceId")
        record = call.portal.record(kind, value, id_property)
        if record is not None:
            return {**call.portal.update(kind, record, properties_of(item), trace), "new": False}
        if id_property in (None, "", "hs_object_id"):
            raise not_found(kind, value)
        given = {id_property: value, **properties_of(item)}
        return {**call.portal.create(kind, given, [], trace), "new": True}

    return _batch(call, write, 200)


def batch_read(call: Call) -> Answer:
    """POST /{type}/batch/read."""
    kind, wanted = call.object_type, call.body.get("properties") or []
    results, missing = [], []
    for item in call.inputs():
        record = call.portal.record(kind, str(item.get("id")), call.body.get("idProperty"))
        if record is None:
            missing.append(str(item.get("id")))
        else:
            results.append(present(kind, record, wanted))
    now = now_iso()
    answer: Record = {"status": "COMPLETE", "results": results, "startedAt": now, "completedAt": now}
    if not missing:
        return 200, answer
    lost = ApiError(
        404, "OBJECT_NOT_FOUND", "Could not get some records; they may be deleted.", context={"ids": missing}
    )
    return 207, {**answer, "numErrors": 1, "errors": [lost.item(None)]}


def batch_archive(call: Call) -> Answer:
    """POST /{type}/batch/archive."""
    for item in call.inputs():
        call.portal.archive(call.object_type, str(item.get("id")))
    return 204, None
