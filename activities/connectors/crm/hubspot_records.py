"""Records at HubSpot: batches written and read by our own id, and their associations."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus

from pydantic import JsonValue

from activities.connectors.crm import hubspot_answers as answers
from activities.connectors.crm.hubspot_api import SYSTEM, HubSpotApi, Json, bad_response
from activities.connectors.crm.hubspot_mapping import comparable
from activities.connectors.crm.hubspot_provision import object_type_id
from activities.connectors.crm.hubspot_schema import ASSOCIATION_TARGETS, CUSTOM_OBJECTS, RECORD_ID_PROPERTY
from activities.ports.records import OutboundRecord, RemovalAnswer, UpsertAnswer
from contracts.errors import InvalidInput, Permanent
from contracts.sync import RecordResult, RecordStatus

_POISON_STATUSES = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY})
_BOOKKEEPING = ("hs_object_id", "hs_lastmodifieddate")


class Records:
    """The records of one account; how the account names its custom objects is asked once and remembered.

    Args:
        api: the account.
    """

    def __init__(self, api: HubSpotApi) -> None:
        self._api = api
        self._schemas: dict[str, Json] = {}
        self._properties: dict[str, dict[str, str]] = {}
        self._reading = asyncio.Lock()

    def forget(self) -> None:
        """Ask again for the account's custom objects, because provisioning may have changed them."""
        self._schemas, self._properties = {}, {}

    async def upsert(self, object_type: str, records: Sequence[OutboundRecord]) -> UpsertAnswer:
        """Create or update at most 100 prepared records in one call, then associate those that ask for it.

        Idempotent: yes, by `wedsync_id`; default associations are repeatable. HubSpot does not tell an unchanged record
        from an updated one. A multi-status answer gives each refused record its own result: `rejected` when the fault
        is the record's, `held` when it passes by itself. A record that stands but whose association was refused is
        `rejected` with its remote id. An object type that is not ours needs a unique property `wedsync_id`.

        Raises:
            Permanent: `batch_refused`; HubSpot refused the whole batch without naming a record, nothing was written:
                send its halves. A batch of one is `rejected` instead.
            InvalidInput: `not_provisioned`; the account lacks the custom object.
            OutcomeUnknown: the answer was lost; sending the batch again is safe.

        Source: https://developers.hubspot.com/docs/api-reference/crm-objects-v3/batch/post-crm-v3-objects-objectType-
            batch-upsert (v3).
        """
        by_id = {record.record_id: record for record in records}
        if not by_id:
            return UpsertAnswer([], 0)
        _, calls = await self._address(object_type)
        # A batch whose associations were refused would be written twice.
        async with self._api.together(_most_calls(by_id.values())):
            answer = await self._upserted(object_type, by_id, [record.record_id for record in records])
        return UpsertAnswer(answer.results, answer.vendor_calls + calls)

    async def _upserted(
        self, object_type: str, by_id: Mapping[str, OutboundRecord], order: Sequence[str]
    ) -> UpsertAnswer:
        address, calls = await self._address(object_type)
        inputs = [answers.upsert_input(record) for record in by_id.values()]
        try:
            operation = f"{object_type}.upsert"
            answer = await self._api.call(operation, "batch.upsert", address, {"inputs": inputs}, writes=True)
        except Permanent as refused:
            rejected = _refused_alone(refused, list(by_id))
            return UpsertAnswer(rejected, calls + 1)
        results = answers.upsert_results(answer, by_id)
        calls += 1
        for target in ASSOCIATION_TARGETS:
            calls += await self._associate(target, object_type, by_id, results)
        return UpsertAnswer([results[record_id] for record_id in order], calls)

    async def read(self, object_type: str, record_ids: Sequence[str]) -> Mapping[str, Mapping[str, JsonValue]]:
        """Return HubSpot's current properties by our record id, in the formats of `prepare`; absent ones are left out.

        Beside the properties come `hs_object_id` and `hs_lastmodifieddate`; associations are not read.

        Raises:
            InvalidInput: `not_provisioned`; the account lacks the custom object.
            Transient: HubSpot could not read some of the records now.
        """
        if not record_ids:
            return {}
        address, _ = await self._address(object_type)
        types = await self._types(object_type, address)
        wanted = [*(name for name in types if not name.startswith("hs_")), *_BOOKKEEPING]
        body: Json = {
            "idProperty": RECORD_ID_PROPERTY,
            "properties": wanted,
            "propertiesWithHistory": [],
            "inputs": [{"id": record_id} for record_id in dict.fromkeys(record_ids)],
        }
        answer = await self._api.call(f"{object_type}.read", "batch.read", address, body, writes=False)
        found, errors = answers.found_by_id(answer, wanted)
        if errors:
            raise bad_response(answer.operation, answer.status, writes=False)
        return {
            record_id: {name: comparable(types.get(name, ""), value) for name, value in values.items()}
            for record_id, values in found.items()
        }

    async def remove(self, object_type: str, record_ids: Sequence[str]) -> RemovalAnswer:
        """Archive at most 100 records, which can be restored at HubSpot for 90 days.

        Idempotent: yes. HubSpot archives by its own id, so the records are read by ours first: absent ones are gone.

        Raises:
            InvalidInput: `not_provisioned`.
            OutcomeUnknown: the answer was lost.

        Source: https://developers.hubspot.com/docs/api-reference/crm-objects-v3/batch/post-crm-v3-objects-objectType-
            batch-archive (v3).
        """
        held = await self.read(object_type, record_ids)
        if held:
            address, _ = await self._address(object_type)
            ids = [str(values["hs_object_id"]) for values in held.values()]
            await self._api.archive_batch(f"{object_type}.archive", address, ids)
        return RemovalAnswer(list(record_ids), {}, 1 + bool(held))

    async def _address(self, object_type: str) -> tuple[str, int]:
        """Return the type's name at this account and the calls it took; the schemas are read once."""
        if object_type not in CUSTOM_OBJECTS:
            return object_type, 0
        calls = 0
        async with self._reading:
            if object_type not in self._schemas:
                answer = await self._api.call("schemas.list", "schemas.get_all", writes=False)
                self._schemas = {str(schema.get("name")): schema for schema in answer.listed("results")}
                calls = 1
        schema = self._schemas.get(object_type)
        if schema is None:
            raise InvalidInput(
                "not_provisioned",
                f"The HubSpot account has no custom object {object_type}.",
                action="Provision the integration, then run the sync again.",
                system=SYSTEM,
                operation=f"{object_type}.resolve",
            )
        return object_type_id(schema), calls

    async def _types(self, object_type: str, address: str) -> Mapping[str, str]:
        """Return property -> HubSpot type of an object type, read once."""
        async with self._reading:
            if object_type not in self._properties:
                schema = self._schemas.get(object_type)
                if schema is None:
                    operation = f"{object_type}.properties.list"
                    answer = await self._api.call(operation, "properties.get_all", address, writes=False)
                    held = answer.listed("results")
                else:
                    held = schema.get("properties") or []
                self._properties[object_type] = {str(item.get("name")): str(item.get("type")) for item in held}
        return self._properties[object_type]

    async def _associate(
        self, target: str, object_type: str, records: Mapping[str, OutboundRecord], results: dict[str, RecordResult]
    ) -> int:
        """Associate the written records that name a `target`, correct `results`, and return the calls it took."""
        inputs = answers.association_inputs(target, records, results)
        if not inputs:
            return 0
        address, _ = await self._address(object_type)
        operation, body = f"{object_type}.associate", {"inputs": list(inputs.values())}
        try:
            answer = await self._api.call(
                operation, "associations.create_default", address, ASSOCIATION_TARGETS[target], body, writes=True
            )
        except Permanent as refused:
            for rejected in _refused_alone(refused, list(inputs)):
                result = results[rejected.record_id]
                results[rejected.record_id] = answers.refused_association(
                    target, result, rejected.status, rejected.reason
                )
        else:
            results.update(answers.unassociated(target, answer, inputs, results))
        return 1


def _most_calls(records: Iterable[OutboundRecord]) -> int:
    """Return the calls of one batch: the upsert, and one per kind of association that it carries."""
    given = {name for record in records for name in record.properties}
    return 1 + len(given & ASSOCIATION_TARGETS.keys())


def _refused_alone(refused: Permanent, record_ids: Sequence[str]) -> list[RecordResult]:
    """Return the rejection of a batch of one; a larger poisoned batch is the caller's to halve."""
    evidence = refused.detail.evidence
    if evidence.get("status") not in _POISON_STATUSES:
        raise refused
    if len(record_ids) == 1:
        reason = str(evidence.get("vendorCode") or f"status {evidence.get('status')}")
        return [RecordResult(record_id=record_ids[0], status=RecordStatus.REJECTED, reason=reason)]
    raise Permanent(
        "batch_refused",
        f"HubSpot refused {refused.detail.operation} for {len(record_ids)} records without naming the one at fault.",
        action="Send the halves of the batch until the record stands alone.",
        system=SYSTEM,
        operation=refused.detail.operation,
        evidence=evidence,
    ) from None
