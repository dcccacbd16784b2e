"""What HubSpot's batch answers say about each record that was sent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from activities.connectors.crm.hubspot_api import Answer, Json, category_of, passes_by_itself
from activities.connectors.crm.hubspot_schema import ASSOCIATION_TARGETS, RECORD_ID_PROPERTY
from activities.ports.records import OutboundRecord
from contracts.sync import RecordResult, RecordStatus

_UNKNOWN_CATEGORY = "UNKNOWN"


def upsert_input(record: OutboundRecord) -> Json:
    """Return one record as an input of the batch upsert; association targets are no properties."""
    return {
        "id": record.record_id,
        "idProperty": RECORD_ID_PROPERTY,
        "objectWriteTraceId": record.record_id,
        "properties": {name: value for name, value in record.properties.items() if name not in ASSOCIATION_TARGETS},
    }


def upsert_results(answer: Answer, record_ids: Iterable[str]) -> dict[str, RecordResult]:
    """Return one result per record id.

    A record that HubSpot neither confirms nor refuses by its trace id is held, so that the caller sends it again.
    """
    results: dict[str, RecordResult] = {}
    for item in answer.listed("results"):
        properties = item.get("properties")
        held_id = properties.get(RECORD_ID_PROPERTY) if isinstance(properties, dict) else None
        record_id = str(item.get("objectWriteTraceId") or held_id or "")
        status = RecordStatus.CREATED if item.get("new") is True else RecordStatus.UPDATED
        results[record_id] = RecordResult(record_id=record_id, status=status, remote_id=str(item.get("id")))
    for error in answer.errors():
        for record_id in _traces(error):
            results[record_id] = RecordResult(record_id=record_id, status=_failed(error), reason=_reason(error))
    silent = "HubSpot did not say what became of this record."
    return {
        record_id: results.get(record_id) or RecordResult(record_id=record_id, status=RecordStatus.HELD, reason=silent)
        for record_id in record_ids
    }


def association_inputs(
    target: str, records: Mapping[str, OutboundRecord], results: Mapping[str, RecordResult]
) -> dict[str, Json]:
    """Return record id -> association input, for the written records that name another record as `target`."""
    inputs: dict[str, Json] = {}
    for record_id, record in records.items():
        remote_id, other = results[record_id].remote_id, record.properties.get(target)
        if remote_id and other:
            inputs[record_id] = {"from": {"id": remote_id}, "to": {"id": str(other)}}
    return inputs


def unassociated(
    target: str, answer: Answer, inputs: Mapping[str, Json], results: Mapping[str, RecordResult]
) -> dict[str, RecordResult]:
    """Return new results for the records whose association HubSpot did not confirm; the records themselves stand."""
    errors = answer.errors()
    if not errors:
        return {}
    # HubSpot answers from either end, so a pair counts in both directions.
    confirmed = {frozenset((_id(item, "from"), _id(item, "to"))) for item in answer.listed("results")}
    error = _commonest(errors)
    return {
        record_id: refused_association(target, results[record_id], _failed(error), _reason(error))
        for record_id, pair in inputs.items()
        if frozenset((_id(pair, "from"), _id(pair, "to"))) not in confirmed
    }


def refused_association(target: str, result: RecordResult, status: RecordStatus, reason: str) -> RecordResult:
    """Return the result of a written record whose association failed."""
    return result.model_copy(update={"status": status, "reason": f"{target}: {reason}"})


def found_by_id(answer: Answer, properties: Sequence[str]) -> tuple[dict[str, dict[str, JsonValue]], list[Json]]:
    """Return our record id -> raw values of the named properties, and the errors that are not "no such record"."""
    found: dict[str, dict[str, JsonValue]] = {}
    for item in answer.listed("results"):
        held = item.get("properties")
        if isinstance(held, dict) and held.get(RECORD_ID_PROPERTY):
            found[str(held[RECORD_ID_PROPERTY])] = {name: held.get(name) for name in properties}
    return found, [error for error in answer.errors() if category_of(error) != "OBJECT_NOT_FOUND"]


def _traces(error: Json) -> list[str]:
    context = error.get("context")
    traces = context.get("objectWriteTraceId") if isinstance(context, dict) else None
    return [str(trace) for trace in traces] if isinstance(traces, list) else []


def _failed(error: Json) -> RecordStatus:
    return RecordStatus.HELD if passes_by_itself(error) else RecordStatus.REJECTED


def _reason(error: Json) -> str:
    details = error.get("errors")
    words = [str(item["code"]) for item in details if item.get("code")] if isinstance(details, list) else []
    return " ".join([category_of(error) or _UNKNOWN_CATEGORY, *dict.fromkeys(words)])


def _commonest(errors: Sequence[Json]) -> Json:
    counts = Counter(category_of(error) for error in errors)
    return max(errors, key=lambda error: counts[category_of(error)])


def _id(item: Json, end: str) -> str:
    other = item.get(end)
    return str(other.get("id")) if isinstance(other, dict) else ""
