"""Bulk API 2.0 of the emulated Salesforce: ingest jobs that upsert or insert CSV rows."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from emulators.salesforce_org import USER_ID, Field, Org, Record, SalesforceError, spoil, stamp

if TYPE_CHECKING:
    from emulators.fault_book import Fault

JOBS, DATA = "bulk/jobs", "bulk/data"
MAX_CSV_BYTES = 150_000_000
_NULL = "#N/A"
_PUBLIC = (
    *("id", "operation", "object", "createdById", "createdDate", "systemModstamp", "state", "concurrencyMode"),
    *("contentType", "apiVersion", "lineEnding", "columnDelimiter", "externalIdFieldName", "contentUrl", "jobType"),
    *("numberRecordsProcessed", "numberRecordsFailed", "errorMessage"),
)


class BulkJobs:
    """The ingest jobs of one org; every method runs inside the caller's transaction.

    The work is done when a job is closed; the job then shows `UploadComplete`, `InProgress` once, and only then that
    it ended, so that a client has to poll.
    """

    def __init__(self, org: Org) -> None:
        """Work on the org's records."""
        self._org, self._emulator = org, org.emulator

    def create(self, body: Record, version: str) -> Record:
        """A new open job.

        Raises:
            SalesforceError: 400, the job cannot be done.
        """
        operation, sobject = body.get("operation"), str(body.get("object") or "")
        if operation not in {"upsert", "insert"}:
            raise SalesforceError(400, "INVALIDJOB", "This emulator knows upsert and insert.")
        if body.get("contentType", "CSV") != "CSV" or body.get("columnDelimiter", "COMMA") != "COMMA":
            raise SalesforceError(400, "INVALIDJOB", "This emulator reads CSV with commas.")
        try:
            self._org.fields(sobject)
            if operation == "upsert":
                self._org.external(sobject, str(body.get("externalIdFieldName") or ""))
        except SalesforceError as error:
            raise SalesforceError(400, "INVALIDJOB", error.message) from None
        job_id, now = f"750{self._emulator.next_id(JOBS):0>12}AAA", stamp()
        job = {
            "id": job_id,
            "operation": operation,
            "object": sobject,
            "createdById": USER_ID,
            "createdDate": now,
            "systemModstamp": now,
            "state": "Open",
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(version.removeprefix("v")),
            "lineEnding": body.get("lineEnding", "LF"),
            "columnDelimiter": "COMMA",
            "contentUrl": f"services/data/{version}/jobs/ingest/{job_id}/batches",
            "jobType": "V2Ingest",
        }
        if operation == "upsert":
            job["externalIdFieldName"] = body["externalIdFieldName"]
        self._emulator.put(JOBS, job_id, job)
        self._emulator.effect("job.created", "jobs", job_id, {"object": sobject, "operation": operation})
        return _shown(job)

    def upload(self, job_id: str, raw: bytes) -> None:
        """The rows of an open job; a job takes one upload.

        Raises:
            SalesforceError: 400 or 404.
        """
        job = self._job(job_id)
        if job["state"] != "Open" or self._emulator.get(DATA, job_id) is not None:
            raise SalesforceError(400, "INVALIDJOBSTATE", "The job takes no more data.")
        if len(raw) > MAX_CSV_BYTES:
            raise SalesforceError(400, "EXCEEDEDQUOTA", "The upload is larger than a job may be.")
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise SalesforceError(400, "INVALIDBATCH", "The upload is not UTF-8.") from None
        self._emulator.put(DATA, job_id, {"csv": text})

    def change(self, job_id: str, body: Record, fault: Fault | None) -> Record:
        """Close a job, which does its work, or abort it.

        Raises:
            SalesforceError: 400 or 404.
        """
        job, state = self._job(job_id), body.get("state")
        if job["state"] != "Open" or state not in {"UploadComplete", "Aborted"}:
            raise SalesforceError(400, "INVALIDJOBSTATE", f"A job in the state {job['state']} cannot become {state}.")
        job |= {"state": state, "systemModstamp": stamp(), "polls": 0}
        if state == "UploadComplete":
            job |= self._work(job, fault)
        self._emulator.put(JOBS, job_id, job)
        return _shown(job)

    def read(self, job_id: str) -> Record:
        """A job as it stands; the second look at a closed one shows how it ended."""
        job = self._job(job_id)
        if job["state"] in {"UploadComplete", "InProgress"}:
            job["state"] = "InProgress" if job["state"] == "UploadComplete" else job["ending"]
            self._emulator.put(JOBS, job_id, job)
        return _shown(job)

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended or is open."""
        self._job(job_id)
        self._emulator.delete(JOBS, job_id)
        self._emulator.delete(DATA, job_id)

    def results(self, job_id: str, kind: str) -> str:
        """One of the three result files as CSV; empty until the job has ended."""
        job = self._job(job_id)
        if job["state"] not in {"JobComplete", "Failed", "Aborted"}:
            raise SalesforceError(400, "INVALIDJOBSTATE", "The job has not ended.")
        columns = job.get("columns", [])
        extra = {"successfulResults": ["sf__Id", "sf__Created"], "failedResults": ["sf__Id", "sf__Error"]}.get(kind, [])
        return _csv([*extra, *columns], job.get(kind, []))

    def _job(self, job_id: str) -> Record:
        job = self._emulator.get(JOBS, job_id)
        if job is None:
            raise SalesforceError(404, "NOT_FOUND", "The requested resource does not exist")
        return job

    def _work(self, job: Record, fault: Fault | None) -> Record:
        held = self._emulator.get(DATA, job["id"]) or {"csv": ""}
        reader = csv.DictReader(io.StringIO(held["csv"]), strict=True)
        columns = list(reader.fieldnames or [])
        rows = list(reader)
        key = job.get("externalIdFieldName")
        wrong = [name for name in columns if name not in self._org.fields(job["object"])]
        if key and key not in columns:
            wrong.append(key)
        if wrong:
            message = f"InvalidBatch : Field name not found : {wrong[0]}"
            return {"ending": "Failed", "errorMessage": message, "columns": columns, "unprocessedRecords": rows}
        done: list[Record] = []
        failed: list[Record] = []
        for place, row in enumerate(rows):
            try:
                spoil(fault, place)
                record, created = self._apply(job["object"], key, row)
            except SalesforceError as error:
                words = f"{error.code}:{error.message}:{','.join(error.fields)}--"
                failed.append({"sf__Id": "", "sf__Error": words, **row})
            else:
                done.append({"sf__Id": record["Id"], "sf__Created": str(created).lower(), **row})
        counts = {"numberRecordsProcessed": len(rows), "numberRecordsFailed": len(failed)}
        results = {"successfulResults": done, "failedResults": failed}
        return {"ending": "JobComplete", "columns": columns, **counts, **results}

    def _apply(self, sobject: str, key: str | None, row: dict[str, str]) -> tuple[Record, bool]:
        fields = self._org.fields(sobject)
        values = {name: _typed(fields[name], text) for name, text in row.items() if text != ""}
        if key is None:
            return self._org.create(sobject, values), True
        return self._org.upsert(sobject, key, str(values.pop(key, "")), values)


def _typed(field: Field, text: str) -> Any:
    if text == _NULL:
        return None
    if field.type in {"double", "currency"}:
        try:
            return float(text)
        except ValueError:
            return text
    return text


def _shown(job: Record) -> Record:
    return {name: job[name] for name in _PUBLIC if name in job}


def _csv(columns: list[str], rows: Iterable[Record]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
