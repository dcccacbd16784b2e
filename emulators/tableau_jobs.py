"""Tableau's background jobs, extract refresh tasks and schedules."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from xml.etree.ElementTree import Element

from starlette.requests import Request
from starlette.responses import Response

from emulators import tableau_schedule as schedules
from emulators.tableau_datasources import connection_of
from emulators.tableau_xml import BadRequestError, answer, child, node, parse

if TYPE_CHECKING:
    from emulators.tableau import Tableau

_SHAPES = {"RefreshExtract": "extractRefreshJob", "UpdateUploadedFile": "updateUploadedFileJob"}
_TASK_TYPES = {"FullRefresh", "IncrementalRefresh"}


def _instant(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Jobs:
    """Background jobs: stored with the moment from which they show their outcome."""

    def __init__(self, tableau: Tableau) -> None:
        """Work on one emulated Tableau."""
        self._tableau = tableau

    def add(
        self, job_type: str, source: Mapping[str, Any], *, note: str | None = None, seconds: float = 0.0
    ) -> dict[str, Any]:
        """Store a job about a data source; `note` makes it a failed one, `seconds` is how long it shows as running."""
        started = time.time()
        job = {
            "id": str(uuid4()),
            "type": job_type,
            "datasourceId": source["id"],
            "datasourceName": source["name"],
            "createdAt": _instant(started),
            "readyAt": started + seconds,
            "finishCode": 0 if note is None else 1,
            "note": note,
        }
        self._tableau.put("jobs", job["id"], job)
        return job

    def show(self, job: Mapping[str, Any], *, full: bool = False) -> Element:
        """The job's element; as the answer to a start it is brief, as the answer to a query it tells the outcome."""
        attributes = {"id": job["id"], "mode": "Asynchronous", "type": job["type"], "createdAt": job["createdAt"]}
        finished = job["readyAt"] <= time.time()
        if full:
            attributes |= {"progress": "100" if finished else "0", "startedAt": job["createdAt"]}
        if full and finished:
            attributes |= {"completedAt": _instant(job["readyAt"]), "finishCode": str(job["finishCode"])}
        shape = _SHAPES.get(job["type"])
        if shape is None:
            return node("job", attributes)
        inside = [node("datasource", {"id": job["datasourceId"], "name": job["datasourceName"]})]
        if job["type"] == "UpdateUploadedFile":
            connection = node("connectionLuid")
            connection.text = connection_of({"id": job["datasourceId"]})
            inside.append(connection)
        if full and job["note"]:
            notes = node("notes")
            notes.text = job["note"]
            inside.append(notes)
        return node("job", attributes, [node(shape, {}, inside)])

    async def one(self, request: Request) -> Response:
        """One job, by id."""
        job = self._tableau.get("jobs", request.path_params["job"])
        if job is None:
            raise BadRequestError(404, "404031", "Resource Not Found", "The job could not be found.")
        return answer(self.show(job, full=True))

    async def query(self, request: Request) -> Response:
        """A page of jobs."""
        shown = []
        for job in self._tableau.list("jobs"):
            finished = job["readyAt"] <= time.time()
            outcome = "Failed" if job["finishCode"] else "Success"
            attributes = {
                "id": job["id"],
                "status": outcome if finished else "InProgress",
                "createdAt": job["createdAt"],
                "startedAt": job["createdAt"],
                "endedAt": _instant(job["readyAt"]) if finished else None,
                "priority": 50,
                "jobType": job["type"],
            }
            shown.append(node("backgroundJob", attributes))
        return self._tableau.page(request, "backgroundJobs", shown)


class Tasks:
    """Extract refresh tasks (Tableau Cloud's carry their schedule) and Tableau Server's shared schedules."""

    def __init__(self, tableau: Tableau) -> None:
        """Work on one emulated Tableau."""
        self._tableau = tableau

    def _task(self, request: Request) -> dict[str, Any]:
        task = self._tableau.get("tasks", request.path_params["task"])
        if task is None:
            raise BadRequestError(404, "404025", "Resource Not Found", "The extract refresh task could not be found.")
        return task

    def _show(self, task: Mapping[str, Any]) -> Element:
        attributes = {"id": task["id"], "priority": 50, "consecutiveFailedCount": 0, "type": "RefreshExtractTask"}
        schedule = task["schedule"]
        if task.get("scheduleId"):
            schedule = self._tableau.get("schedules", task["scheduleId"]) or schedule
            inside = self.show_schedule(schedule)
        else:
            inside = schedules.element_of(schedule, {})
        target = node("datasource", {"id": task["datasourceId"]})
        return node("task", {}, [node("extractRefresh", attributes, [inside, target])])

    def _add(self, datasource_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        tableau = self._tableau
        if datasource_id is None or tableau.get("datasources", datasource_id) is None:
            raise BadRequestError(404, "404004", "Resource Not Found", "The data source could not be found.")
        task = {"id": str(uuid4()), "datasourceId": datasource_id, "createdAt": tableau.now(), **body}
        with tableau.transaction():
            tableau.put("tasks", task["id"], task)
            tableau.effect("task.created", "tasks", task["id"], task)
        return task

    async def create(self, request: Request) -> Response:
        """Create a refresh task together with its schedule."""
        root = parse(await request.body())
        refresh = child(root, "extractRefresh")
        if refresh.get("type") not in _TASK_TYPES:
            raise BadRequestError(400, "400000", "Bad Request", "The type must be FullRefresh or IncrementalRefresh.")
        recurrence = schedules.read(child(root, "schedule"))
        task = self._add(child(refresh, "datasource").get("id"), {"type": refresh.get("type"), "schedule": recurrence})
        attributes = {"createdAt": task["createdAt"], "updatedAt": task["createdAt"]}
        target = node("datasource", {"id": task["datasourceId"]})
        shown = node("extractRefresh", {"id": task["id"], "type": task["type"]}, [target])
        return answer(shown, schedules.element_of(recurrence, attributes))

    async def query(self, _request: Request) -> Response:
        """All refresh tasks."""
        return answer(node("tasks", {}, [self._show(task) for task in self._tableau.list("tasks")]))

    async def one(self, request: Request) -> Response:
        """One refresh task, by id."""
        return answer(self._show(self._task(request)))

    async def remove(self, request: Request) -> Response:
        """Delete a refresh task."""
        task = self._task(request)
        with self._tableau.transaction():
            self._tableau.delete("tasks", task["id"])
            self._tableau.effect("task.deleted", "tasks", task["id"], {"datasourceId": task["datasourceId"]})
        return Response(status_code=204)

    async def run(self, request: Request) -> Response:
        """Run a refresh task now."""
        source = self._tableau.get("datasources", self._task(request)["datasourceId"])
        if source is None:
            raise BadRequestError(404, "404004", "Resource Not Found", "The data source could not be found.")
        return answer(self._tableau.jobs.show(self._tableau.datasources.start_refresh(source)))

    def show_schedule(self, schedule: Mapping[str, Any]) -> Element:
        """A shared schedule's element."""
        keys = ("id", "name", "state", "priority", "createdAt", "updatedAt", "type", "executionOrder")
        return schedules.element_of(dict(schedule), {key: schedule[key] for key in keys})

    async def list_schedules(self, request: Request) -> Response:
        """A page of shared schedules."""
        shown = [self.show_schedule(schedule) for schedule in self._tableau.list("schedules")]
        return self._tableau.page(request, "schedules", shown)

    async def create_schedule(self, request: Request) -> Response:
        """Create a shared schedule; its name must be new."""
        tableau = self._tableau
        element = child(parse(await request.body()), "schedule")
        name = element.get("name")
        if not name:
            raise BadRequestError(400, "400003", "Bad Request", "The schedule has no name.")
        if tableau.find("schedules", "name", name) is not None:
            raise BadRequestError(409, "409021", "Resource Conflict", "A schedule with this name already exists.")
        now = tableau.now()
        schedule = {
            "id": str(uuid4()),
            "name": name,
            "state": "Active",
            "priority": int(element.get("priority") or 50),
            "type": element.get("type") or "Extract",
            "executionOrder": element.get("executionOrder") or "Parallel",
            "createdAt": now,
            "updatedAt": now,
            **schedules.read(element),
        }
        with tableau.transaction():
            tableau.put("schedules", schedule["id"], schedule)
            tableau.effect("schedule.created", "schedules", schedule["id"], schedule)
        return answer(self.show_schedule(schedule), status=201)

    async def add_to_schedule(self, request: Request) -> Response:
        """Let a shared schedule refresh a data source."""
        schedule = self._tableau.get("schedules", request.path_params["schedule"])
        if schedule is None:
            raise BadRequestError(404, "404009", "Resource Not Found", "The schedule could not be found.")
        source = child(parse(await request.body()), "task/extractRefresh/datasource")
        recurrence = {key: schedule[key] for key in ("frequency", "start", "end", "intervals")}
        body = {"type": "FullRefresh", "schedule": recurrence, "scheduleId": schedule["id"]}
        return answer(self._show(self._add(source.get("id"), body)))
