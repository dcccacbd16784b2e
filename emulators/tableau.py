"""The emulated Tableau: sign-in, sites and projects, and the routes of its REST API."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_URL, uuid4, uuid5
from xml.etree.ElementTree import Element

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, Fault, State
from emulators.tableau_datasources import Datasources
from emulators.tableau_files import Files
from emulators.tableau_hyper import HyperEngine
from emulators.tableau_jobs import Jobs, Tasks
from emulators.tableau_xml import BadRequestError, answer, child, failure, node, parse

API_VERSION = "3.27"
PAT_NAME, PAT_SECRET, SITE = "sandbox-pat", "sandbox-tableau-secret", "lumen"
_MAX_PAGE = 1000
_SUMMARIES = {400: "Bad Request", 401: "Unauthorized Access", 403: "Forbidden", 404: "Resource Not Found"}

Handler = Callable[[Request], Awaitable[Response]]


def _fixed_id(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"tableau/{name}"))


class Tableau(Emulator):
    """One Tableau Cloud site."""

    site_id = _fixed_id("site/lumen")
    user_id = _fixed_id("user/sandbox")

    def __init__(self, state: State) -> None:
        """Attach to the state; published files live beside its database."""
        self.files = Files(state)
        self.engine = HyperEngine()
        self.jobs = Jobs(self)
        self.tasks = Tasks(self)
        self.datasources = Datasources(self)
        super().__init__("tableau", state, routes=lambda _emulator: self._table(), seed=_seed, render_error=_error)
        self.on_reset.append(self.files.clear)
        self.shutdown.append(self._stop)

    async def _stop(self) -> None:
        self.engine.close()

    @staticmethod
    def now() -> str:
        """The current time as Tableau prints it: UTC, whole seconds."""
        return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _table(self) -> list[BaseRoute]:
        api, site = "/api/{version}", "/api/{version}/sites/{site}"
        source, task = f"{site}/datasources/{{datasource}}", f"{site}/tasks/extractRefreshes"
        data = self.datasources
        return [
            Route(f"{api}/serverInfo", self._open(self._server_info, "serverInfo")),
            Route(f"{api}/serverinfo", self._open(self._server_info, "serverInfo")),
            Route(f"{api}/auth/signin", self._open(self._sign_in, "signIn"), methods=["POST"]),
            self._route(f"{api}/auth/signout", "POST", self._sign_out, "signOut"),
            self._route(f"{api}/schedules", "GET", self.tasks.list_schedules, "querySchedules"),
            self._route(f"{api}/schedules", "POST", self.tasks.create_schedule, "createSchedule"),
            self._route(
                f"{site}/schedules/{{schedule}}/datasources", "PUT", self.tasks.add_to_schedule, "addToSchedule"
            ),
            self._route(f"{site}/projects", "GET", self._projects, "queryProjects"),
            self._route(f"{site}/projects", "POST", self._create_project, "createProject"),
            self._route(f"{site}/fileUploads", "POST", data.start_upload, "initiateFileUpload"),
            self._route(f"{site}/fileUploads/{{session}}", "PUT", data.append_upload, "appendToFileUpload"),
            self._route(f"{site}/datasources", "GET", data.query, "queryDatasources"),
            self._route(f"{site}/datasources", "POST", data.publish, "publishDatasource"),
            self._route(source, "GET", data.one, "queryDatasource"),
            self._route(source, "DELETE", data.remove, "deleteDatasource"),
            self._route(f"{source}/content", "GET", data.download, "downloadDatasource"),
            self._route(f"{source}/connections", "GET", data.connections, "queryConnections"),
            self._route(f"{source}/data", "PATCH", data.update_data, "updateHyperData"),
            self._route(f"{source}/connections/{{connection}}/data", "PATCH", data.update_data, "updateHyperData"),
            self._route(f"{source}/refresh", "POST", data.refresh, "refreshDatasource"),
            self._route(task, "GET", self.tasks.query, "listExtractRefreshTasks"),
            self._route(task, "POST", self.tasks.create, "createExtractRefreshTask"),
            self._route(f"{task}/{{task}}", "GET", self.tasks.one, "getExtractRefreshTask"),
            self._route(f"{task}/{{task}}", "DELETE", self.tasks.remove, "deleteExtractRefreshTask"),
            self._route(f"{task}/{{task}}/runNow", "POST", self.tasks.run, "runExtractRefreshTask"),
            self._route(f"{site}/jobs", "GET", self.jobs.query, "queryJobs"),
            self._route(f"{site}/jobs/{{job}}", "GET", self.jobs.one, "queryJob"),
            Route("/{rest:path}", self._unknown, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
        ]

    def _open(self, handler: Handler, operation: str) -> Handler:
        async def respond(request: Request) -> Response:
            self.name_operation(request, operation)
            try:
                return await handler(request)
            except BadRequestError as error:
                return error.response()

        return respond

    def _route(self, path: str, method: str, handler: Handler, operation: str) -> Route:
        async def signed_in(request: Request) -> Response:
            self._authenticate(request)
            return await handler(request)

        return Route(path, self._open(signed_in, operation), methods=[method])

    def _authenticate(self, request: Request) -> None:
        token = request.headers.get("X-Tableau-Auth", "")
        if self.get("sessions", token) is not None and self.fault_active("expire_token", request) is not None:
            self.delete("sessions", token)
        if self.get("sessions", token) is None:
            raise BadRequestError(
                401, "401002", "Unauthorized Access", "Invalid authentication credentials were provided."
            )
        if request.path_params.get("site", self.site_id) != self.site_id:
            raise BadRequestError(404, "404000", "Resource Not Found", "The site could not be found.")

    async def _unknown(self, request: Request) -> Response:
        detail = f"Unknown resource '/{request.path_params['rest']}' specified in URI."
        return failure(404, "404003", "Resource Not Found", detail)

    async def _server_info(self, _request: Request) -> Response:
        product, version = node("productVersion", {"build": "20263.26.0901.1200"}), node("restApiVersion")
        product.text, version.text = "2026.3.0", API_VERSION
        return answer(node("serverInfo", {}, [product, version]))

    async def _sign_in(self, request: Request) -> Response:
        credentials = child(parse(await request.body()), "credentials")
        site = credentials.find("site")
        given = credentials.get("personalAccessTokenSecret") or ""
        good = (
            credentials.get("personalAccessTokenName") == PAT_NAME
            and hmac.compare_digest(given.encode(), PAT_SECRET.encode())
            and site is not None
            and site.get("contentUrl") == SITE
            and self.fault_active("revoke_token", request) is None
        )
        if not good:
            raise BadRequestError(401, "401001", "Signin Error", "Error signing in to Tableau Server")
        token = f"{uuid4().hex[:22]}|{uuid4().hex}|{self.site_id}"
        with self.transaction():
            # One personal access token carries one session: signing in again ends the one before.
            for session in self.list("sessions"):
                self.delete("sessions", session["token"])
            self.put("sessions", token, {"token": token, "createdAt": self.now()})
        inside = [node("site", {"id": self.site_id, "contentUrl": SITE}), node("user", {"id": self.user_id})]
        return answer(node("credentials", {"token": token, "estimatedTimeToExpiration": "120:00:00"}, inside))

    async def _sign_out(self, request: Request) -> Response:
        self.delete("sessions", request.headers["X-Tableau-Auth"])
        return Response(status_code=204)

    def page(self, request: Request, name: str, items: Sequence[Element]) -> Response:
        """One page of a listing, by `pageNumber` and `pageSize`.

        Raises:
            BadRequestError: A page number or size out of range.
        """
        number, size = request.query_params.get("pageNumber", "1"), request.query_params.get("pageSize", "100")
        if not number.isdecimal() or int(number) < 1:
            raise BadRequestError(400, "400006", "Invalid page number", "The page number must be a positive integer.")
        if not size.isdecimal() or not 1 <= int(size) <= _MAX_PAGE:
            raise BadRequestError(400, "400007", "Invalid page size", f"The page size must be from 1 to {_MAX_PAGE}.")
        start = (int(number) - 1) * int(size)
        if start and start >= len(items):
            raise BadRequestError(400, "400006", "Invalid page number", "The page number is beyond the last page.")
        counts = {"pageNumber": number, "pageSize": size, "totalAvailable": len(items)}
        return answer(node("pagination", counts), node(name, {}, items[start : start + int(size)]))

    def project(self, project_id: str | None) -> dict[str, Any]:
        """A project by id; the default one when none is named.

        Raises:
            BadRequestError: There is no such project.
        """
        project = self.get("projects", project_id or _fixed_id("project/default"))
        if project is None:
            raise BadRequestError(404, "404005", "Resource Not Found", "The project could not be found.")
        return project

    def _show_project(self, project: dict[str, Any]) -> Element:
        attributes = {**project, "topLevelProject": project.get("parentProjectId") is None}
        return node("project", attributes, [node("owner", {"id": self.user_id})])

    async def _projects(self, request: Request) -> Response:
        found = self.list("projects")
        for text in filter(None, request.query_params.get("filter", "").split(",")):
            field, _, value = text.partition(":eq:")
            if field not in {"name", "parentProjectId"}:
                raise BadRequestError(400, "400006", "Invalid filter", "Projects are filtered by name:eq: here.")
            found = [project for project in found if project.get(field) == value]
        return self.page(request, "projects", [self._show_project(project) for project in found])

    async def _create_project(self, request: Request) -> Response:
        element = child(parse(await request.body()), "project")
        name, parent = element.get("name"), element.get("parentProjectId")
        if not name:
            raise BadRequestError(400, "400003", "Bad Request", "The project has no name.")
        if parent is not None:
            self.project(parent)
        same = self.find_all("projects", "name", name)
        if any(project.get("parentProjectId") == parent for project in same):
            raise BadRequestError(409, "409006", "Resource Conflict", "A project with this name already exists.")
        project = _project(str(uuid4()), name, element.get("description") or "", self.now())
        project |= {"parentProjectId": parent} if parent else {}
        with self.transaction():
            self.put("projects", project["id"], project)
            self.effect("project.created", "projects", project["id"], project)
        return answer(self._show_project(project), status=201)


def _project(project_id: str, name: str, description: str, now: str) -> dict[str, Any]:
    return {
        "id": project_id,
        "name": name,
        "description": description,
        "contentPermissions": "ManagedByOwner",
        "createdAt": now,
        "updatedAt": now,
    }


def _seed(emulator: Emulator) -> None:
    described = {"default": "The default project that was automatically created by Tableau.", "WedSync": ""}
    for name, description in described.items():
        project_id = _fixed_id(f"project/{name}")
        emulator.put("projects", project_id, _project(project_id, name, description, Tableau.now()))


def _error(status: int, _fault: Fault | None) -> Response:
    summary = _SUMMARIES.get(status, "Too Many Requests" if status == 429 else "Internal Server Error")
    code = "401002" if status == 401 else f"{status}000"
    return failure(status, code, summary, "The server could not process this request.")


def build(state: State) -> Emulator:
    """The emulated Tableau."""
    return Tableau(state)
