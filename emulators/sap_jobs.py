"""The import jobs of the emulated SAP Analytics Cloud, and the facts they write."""

from __future__ import annotations

from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from emulators.bearer_edge import Answer, Body, Call, RefusalError
from emulators.core import Emulator, now_iso
from emulators.sap_models import objection

_METHODS = ("Update", "Append", "CleanAndReplace")
_DEFAULT_VERSION = "public.Actual"
_NUMBERS = {400: 1006, 403: 1101, 404: 1603}


def refusal(status: int, number: int = 0, message: str = "") -> RefusalError:
    """The vendor's error of a status, with its number at the end of the sentence."""
    sentence = f"{message or 'The request could not be answered.'} [{number or _NUMBERS.get(status, 1604)}]"
    return RefusalError(status, {"error": {"code": str(uuid4()), "message": sentence}})


class Jobs:
    """The models of a tenant and the jobs that write into them."""

    def __init__(self, emulator: Emulator) -> None:
        """Serve over the emulator's state."""
        self._emulator = emulator

    def list_models(self, call: Call) -> Answer:
        """GET of the models that take imports."""
        root = str(call.request.url)
        names = ("modelID", "modelName", "description")
        models = self._emulator.list("models")
        return 200, {"models": [{name: model[name] for name in names} | {"modelURL": root} for model in models]}

    def read_metadata(self, call: Call) -> Answer:
        """GET of a model's columns."""
        columns = self._model(call)["columns"]
        return 200, {"factData": {"keys": [one["columnName"] for one in columns if one["isKey"]], "columns": columns}}

    def create_job(self, call: Call) -> Answer:
        """POST of a job."""
        model, body = self._model(call), call.body
        if call.path("kind") != "factData":
            raise refusal(400, 1301, "Invalid import type.")
        settings = {"importMethod": "Update", "executeWithFailedRows": True, "ignoreAdditionalColumns": False}
        settings |= body.get("JobSettings", {}) if isinstance(body, dict) else {}
        if settings["importMethod"] not in _METHODS:
            raise refusal(400)
        job: Body = {
            "jobID": str(uuid4()),
            "modelID": model["modelID"],
            "status": "READY_FOR_DATA",
            "importType": "factData",
            "creationTime": now_iso(),
            "JobSettings": settings,
            "rows": 0,
            "failed": 0,
        }
        self._emulator.put("jobs", job["jobID"], job)
        return 201, {"jobID": job["jobID"], "jobURL": f"{call.request.base_url}api/v1/dataimport/jobs/{job['jobID']}"}

    def upload(self, call: Call) -> Answer:
        """POST of rows: those that lack a dimension or have a column too many are not kept."""
        job, body = self._job(call, "READY_FOR_DATA", "READY_FOR_WRITE"), call.body
        rows = body.get("Data") if isinstance(body, dict) else None
        if not isinstance(rows, list):
            raise refusal(400, 1202, "Request body data incorrect or missing.")
        columns = self._columns(job)
        keys = [name for name, one in columns.items() if one["isKey"]]
        defaults = {"Version": _DEFAULT_VERSION, **body.get("DefaultValues", {})}
        kept, failed = list[Body](), list[Body]()
        for row in rows:
            whole = {**defaults, **row}
            missing = [name for name in keys if whole.get(name) in {None, ""}]
            reasons = ["Row has more column(s) than expected"] if whole.keys() - columns.keys() else []
            reasons += [f"Row is missing values for primary key(s) - {', '.join(missing)}"] if missing else []
            if reasons:
                failed.append({"row": row, "reason": ", ".join(reasons)})
            else:
                kept.append(whole)
        for row in kept:
            self._emulator.put("staged", _place(job, row, keys), {"job": job["jobID"], "row": row})
        job |= {"status": "READY_FOR_WRITE", "rows": len(self._staged(job))}
        self._emulator.put("jobs", job["jobID"], job)
        return 201, {
            "totalNumberRowsInCurrentRequest": len(rows),
            "upsertedNumberRows": len(kept),
            "failedNumberRows": len(failed),
            "failedRows": failed,
            "totalNumberRowsInJob": str(job["rows"]),
        }

    def validate(self, call: Call) -> Answer:
        """POST that holds the rows against the model."""
        job = self._job(call, "READY_FOR_WRITE")
        job["failed"] = len(self._invalid(job))
        self._emulator.put("jobs", job["jobID"], job)
        return 201, self._counted(job)

    def list_invalid_rows(self, call: Call) -> Answer:
        """GET of the rows that the model does not take."""
        return 200, {"failedRows": self._invalid(self._job(call))}

    def run(self, call: Call) -> Answer:
        """POST that writes the rows into the model."""
        job = self._job(call, "READY_FOR_WRITE")
        invalid = self._invalid(job)
        if invalid and not job["JobSettings"]["executeWithFailedRows"]:
            raise refusal(400, 2903, "One or more failed rows detected. Write cancelled")
        if len(invalid) == job["rows"]:
            raise refusal(400, 1033, "Every row in temporary storage is invalid.")
        ahead = self._emulator.get("runs", "next") or {}
        self._emulator.delete("runs", "next")
        job |= {"status": "PROCESSING", "looks": ahead.get("looks", 0), "ends": ahead.get("status", "COMPLETED")}
        job["failed"] = len(invalid)
        self._emulator.put("jobs", job["jobID"], job)
        if job["ends"] == "COMPLETED":
            self._write(job)
        return 201, self._counted(job)

    def read_status(self, call: Call) -> Answer:
        """GET of a job's state."""
        job = self._job(call)
        if job["status"] == "PROCESSING":
            job = {**job, "looks": job["looks"] - 1} if job["looks"] else {**job, "status": job["ends"]}
            self._emulator.put("jobs", job["jobID"], job)
        counts = {"totalNumberRowsInJob": str(job["rows"]), "failedNumberRows": str(job["failed"])}
        said = f"Job {job['jobID']} for modelID {job['modelID']} is {job['status']}"
        return 200, {"jobStatus": job["status"], "jobStatusDescription": said, "additionalInformation": counts}

    def delete_job(self, call: Call) -> Answer:
        """DELETE of a job and its rows."""
        job = self._job(call)
        keys = [name for name, one in self._columns(job).items() if one["isKey"]]
        for row in self._staged(job):
            self._emulator.delete("staged", _place(job, row, keys))
        self._emulator.delete("jobs", job["jobID"])
        return 204, None

    async def set_run(self, request: Request) -> Response:
        """Say how the next run goes."""
        given = await request.json()
        with self._emulator.transaction():
            self._emulator.put("runs", "next", given)
        return JSONResponse(given)

    def _write(self, job: Body) -> None:
        settings, columns = job["JobSettings"], self._columns(job)
        rows = [row for row in self._staged(job) if not objection(row, columns)]
        scope = sorted({"Version", *settings.get("dimensionScope", [])})
        held = self._emulator.find_all("facts", "model", job["modelID"])
        if settings["importMethod"] == "CleanAndReplace":
            cleaned = {tuple(row[name] for name in scope) for row in rows}
            for fact in held:
                if tuple(fact["row"][name] for name in scope) in cleaned:
                    self._emulator.delete("facts", fact["id"])
        keys = [name for name, one in columns.items() if one["isKey"]]
        for row in rows:
            place = "/".join([job["modelID"], *(str(row[name]) for name in keys)])
            before = self._emulator.get("facts", place) if settings["importMethod"] == "Append" else None
            fact = row if before is None else _added(before["row"], row, columns)
            self._emulator.put("facts", place, {"id": place, "model": job["modelID"], "row": fact})
        written = {"importMethod": settings["importMethod"], "rows": len(rows), "model": job["modelID"]}
        self._emulator.effect("facts.imported", "models", job["modelID"], written)

    def _counted(self, job: Body) -> Body:
        counts = {"totalNumberRowsInJob": job["rows"], "failedNumberRows": job["failed"]}
        return {"jobStatus": job["status"], **counts}

    def _invalid(self, job: Body) -> list[Body]:
        columns = self._columns(job)
        judged = [(row, objection(row, columns)) for row in self._staged(job)]
        return [{**_texts(row), "_REJECTION_REASON": reason} for row, reason in judged if reason]

    def _staged(self, job: Body) -> list[Body]:
        return [one["row"] for one in self._emulator.find_all("staged", "job", job["jobID"])]

    def _columns(self, job: Body) -> dict[str, Body]:
        model = self._emulator.get("models", job["modelID"]) or {"columns": []}
        return {one["columnName"]: one for one in model["columns"]}

    def _model(self, call: Call) -> Body:
        found = self._emulator.get("models", call.path("model"))
        if found is None:
            raise refusal(404, 1704, "Model does not exist.")
        return found

    def _job(self, call: Call, *states: str) -> Body:
        found = self._emulator.get("jobs", call.path("job"))
        if found is None:
            raise refusal(404, 1603, "Job ID not found.")
        if states and found["status"] not in states:
            raise refusal(400, 1001, "Request job action is not supported.")
        return found


def _added(before: Body, row: Body, columns: dict[str, Body]) -> Body:
    measures = [name for name, one in columns.items() if one["columnDataType"] != "string"]
    return {**row, **{name: (before.get(name) or 0) + (row.get(name) or 0) for name in measures}}


def _texts(row: Body) -> Body:
    return {name: "" if value is None else str(value) for name, value in row.items()}


def _place(job: Body, row: Body, keys: list[str]) -> str:
    return "/".join([job["jobID"], *(str(row[name]) for name in keys)])
