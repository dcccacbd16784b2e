"""Records in a Salesforce org: upserted by external id, read back by the same."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus

from pydantic import JsonValue

from activities.connectors.crm.salesforce_api import SYSTEM, TRANSIENT_CODES, Json, SalesforceApi, error_codes
from activities.connectors.crm.salesforce_schema import checked_name, comparable
from activities.ports.records import OutboundRecord, RemovalAnswer, UpsertAnswer
from contracts.errors import InvalidInput, Permanent
from contracts.sync import RecordResult, RecordStatus

_POISON_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
_MAX_QUERY = 6_000
"""Characters of ids in one query, of 16,384 that a request line may have once they are quoted."""
_GONE = "ENTITY_IS_DELETED"
_UNREADABLE = frozenset({"address", "location", "base64"})


class Records:
    """The records of one org.

    Args:
        api: the road to the org.
        id_field: the external id field that holds our record id.
    """

    def __init__(self, api: SalesforceApi, id_field: str) -> None:
        self._api = api
        self._id_field = id_field
        self._fields: dict[str, list[str]] = {}
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Ask again for the objects' fields, because an administrator may have changed them."""
        self._fields = {}

    async def describe(self, object_type: str) -> Mapping[str, Json]:
        """Return the fields of an object by name.

        Raises:
            InvalidInput: `not_provisioned`; the org has no such object, or the user may not see it.
        """
        operation = f"{checked_name(object_type)}.describe"
        try:
            answer = await self._api.call(operation, "GET", f"sobjects/{object_type}/describe", writes=False)
        except Permanent as refused:
            if refused.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
                raise
            raise self._missing(object_type, operation) from None
        return {str(field.get("name")): field for field in answer.listed("fields")}

    async def upsert(self, object_type: str, records: Sequence[OutboundRecord]) -> UpsertAnswer:
        """Create or update at most 200 prepared records in one call.

        Idempotent: yes, by the external id field. Salesforce does not tell an unchanged record from an updated one. A
        record it refuses is `rejected` with its error codes, or `held` when the fault passes by itself, such as a lock.

        Raises:
            Permanent: `batch_refused`; the whole collection was refused and nothing written: send its halves. A batch
                of one is `rejected` instead.
            InvalidInput: `not_provisioned`.
            OutcomeUnknown: the answer was lost; sending the batch again is safe.

        Source: https://developer.salesforce.com/docs/platform/api-rest/guide/
            resources-composite-sobjects-collections-upsert.html (v67.0).
        """
        by_id = {record.record_id: record for record in records}
        if not by_id:
            return UpsertAnswer([], 0)
        operation = f"{checked_name(object_type)}.upsert"
        attributes: JsonValue = {"type": object_type}
        rows: list[JsonValue] = [{"attributes": attributes, **record.properties} for record in by_id.values()]
        path = f"composite/sobjects/{object_type}/{self._id_field}"
        try:
            answer = await self._api.call(
                operation, "PATCH", path, body={"allOrNone": False, "records": rows}, writes=True
            )
        except Permanent as refused:
            return self._refused(object_type, refused, list(by_id))
        found = answer.objects()
        if len(found) != len(by_id) or any(type(item.get("success")) is not bool for item in found):
            raise answer.bad()
        return UpsertAnswer([_result(record_id, item) for record_id, item in zip(by_id, found, strict=True)], 1)

    async def read(self, object_type: str, record_ids: Sequence[str]) -> Mapping[str, Mapping[str, JsonValue]]:
        """Return the fields Salesforce holds by our record id, in the formats of `formatted`; absent ones are left out.

        Raises:
            InvalidInput: `not_provisioned`.

        Source: https://developer.salesforce.com/docs/platform/api-rest/guide/resources-query.html (v67.0).
        """
        held: dict[str, Mapping[str, JsonValue]] = {}
        if not record_ids:
            return held
        names = await self._readable(object_type)
        for some in _chunks(list(dict.fromkeys(record_ids))):
            wanted = ", ".join(some)
            soql = f"SELECT {', '.join(names)} FROM {object_type} WHERE {self._id_field} IN ({wanted})"
            answer = await self._api.call(f"{object_type}.read", "GET", "query", params={"q": soql}, writes=False)
            for row in answer.listed("records"):
                values = {name: comparable(row.get(name)) for name in names}
                held[str(values[self._id_field])] = values
        return held

    async def remove(self, object_type: str, record_ids: Sequence[str]) -> RemovalAnswer:
        """Delete at most 200 records into the recycle bin, where they stay for 15 days.

        Idempotent: yes. Salesforce deletes by its own id, so the records are read by ours first: absent ones are gone.

        Raises:
            InvalidInput: `not_provisioned`.
            OutcomeUnknown: the answer was lost.

        Source: https://developer.salesforce.com/docs/atlas.en-us.api_rest.meta/api_rest/
            resources_composite_sobjects_collections_delete.htm (v67.0).
        """
        held = await self.read(object_type, record_ids)
        calls = len(list(_chunks(list(dict.fromkeys(record_ids)))))
        if not held:
            return RemovalAnswer(list(record_ids), {}, calls)
        params = {"ids": ",".join(str(values["Id"]) for values in held.values()), "allOrNone": "false"}
        answer = await self._api.call(
            f"{object_type}.delete", "DELETE", "composite/sobjects", params=params, writes=True
        )
        found = answer.objects()
        if len(found) != len(held) or any(type(item.get("success")) is not bool for item in found):
            raise answer.bad()
        outcomes = {record_id: _removed(item) for record_id, item in zip(held, found, strict=True)}
        refused = {record_id: reason for record_id, reason in outcomes.items() if reason}
        return RemovalAnswer([one for one in record_ids if one not in refused], refused, calls + 1)

    async def _readable(self, object_type: str) -> list[str]:
        async with self._reading:
            if object_type not in self._fields:
                fields = await self.describe(object_type)
                if self._id_field not in fields:
                    raise self._missing(object_type, f"{object_type}.read")
                self._fields[object_type] = [
                    name for name, field in fields.items() if field.get("type") not in _UNREADABLE
                ]
            return self._fields[object_type]

    def _refused(self, object_type: str, refused: Permanent, record_ids: Sequence[str]) -> UpsertAnswer:
        evidence = refused.detail.evidence
        status, code = evidence.get("status"), str(evidence.get("vendorCode") or "")
        if status == HTTPStatus.NOT_FOUND:
            raise self._missing(object_type, refused.detail.operation) from None
        if status not in _POISON_STATUSES:
            raise refused
        if len(record_ids) == 1:
            reason = code or f"status {status}"
            return UpsertAnswer([RecordResult(record_id=record_ids[0], status=RecordStatus.REJECTED, reason=reason)], 1)
        raise Permanent(
            "batch_refused",
            f"Salesforce refused {refused.detail.operation} for {len(record_ids)} records as a whole.",
            action="Send the halves of the batch until the record stands alone.",
            system=SYSTEM,
            operation=refused.detail.operation,
            evidence=evidence,
        ) from None

    def _missing(self, object_type: str, operation: str) -> InvalidInput:
        return InvalidInput(
            "not_provisioned",
            f"The Salesforce org has no object {object_type} with the external id field {self._id_field}.",
            action=f"Have an administrator create them: {self._id_field} as Text(64), External ID, Unique, "
            "case-sensitive, visible to the connected user; Salesforce makes neither by its REST API.",
            system=SYSTEM,
            operation=operation,
        )


def _result(record_id: str, item: Json) -> RecordResult:
    if item["success"]:
        status = RecordStatus.CREATED if item.get("created") is True else RecordStatus.UPDATED
        return RecordResult(record_id=record_id, status=status, remote_id=str(item.get("id")))
    errors = item.get("errors")
    codes = error_codes([error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else [])
    return refusal(record_id, codes)


def _removed(item: Json) -> str:
    """Return why a record was not deleted, nothing when it is gone."""
    if item["success"]:
        return ""
    errors = item.get("errors")
    codes = error_codes([error for error in errors if isinstance(error, dict)] if isinstance(errors, list) else [])
    return "" if _GONE in codes else " ".join(codes) or "UNKNOWN"


def refusal(record_id: str, codes: Sequence[str]) -> RecordResult:
    """Return the outcome of a refused record: held when its first code passes by itself, otherwise rejected."""
    passes = bool(codes) and codes[0] in TRANSIENT_CODES
    status = RecordStatus.HELD if passes else RecordStatus.REJECTED
    return RecordResult(record_id=record_id, status=status, reason=" ".join(codes) or "UNKNOWN")


def _chunks(record_ids: Sequence[str]) -> Iterator[list[str]]:
    some: list[str] = []
    size = 0
    for record_id in record_ids:
        text = "'" + record_id.replace("\\", "\\\\").replace("'", "\\'") + "'"
        if some and size + len(text) > _MAX_QUERY:
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text) + 2
    yield some
