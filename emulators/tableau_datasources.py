"""Tableau's data sources: uploads, publishing, queries, downloads, incremental updates and refreshes."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4
from xml.etree.ElementTree import Element

from starlette.requests import Request
from starlette.responses import Response

from emulators.tableau_files import data_of, digest, package
from emulators.tableau_hyper import UpdateRefusedError
from emulators.tableau_xml import BadRequestError, answer, child, node, parse, parts

if TYPE_CHECKING:
    from emulators.tableau import Tableau

REFRESH_S = 0.3
"""How long a refresh stays in progress; a second one in that time is refused as a duplicate."""
_FILTERS = re.compile(r",(?=\w+:\w+:)")


def show(source: Mapping[str, Any], owner: str) -> Element:
    """A data source's element."""
    attributes = {
        **{key: source[key] for key in ("id", "name", "contentUrl", "description", "createdAt", "updatedAt", "size")},
        "type": "hyper",
        "encryptExtracts": False,
        "hasExtracts": True,
        "isCertified": False,
        "useRemoteQueryAgent": False,
    }
    inside = [node("project", {"id": source["projectId"], "name": source["project"]}), node("owner", {"id": owner})]
    return node("datasource", attributes, [*inside, node("tags")])


class Datasources:
    """Handlers of the data source endpoints."""

    def __init__(self, tableau: Tableau) -> None:
        """Work on one emulated Tableau."""
        self._tableau = tableau
        self._files = tableau.files
        self._engine = tableau.engine
        self._changing = asyncio.Lock()

    def _source(self, request: Request) -> dict[str, Any]:
        source = self._tableau.get("datasources", request.path_params["datasource"])
        if source is None:
            raise BadRequestError(404, "404004", "Resource Not Found", "The data source could not be found.")
        return source

    async def start_upload(self, _request: Request) -> Response:
        """Open an upload session."""
        session = f"{self._tableau.next_id('uploads')}:{uuid4().hex}-1:0"
        self._files.upload(session).touch()
        self._tableau.put("uploads", session, {"id": session, "size": 0})
        return answer(node("fileUpload", {"uploadSessionId": session, "fileSize": 0}), status=201)

    async def append_upload(self, request: Request) -> Response:
        """Add a block to an upload session; a block sent twice is there twice, as at the vendor."""
        session = request.path_params["session"]
        path = self._upload(session)
        found = parts(await request.body(), request.headers.get("Content-Type", ""))
        if "tableau_file" not in found:
            raise BadRequestError(400, "400000", "Bad Request", "The request has no part named tableau_file.")
        with path.open("ab") as target:
            target.write(found["tableau_file"][1])
        size = path.stat().st_size
        self._tableau.put("uploads", session, {"id": session, "size": size})
        return answer(node("fileUpload", {"uploadSessionId": session, "fileSize": size // 1_048_576}))

    def _upload(self, session: str) -> Path:
        path = self._files.upload(session)
        if self._tableau.get("uploads", session) is None or not path.exists():
            raise BadRequestError(404, "404003", "Resource Not Found", "The upload session could not be found.")
        return path

    def _drop_upload(self, request: Request) -> None:
        session = request.query_params.get("uploadSessionId")
        if session is not None:
            self._tableau.delete("uploads", session)
            self._files.upload(session).unlink(missing_ok=True)

    async def publish(self, request: Request) -> Response:
        """Publish a file as a new data source, in place of one (`overwrite`), or into one (`append`)."""
        found = parts(await request.body(), request.headers.get("Content-Type", ""))
        if "request_payload" not in found:
            raise BadRequestError(400, "400000", "Bad Request", "The request has no part named request_payload.")
        element = child(parse(found["request_payload"][1]), "datasource")
        project_element = element.find("project")
        project = self._tableau.project(None if project_element is None else project_element.get("id"))
        file_type = request.query_params.get("datasourceType") or "hyper"
        session = request.query_params.get("uploadSessionId")
        if session is not None:
            content = self._upload(session).read_bytes()
        elif "tableau_datasource" in found:
            content = found["tableau_datasource"][1]
        else:
            raise BadRequestError(400, "400000", "Bad Request", "The request holds no file and names no upload.")
        options = {name for name in ("overwrite", "append", "asJob") if _true(request, name)}
        async with self._changing:
            source = await self._store(element, project, data_of(content, file_type), options)
        self._drop_upload(request)
        if "asJob" in options:
            return answer(self._tableau.jobs.show(self._tableau.jobs.add("PublishDatasource", source)), status=202)
        return answer(show(source, self._tableau.user_id), status=201)

    async def _store(
        self, element: Element, project: Mapping[str, Any], data: bytes, options: set[str]
    ) -> dict[str, Any]:
        name = element.get("name")
        if not name:
            raise BadRequestError(400, "400003", "Bad Request", "The data source has no name.")
        existing = self._named(name, project["id"])
        self._check_mode(existing, options)
        source_id = existing["id"] if existing else str(uuid4())
        revision = (existing["revision"] if existing else 0) + 1
        path = self._files.extract(source_id, revision)
        path.write_bytes(data)
        if "append" in options and existing:
            previous = self._files.extract(source_id, existing["revision"])
            merged = previous.with_suffix(".appended")
            merged.write_bytes(previous.read_bytes())
            try:
                await asyncio.to_thread(self._engine.append, merged, path)
                merged.replace(path)
            except UpdateRefusedError as error:
                raise BadRequestError(400, "400011", "Bad Request", str(error)) from error
            finally:
                merged.unlink(missing_ok=True)
        content = await self._inspect(path)
        now = self._tableau.now()
        source = {
            "id": source_id,
            "name": name,
            "project": project["name"],
            "projectId": project["id"],
            "contentUrl": re.sub(r"\W", "", name),
            "description": element.get("description") or (existing or {}).get("description"),
            "createdAt": existing["createdAt"] if existing else now,
            "updatedAt": now,
            "revision": revision,
            **content,
        }
        # A real server adds a revision on every publish, equal content or not, so every publish is an effect.
        body = {key: source[key] for key in ("name", "project", "revision", "rows", "columns", "sha256")}
        mode = "append" if "append" in options else "overwrite" if existing else "create"
        with self._tableau.transaction():
            self._tableau.put("datasources", source_id, source)
            self._tableau.effect("datasource.published", "datasources", source_id, {**body, "mode": mode})
        if existing:
            self._files.extract(source_id, existing["revision"]).unlink(missing_ok=True)
        return source

    @staticmethod
    def _check_mode(existing: Mapping[str, Any] | None, options: set[str]) -> None:
        if {"overwrite", "append"} <= options:
            raise BadRequestError(400, "400000", "Bad Request", "overwrite and append exclude each other.")
        if existing is None and "append" in options:
            raise BadRequestError(404, "404004", "Resource Not Found", "There is no data source to append to.")
        if existing is not None and not options & {"overwrite", "append"}:
            detail = "A data source with this name already exists in the project and overwrite was not asked for."
            raise BadRequestError(403, "403007", "Forbidden", detail)

    async def _inspect(self, path: Path) -> dict[str, Any]:
        try:
            return await asyncio.to_thread(self._content, path)
        except UpdateRefusedError as error:
            raise BadRequestError(400, "400011", "Bad Request", "There was a problem publishing the file.") from error

    def _content(self, path: Path) -> dict[str, Any]:
        try:
            seen = self._engine.inspect(path)
        except UpdateRefusedError:
            path.unlink(missing_ok=True)
            raise
        return {**seen, "sha256": digest(path), "size": max(1, path.stat().st_size // 1024)}

    def _named(self, name: str, project_id: str) -> dict[str, Any] | None:
        candidates = self._tableau.find_all("datasources", "name", name)
        return next((source for source in candidates if source["projectId"] == project_id), None)

    async def query(self, request: Request) -> Response:
        """A page of data sources, filtered."""
        found = self._tableau.list("datasources")
        for text in _FILTERS.split(request.query_params.get("filter", "")):
            if text:
                found = [source for source in found if matches(source, text)]
        return self._tableau.page(request, "datasources", [show(item, self._tableau.user_id) for item in found])

    async def one(self, request: Request) -> Response:
        """One data source, by id."""
        return answer(show(self._source(request), self._tableau.user_id))

    async def remove(self, request: Request) -> Response:
        """Delete a data source, its file and its refresh tasks."""
        source = self._source(request)
        with self._tableau.transaction():
            self._tableau.delete("datasources", source["id"])
            for task in self._tableau.find_all("tasks", "datasourceId", source["id"]):
                self._tableau.delete("tasks", task["id"])
            self._tableau.effect("datasource.deleted", "datasources", source["id"], {"name": source["name"]})
        self._files.extract(source["id"], source["revision"]).unlink(missing_ok=True)
        return Response(status_code=204)

    async def download(self, request: Request) -> Response:
        """The data source as a packaged file."""
        source = self._source(request)
        with_extract = request.query_params.get("includeExtract", "true").lower() != "false"
        path = self._files.extract(source["id"], source["revision"]) if with_extract else None
        content = await asyncio.to_thread(package, source["name"], path)
        disposition = f"name=\"tableau_datasource\"; filename*=UTF-8''{quote(source['name'])}.tdsx"
        plain = re.sub(r'[^\x20-\x7e]|"', "_", source["name"])
        headers = {"Content-Disposition": f'{disposition}; filename="{plain}.tdsx"'}
        return Response(content, media_type="application/octet-stream", headers=headers)

    async def connections(self, request: Request) -> Response:
        """The data source's only connection."""
        connection = {"id": connection_of(self._source(request)), "type": "hyper", "serverAddress": ""}
        return answer(node("connections", {}, [node("connection", connection)]))

    async def update_data(self, request: Request) -> Response:
        """Apply a batch of actions; a RequestID seen before is answered with its job and not executed again."""
        request_id = request.headers.get("RequestID")
        if not request_id:
            raise BadRequestError(400, "400000", "Bad Request", "The RequestID header is missing.")
        try:
            actions = [dict(action) for action in json.loads(await request.body())["actions"]]
        except (ValueError, KeyError, TypeError) as error:
            raise BadRequestError(400, "400000", "Bad Request", "The body must hold a list of actions.") from error
        async with self._changing:
            source = self._source(request)
            key = f"{source['id']}/{request_id}"
            done = self._tableau.get("updateRequests", key)
            if done is None:
                job = await self._update(source, actions, request)
                done = {"jobId": job["id"]}
            self._drop_upload(request)
        job = self._tableau.get("jobs", done["jobId"]) or {}
        return answer(self._tableau.jobs.show(job), status=202)

    async def _update(self, source: dict[str, Any], actions: Any, request: Request) -> dict[str, Any]:
        tableau, request_id = self._tableau, str(request.headers["RequestID"])
        session = request.query_params.get("uploadSessionId")
        payload = None if session is None else self._upload(session)
        following = self._files.extract(source["id"], source["revision"] + 1)
        following.write_bytes(self._files.extract(source["id"], source["revision"]).read_bytes())
        affected, note = 0, None
        try:
            affected = await asyncio.to_thread(self._engine.apply, following, payload, actions)
        except UpdateRefusedError as error:
            note = str(error)
        changed = {**source, "updatedAt": tableau.now()}
        if affected:
            changed |= {"revision": source["revision"] + 1, **await self._inspect(following)}
        with tableau.transaction():
            job = tableau.jobs.add("UpdateUploadedFile", source, note=note)
            tableau.put("updateRequests", f"{source['id']}/{request_id}", {"requestId": request_id, "jobId": job["id"]})
            if affected:
                tableau.put("datasources", source["id"], changed)
                body = {key: changed[key] for key in ("name", "project", "revision", "rows", "sha256")}
                body |= {"affected": affected, "actions": [action.get("action") for action in actions]}
                tableau.effect("datasource.updated", "datasources", source["id"], body, request_id)
        spent = source if affected else {**source, "revision": source["revision"] + 1}
        self._files.extract(source["id"], spent["revision"]).unlink(missing_ok=True)
        return job

    async def refresh(self, request: Request) -> Response:
        """Refresh the extract now; refused while a refresh of the same data source is in progress."""
        return answer(self._tableau.jobs.show(self.start_refresh(self._source(request))), status=202)

    def start_refresh(self, source: Mapping[str, Any]) -> dict[str, Any]:
        """Queue a refresh and return its job.

        Raises:
            BadRequestError: One is already in progress.
        """
        tableau = self._tableau
        running = tableau.find_all("jobs", "datasourceId", source["id"], newest_first=True, limit=1)
        if running and running[0]["type"] == "RefreshExtract" and running[0]["readyAt"] > time.time():
            detail = f"Job for '{source['id']}' is already queued. Not queuing a duplicate."
            raise BadRequestError(409, "409093", "Resource Conflict", detail)
        with tableau.transaction():
            job = tableau.jobs.add("RefreshExtract", source, seconds=REFRESH_S)
            tableau.effect("extract.refreshed", "datasources", source["id"], {"jobId": job["id"]})
        return job


def connection_of(source: Mapping[str, Any]) -> str:
    """The id of a data source's connection."""
    return f"c{str(source['id'])[1:]}"


def matches(item: Mapping[str, Any], text: str) -> bool:
    """Whether an object passes one `field:operator:value` filter.

    Raises:
        BadRequestError: A field or operator that cannot be filtered by.
    """
    field, operator, value = text.split(":", 2)
    held = {**item, "projectName": item.get("project")}.get(field)
    tests: dict[str, Callable[[], bool]] = {
        "eq": lambda: held == value,
        "in": lambda: held in value.strip("[]").split(","),
        "has": lambda: value in str(held),
        "gt": lambda: str(held) > value,
        "gte": lambda: str(held) >= value,
        "lt": lambda: str(held) < value,
        "lte": lambda: str(held) <= value,
    }
    if operator not in tests or field not in {"name", "projectName", "contentUrl", "createdAt", "updatedAt", "type"}:
        raise BadRequestError(400, "400006", "Invalid filter", "The filter names a field or operator that is unknown.")
    return tests[operator]()


def _true(request: Request, name: str) -> bool:
    return request.query_params.get(name, "").lower() == "true"
