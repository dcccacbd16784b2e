"""An emulated Asana API 1.0: tasks of one project, found by gid or by external gid, and the comments on them.

From the vendor's OpenAPI description: paths, envelopes, fields, which of them are writable, paging, statuses, error
bodies. From its guide to custom external data: the lengths, and that only OAuth apps have it, which the sandbox token
is taken for. Unconfirmed: two tasks may bear one external gid, the older one being found; a deleted comment is gone.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from emulators.bearer_edge import Answer, BearerEdge, Body, Call, RefusalError
from emulators.core import Emulator, State, now_iso
from emulators.oauth import AuthorisationServer, Vendor
from emulators.oauth_grants import Issued, OAuthError

if TYPE_CHECKING:
    from emulators.faults import Fault

TOKEN = "sandbox-asana-token"
WORKSPACE, PROJECT, USER = "1200000000000001", "1200000000000002", "1200000000000003"
_MAX_GID, _MAX_DATA, _MAX_PAGE = 1_024, 32_768, 100
_WRITABLE = ("name", "notes", "due_on", "completed", "external", "assignee")
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_SENTENCES = {400: "Bad request", 401: "Not Authorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found"}
_PATH = "/api/1.0"


def refusal(status: int, message: str = "") -> RefusalError:
    """The vendor's error of a status."""
    error = {"message": message or _SENTENCES.get(status, "Server Error"), "help": "See the API's page on errors."}
    return RefusalError(
        status, {"errors": [error | ({"phrase": "6 sad squid snuggle softly"} if status == 500 else {})]}
    )


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    return JSONResponse(refusal(status).body, status)


def _data(call: Call) -> Body:
    data = call.body.get("data") if isinstance(call.body, dict) else None
    if not isinstance(data, dict):
        raise refusal(400, "data: Missing input")
    return data


def _task(call: Call) -> Body:
    gid = call.path("task")
    found = (
        call.emulator.find("tasks", "external.gid", gid.removeprefix("external:"))
        if gid.startswith("external:")
        else call.emulator.get("tasks", gid)
    )
    if found is None:
        raise refusal(404, "task: Unknown object")
    return found


def _checked(data: Body) -> Body:
    external = data.get("external") or {}
    sound = {
        "name": isinstance(data.get("name", ""), str),
        "notes": isinstance(data.get("notes", ""), str),
        "completed": isinstance(data.get("completed", False), bool),
        "due_on": data.get("due_on") is None or bool(_DAY.fullmatch(str(data["due_on"]))),
        "external": isinstance(external, dict)
        and len(str(external.get("gid", ""))) <= _MAX_GID
        and len(str(external.get("data", ""))) <= _MAX_DATA,
    }
    wrong = [name for name, holds in sound.items() if not holds]
    if wrong:
        raise refusal(400, f"{wrong[0]}: Not a valid value")
    return {name: data[name] for name in _WRITABLE if name in data}


def create_task(call: Call) -> Answer:
    """POST /tasks."""
    data = _data(call)
    values, projects = _checked(data), data.get("projects") or []
    if not projects and data.get("workspace") != WORKSPACE:
        raise refusal(400, "You should specify one of workspace, parent, projects")
    if any(project != PROJECT for project in projects):
        raise refusal(400, "projects: Unknown object")
    task = {
        "gid": call.emulator.next_id("tasks"),
        "resource_type": "task",
        "resource_subtype": "default_task",
        "name": "",
        "notes": "",
        "due_on": None,
        "completed": False,
        "projects": [{"gid": project, "resource_type": "project"} for project in projects],
        "workspace": {"gid": WORKSPACE, "resource_type": "workspace"},
        "created_at": now_iso(),
        "modified_at": now_iso(),
        **values,
    }
    call.emulator.put("tasks", task["gid"], task)
    call.emulator.effect("task.created", "tasks", task["gid"], task, (task.get("external") or {}).get("gid"))
    return 201, {"data": task}


def read_task(call: Call) -> Answer:
    """GET /tasks/{gid}."""
    return 200, {"data": _task(call)}


def update_task(call: Call) -> Answer:
    """PUT /tasks/{gid}."""
    before = _task(call)
    after = {**before, **_checked(_data(call))}
    if after != before:
        after["modified_at"] = now_iso()
        call.emulator.put("tasks", after["gid"], after)
        changed = {name: after[name] for name in after if after[name] != before.get(name)}
        call.emulator.effect("task.updated", "tasks", after["gid"], changed, (after.get("external") or {}).get("gid"))
    return 200, {"data": after}


def delete_task(call: Call) -> Answer:
    """DELETE /tasks/{gid}."""
    task = _task(call)
    call.emulator.delete("tasks", task["gid"])
    call.emulator.effect("task.deleted", "tasks", task["gid"], {"gid": task["gid"]})
    return 200, {"data": {}}


def list_stories(call: Call) -> Answer:
    """GET /tasks/{gid}/stories, oldest first."""
    task = _task(call)
    limit, offset = call.query("limit", "0"), call.query("offset", "0")
    if not (limit.isdigit() and offset.isdigit() and 0 <= int(limit) <= _MAX_PAGE):
        raise refusal(400, "limit: Not a valid value")
    found = call.emulator.find_all("stories", "target.gid", task["gid"])
    if not int(limit):
        return 200, {"data": found}
    begin, end = int(offset), int(offset) + int(limit)
    path = f"/tasks/{task['gid']}/stories?limit={limit}&offset={end}"
    further = {"offset": str(end), "path": path, "uri": f"https://app.asana.com{_PATH}{path}"}
    return 200, {"data": found[begin:end], "next_page": further if end < len(found) else None}


def create_story(call: Call) -> Answer:
    """POST /tasks/{gid}/stories."""
    task, data = _task(call), _data(call)
    if not isinstance(data.get("text"), str) or not data["text"]:
        raise refusal(400, "text: Missing input")
    story = {
        "gid": call.emulator.next_id("stories"),
        "resource_type": "story",
        "resource_subtype": "comment_added",
        "type": "comment",
        "text": data["text"],
        "created_at": now_iso(),
        "created_by": {"gid": USER, "resource_type": "user"},
        "target": {"gid": task["gid"], "resource_type": "task"},
    }
    call.emulator.put("stories", story["gid"], story)
    call.emulator.effect("story.created", "stories", story["gid"], story)
    return 201, {"data": story}


def _story(call: Call) -> Body:
    found = call.emulator.get("stories", call.path("story"))
    if found is None:
        raise refusal(404, "story: Unknown object")
    return found


def update_story(call: Call) -> Answer:
    """PUT /stories/{gid}."""
    before = _story(call)
    after = {**before, "text": str(_data(call).get("text", before["text"]))}
    if after != before:
        call.emulator.put("stories", after["gid"], after)
        call.emulator.effect("story.updated", "stories", after["gid"], after)
    return 200, {"data": after}


def delete_story(call: Call) -> Answer:
    """DELETE /stories/{gid}."""
    story = _story(call)
    call.emulator.delete("stories", story["gid"])
    call.emulator.effect("story.deleted", "stories", story["gid"], {"gid": story["gid"]})
    return 200, {"data": {}}


def read_project(call: Call) -> Answer:
    """GET /projects/{gid}."""
    if call.path("project") != PROJECT:
        raise refusal(404, "project: Unknown object")
    return 200, {"data": {"gid": PROJECT, "resource_type": "project", "workspace": {"gid": WORKSPACE}}}


def _granted(issued: Issued, _mount: str) -> dict[str, Any]:
    body = {"access_token": issued.access_token, "token_type": "bearer", "expires_in": 3_600, "data": {"gid": USER}}
    fresh = issued.grant_type == "authorization_code" or issued.rotated
    return {**body, "refresh_token": issued.refresh_token} if fresh else body


def _refused(error: OAuthError) -> dict[str, Any]:
    return {"error": error.error, "error_description": error.description}


VENDOR = Vendor(
    client_id="sandbox-asana-client",
    client_secret="sandbox-asana-secret",
    authorize=("/-/oauth_authorize",),
    tokens={"/-/oauth_token": ("authorization_code", "refresh_token")},
    revoke=("/-/oauth_revoke",),
    lifetime_s=3_600.0,
    scopes=("default",),
    answer=_granted,
    refusal=_refused,
)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    oauth = AuthorisationServer(emulator, VENDOR)
    edge = BearerEdge(emulator, TOKEN, refusal, oauth=oauth, drift={"data": "content", "gid": "id"})
    task, story = f"{_PATH}/tasks/{{task}}", f"{_PATH}/stories/{{story}}"
    return [
        *oauth.routes(),
        edge.route(f"{_PATH}/projects/{{project}}", read_project, "GET"),
        edge.route(f"{_PATH}/tasks", create_task, "POST"),
        edge.route(task, read_task, "GET"),
        edge.route(task, update_task, "PUT"),
        edge.route(task, delete_task, "DELETE"),
        edge.route(f"{task}/stories", list_stories, "GET"),
        edge.route(f"{task}/stories", create_story, "POST"),
        edge.route(story, update_story, "PUT"),
        edge.route(story, delete_story, "DELETE"),
    ]


def _seed(_emulator: Emulator) -> None:
    """The project is empty from the start."""


def build(state: State) -> Emulator:
    """The emulated workspace over this state."""
    return Emulator("asana", state, routes=_routes, seed=_seed, render_error=render_error)
