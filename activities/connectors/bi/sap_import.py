"""Requests to SAP Analytics Cloud's Data Import Service: models, and the jobs that bring facts into them."""

from __future__ import annotations

import json
from http import HTTPStatus
from urllib.parse import quote

from pydantic import JsonValue

from activities.transport.bounds import AnswerTooLargeError, parse_json
from activities.transport.client import Answer, JsonClient
from contracts.base import JsonObject
from contracts.errors import InvalidInput, OutcomeUnknown, Permanent, Transient

SYSTEM = "sap_analytics_cloud"
_ROOT = "/api/v1/dataimport"
_CSRF = "x-csrf-token"
_JSON = {"Content-Type": "application/json"}


class ImportService:
    """The service, as one publication uses it; `calls` counts its requests.

    Every request that changes something carries a CSRF token of the session, whose cookies the client keeps.

    Args:
        http: the connection's client.

    Source: SAP Analytics Cloud REST API, "api/v1/dataimport" and "Get a Valid CSRF Token for POST and DELETE
        Requests", https://help.sap.com/docs/SAP_ANALYTICS_CLOUD/14cac91febef464dbb1efce20e3f1613. That a token that is
        no longer valid is refused with 403 is from public clients.
    """

    def __init__(self, http: JsonClient) -> None:
        self._http = http
        self._csrf = ""
        self.calls = 0

    async def models(self) -> list[JsonObject]:
        """Return the models that facts can be imported into."""
        answer = await self._read("/models", "models.list")
        models = answer.get("models") if isinstance(answer, dict) else None
        if not isinstance(models, list):
            raise bad_response("models.list")
        return [model for model in models if isinstance(model, dict)]

    async def model_id(self, name: str) -> str:
        """Return the id of the model of that name or id.

        Raises:
            InvalidInput: `model_missing`, or `name_not_unique`.
        """
        models = await self.models()
        found = [str(one.get("modelID")) for one in models if name in {one.get("modelName"), one.get("modelID")}]
        if len(found) == 1:
            return found[0]
        raise InvalidInput(
            "name_not_unique" if found else "model_missing",
            f"SAP Analytics Cloud has {len(found) or 'no'} models {name!r} that data can be imported into.",
            action="Create the model, or allow the import in its preferences, or name one by its id in targetObject.",
            system=SYSTEM,
        )

    async def fact_columns(self, model_id: str) -> JsonObject:
        """Return how a model takes facts: `keys` and `columns`."""
        answer = await self._read(f"/models/{quote(model_id, safe='')}/metadata", "model.read")
        facts = answer.get("factData") if isinstance(answer, dict) else None
        if not isinstance(facts, dict):
            raise bad_response("model.read")
        return facts

    async def begin(self, model_id: str, settings: JsonObject) -> str:
        """Create an import job for facts and return its id; it changes nothing until it is run."""
        path, operation = f"/models/{quote(model_id, safe='')}/factData", "job.create"
        answer = await self._write(path, operation, {"JobSettings": settings})
        job_id = answer.get("jobID") or answer.get("JobID")
        if not isinstance(job_id, str):
            raise bad_response(operation, writes=True)
        return job_id

    async def upload(self, job_id: str, body: bytes) -> JsonObject:
        """Add rows to a job; the answer tells how many, and which it does not take."""
        return await self._write(_job(job_id), "job.upload", body)

    async def validate(self, job_id: str) -> JsonObject:
        """Have a job's rows held against the model."""
        return await self._write(f"{_job(job_id)}/validate", "job.validate", {})

    async def invalid_rows(self, job_id: str) -> list[JsonObject]:
        """Return the rows that a model does not take, each with `_REJECTION_REASON`."""
        answer = await self._read(f"{_job(job_id)}/invalidRows", "job.rejections")
        rows = answer.get("failedRows") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise bad_response("job.rejections")
        return [row for row in rows if isinstance(row, dict)]

    async def run(self, job_id: str) -> None:
        """Have a job write its rows into the model."""
        await self._write(f"{_job(job_id)}/run", "job.run", {})

    async def status(self, job_id: str) -> JsonObject | None:
        """Return how far a job is, None when there is no such job."""
        try:
            answer = await self._read(f"{_job(job_id)}/status", "job.status")
        except Permanent as error:
            if error.detail.evidence.get("status") == HTTPStatus.NOT_FOUND:
                return None
            raise
        if not isinstance(answer, dict):
            raise bad_response("job.status")
        return answer

    async def delete(self, job_id: str) -> None:
        """Delete a job with its rows. Idempotent: yes."""
        try:
            await self._admitted("DELETE", _job(job_id), "job.delete", None)
        except Permanent as error:
            if error.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
                raise

    async def _read(self, path: str, operation: str) -> JsonValue:
        self.calls += 1
        return await self._http.request_json("GET", f"{_ROOT}{path}", operation=operation)

    async def _write(self, path: str, operation: str, body: JsonObject | bytes) -> JsonObject:
        content = body if isinstance(body, bytes) else _encoded(body)
        answer = await self._admitted("POST", path, operation, content)
        try:
            parsed = parse_json(answer.body)
        except (ValueError, AnswerTooLargeError):
            raise bad_response(operation, writes=True) from None
        if not isinstance(parsed, dict):
            raise bad_response(operation, writes=True)
        return parsed

    async def _admitted(self, method: str, path: str, operation: str, content: bytes | None) -> Answer:
        """Make a request with a CSRF token; one that is refused has done nothing, and is made with a new token."""
        if self._csrf:
            try:
                return await self._send(method, path, operation, content)
            except Permanent as error:
                if error.detail.evidence.get("status") != HTTPStatus.FORBIDDEN:
                    raise
        self.calls += 1
        fetched = await self._http.request("GET", "/api/v1/csrf", operation="csrf.fetch", headers={_CSRF: "fetch"})
        self._csrf = fetched.headers.get(_CSRF, "")
        return await self._send(method, path, operation, content)

    async def _send(self, method: str, path: str, operation: str, content: bytes | None) -> Answer:
        self.calls += 1
        return await self._http.request(
            method,
            f"{_ROOT}{path}",
            operation=operation,
            content=content,
            headers={_CSRF: self._csrf, **(_JSON if content is not None else {})},
            writes=True,
        )


def bad_response(operation: str, *, writes: bool = False) -> Transient:
    """Return the error of an answer that is not what the vendor documents."""
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_bad_response",
        f"SAP Analytics Cloud answered {operation} without what it documents.",
        system=SYSTEM,
        operation=operation,
    )


def _encoded(body: JsonObject) -> bytes:
    return json.dumps(body).encode()


def _job(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"
