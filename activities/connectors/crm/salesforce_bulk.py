"""Thousands of records in one Salesforce job: Bulk API 2.0, upserting by external id."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from http import HTTPStatus

from pydantic import JsonValue

from activities.connectors.crm.salesforce_api import SYSTEM, Answer, SalesforceApi, word
from activities.connectors.crm.salesforce_records import refusal
from activities.connectors.crm.salesforce_schema import NO_VALUE, checked_name
from activities.ports.records import BulkStage, OutboundRecord, UpsertAnswer
from contracts.errors import Owner, Permanent
from contracts.sync import RecordResult, RecordStatus

_STAGES = {
    "Open": BulkStage.OPEN,
    "UploadComplete": BulkStage.WORKING,
    "InProgress": BulkStage.WORKING,
    "JobComplete": BulkStage.ENDED,
    "Failed": BulkStage.ENDED,
    "Aborted": BulkStage.GONE,
}
_RESULT_CALLS = 4


class BulkRecords:
    """The ingest jobs of one org.

    Args:
        api: the road to the org.
        id_field: the external id field that holds our record id.

    Source: https://developer.salesforce.com/docs/platform/api-asynch/guide/bulk-api-2-0-ingest.html (v67.0).
    """

    def __init__(self, api: SalesforceApi, id_field: str) -> None:
        self._api = api
        self._id_field = id_field

    async def begin(self, object_type: str) -> str:
        """Open a job and return its id; nothing is written until it is loaded."""
        body: dict[str, JsonValue] = {
            "object": checked_name(object_type),
            "operation": "upsert",
            "externalIdFieldName": self._id_field,
            "contentType": "CSV",
            "lineEnding": "LF",
        }
        answer = await self._api.call("bulk.begin", "POST", "jobs/ingest", body=body, writes=True)
        return answer.text("id")

    async def load(self, job_id: str, records: Sequence[OutboundRecord]) -> None:
        """Upload prepared records to an open job and hand it over for processing; two calls."""
        await self._api.call("bulk.upload", "PUT", f"jobs/ingest/{job_id}/batches", csv=_rows(records), writes=True)
        await self._close(job_id, "UploadComplete")

    async def stage(self, job_id: str) -> BulkStage:
        """Say how far a job is; one that was aborted, or forgotten after seven days, is gone."""
        try:
            answer = await self._api.call("bulk.look", "GET", f"jobs/ingest/{job_id}", writes=False)
        except Permanent as refused:
            if refused.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
                raise
            return BulkStage.GONE
        stage = _STAGES.get(answer.text("state"))
        if stage is None:
            raise answer.bad()
        return stage

    async def results(self, job_id: str) -> UpsertAnswer:
        """Return what became of each record of an ended job, from its three result files.

        Raises:
            Permanent: `bulk_refused`; the job failed as a whole and no record was looked at.
        """
        job = await self._api.call("bulk.look", "GET", f"jobs/ingest/{job_id}", writes=False)
        if job.text("state") == "Failed" and not job.body.get("numberRecordsProcessed"):
            raise _refused(job_id)
        found = [
            *[_stands(row, self._id_field) for row in await self._file(job_id, "successfulResults")],
            *[_failed(row, self._id_field) for row in await self._file(job_id, "failedResults")],
            *[_unseen(row, self._id_field) for row in await self._file(job_id, "unprocessedRecords")],
        ]
        return UpsertAnswer(found, _RESULT_CALLS)

    async def abandon(self, job_id: str) -> None:
        """Abort an open job, so that it is not left behind."""
        await self._close(job_id, "Aborted")

    async def _close(self, job_id: str, state: str) -> None:
        await self._api.call("bulk.close", "PATCH", f"jobs/ingest/{job_id}", body={"state": state}, writes=True)

    async def _file(self, job_id: str, kind: str) -> list[dict[str, str]]:
        answer = await self._api.call(
            f"bulk.{kind}", "GET", f"jobs/ingest/{job_id}/{kind}", writes=False, reads_csv=True
        )
        return list(_parsed(answer, self._id_field))


def _rows(records: Sequence[OutboundRecord]) -> bytes:
    names = list(dict.fromkeys(name for record in records for name in record.properties))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    for record in records:
        writer.writerow([_cell(record, name) for name in names])
    return buffer.getvalue().encode()


def _cell(record: OutboundRecord, name: str) -> str:
    if name not in record.properties:
        # An empty cell leaves the field as it is.
        return ""
    value = record.properties[name]
    if value is None:
        return NO_VALUE
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parsed(answer: Answer, id_field: str) -> Iterator[dict[str, str]]:
    reader = csv.DictReader(io.StringIO(str(answer.body), newline=""))
    for row in reader:
        if id_field not in row or None in row or None in row.values():
            raise answer.bad()
        yield row


def _stands(row: dict[str, str], id_field: str) -> RecordResult:
    status = RecordStatus.CREATED if row.get("sf__Created", "").lower() == "true" else RecordStatus.UPDATED
    return RecordResult(record_id=row[id_field], status=status, remote_id=row.get("sf__Id") or None)


def _failed(row: dict[str, str], id_field: str) -> RecordResult:
    # The column reads `CODE:sentence:fields--`; the code alone is a fixed word.
    code = word(row.get("sf__Error", "").partition(":")[0])
    return refusal(row[id_field], [code or "UNKNOWN"])


def _unseen(row: dict[str, str], id_field: str) -> RecordResult:
    reason = "Salesforce ended the job before this record."
    return RecordResult(record_id=row[id_field], status=RecordStatus.HELD, reason=reason)


def _refused(job_id: str) -> Permanent:
    return Permanent(
        "bulk_refused",
        "Salesforce refused a bulk job as a whole; none of its records was written.",
        owner=Owner.TENANT,
        action="Find the job in Setup, Bulk Data Load Jobs; compare the mapping's targets with the object's fields.",
        system=SYSTEM,
        operation="bulk.results",
        evidence={"job": job_id},
    )
