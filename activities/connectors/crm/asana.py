"""Asana: a task per wedding with the notifications as its comments, and tasks of their own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime
from http import HTTPStatus
from typing import ClassVar
from urllib.parse import quote

from pydantic import JsonValue

from activities.connectors.crm.asana_plan import STORY, TASK, Planner, invalid, reference
from activities.ports.connection import Connection
from activities.ports.manifest import Capability, EffectGuarantee, Manifest, OAuth, RateLimit
from activities.transport.client import JsonClient
from contracts.base import JsonObject
from contracts.effects import Delivery, DeliveryIntent, EffectOutcome, EffectStep, StandingEffect
from contracts.errors import OutcomeUnknown, Permanent, Transient
from contracts.integration import ConnectionProbe, IntegrationType, ProvisionResult

_BASE = "/api/1.0"
_STORY_PAGES = 10
_COMMENT_CALLS = 5
_WITHDRAWN = "Withdrawn: "


class Asana:
    """One Asana project.

    Source: Asana API 1.0, https://developers.asana.com/reference (operations getProject, createTask, getTask,
    updateTask, deleteTask, getStoriesForTask, createStoryForTask, updateStory, deleteStory), and
    https://developers.asana.com/docs/custom-external-data.
    """

    manifest: ClassVar[Manifest] = Manifest(
        system="asana",
        title="Asana",
        family=IntegrationType.CRM,
        api_version="1.0",
        documentation_url="https://developers.asana.com/reference",
        credential_fields=("accessToken",),
        optional_credential_fields=("refreshToken", "clientId", "clientSecret"),
        oauth=OAuth(
            authorize_url="https://app.asana.com/-/oauth_authorize",
            token_url="/-/oauth_token",  # noqa: S106 - a path
            scopes=(
                "projects:read",
                "stories:delete",
                "stories:read",
                "stories:write",
                "tasks:delete",
                "tasks:read",
                "tasks:write",
            ),
        ),
        default_base_url="https://app.asana.com",
        capabilities=frozenset({Capability.DELIVER, Capability.TASK}),
        guarantee=EffectGuarantee.UPSERT,
        rate_limit=RateLimit(requests=150, per_s=60.0),
        required_settings=("projectGid",),
        page_size=100,
        reversible=frozenset({TASK, STORY}),
        correctable=frozenset({TASK, STORY}),
        notes=(
            "Tasks carry our id as external.gid and are looked up by it; Asana keeps it for OAuth apps only.",
            "Comments have no key: a repeat first looks for the reference line that every comment carries.",
            "A wedding's task is due on its day and follows it; an earlier notification does not move it back.",
            "A target's settings.taskGid names a task that takes the comments in the place of the wedding's own.",
            "A comment makes two requests, three where the task moves, and four, at most five, with a wedding's first.",
            "150 requests a minute are those of a free domain; a paid one has 1,500.",
            "A recalled task is completed and its name says that it was withdrawn; a recalled comment is deleted.",
        ),
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        headers = {"Authorization": f"Bearer {connection.secret('accessToken')}"}
        self._http = JsonClient.opened(connection, self.manifest.timeout_s, headers)

    async def aclose(self) -> None:
        """Release the sockets."""
        await self._http.aclose()

    async def probe(self) -> ConnectionProbe:
        """Read the project that takes the tasks; `account` is its workspace.

        Raises:
            AuthExpired: the token is refused.
            Permanent: the project is not there for this user.
            Transient: no usable answer.

        Source: GET /projects/{project_gid}.
        """
        began = time.monotonic()
        project = await self._data("GET", f"/projects/{self._connection.setting('projectGid')}", "project.read")
        latency_ms = (time.monotonic() - began) * 1_000
        workspace = project.get("workspace")
        account = str(workspace.get("gid") or "") if isinstance(workspace, dict) else ""
        return ConnectionProbe(ok=True, latency_ms=latency_ms, account=account or None, features=["tasks"])

    async def provision(self) -> ProvisionResult:
        """Create nothing: projects are people's.

        Idempotent: yes.
        """
        return ProvisionResult()

    def plan(self, delivery: Delivery) -> list[EffectStep]:
        """Return a task, or a comment on the wedding's task.

        The task is due on `due_on` of the transformation map, else on the wedding's day.

        Raises:
            InvalidInput: the metadata, the day or the named task cannot be used.
        """
        planner = Planner(delivery, self._connection.setting("projectGid"))
        if delivery.intent is not DeliveryIntent.NOTIFY or delivery.notification.wedding_context is None:
            return [planner.task()]
        named = delivery.target.settings.get("taskGid")
        if named is not None and not str(named).isdecimal():
            raise invalid("task_gid_invalid", "The target's taskGid is no gid of a task.")
        return [planner.comment(None if named is None else str(named))]

    async def apply(self, step: EffectStep) -> EffectOutcome:
        """Make the task, or the comment on a task that is brought up to date first.

        Idempotent: yes for tasks, by the external gid; no for comments, which are looked up before a repeat.
        Source: POST /tasks, PUT /tasks/{task_gid}, POST /tasks/{task_gid}/stories.
        """
        if step.kind == TASK:
            async with self._connection.together(2):
                task = await self._task(step.object_id, "task.create.read")
                if task is not None:
                    return EffectOutcome(remote_id=str(task.get("gid")), replayed=True)
                return EffectOutcome(remote_id=await self._made("/tasks", step.kind, step.payload))
        async with self._connection.together(_COMMENT_CALLS):
            wanted = step.payload.get("task")
            gid = await self._wedding_task(_gid(step.object_id), wanted) if isinstance(wanted, dict) else step.object_id
            text = {"text": step.payload["text"]}
            return EffectOutcome(remote_id=await self._made(f"/tasks/{_gid(gid)}/stories", step.kind, text))

    async def _wedding_task(self, external: str, wanted: Mapping[str, JsonValue]) -> str:
        """Return the gid of the wedding's task, which is made or moved where it has to be.

        Two that make it at once both look again: everybody keeps the one that is found, and deletes their own.
        """
        task = await self._task(external, "wedding.read")
        if task is None:
            mine = await self._made("/tasks", "wedding.create", wanted)
            task = await self._task(external, "wedding.look")
            if task is None or task.get("gid") == mine:
                return mine
            await self._delete(f"/tasks/{_gid(mine)}", "wedding.withdraw")
        elif not _stands(task, wanted):
            changed = {name: wanted.get(name) for name in ("due_on", "external")}
            await self._data("PUT", f"/tasks/{external}", "wedding.move", changed)
        return str(task.get("gid"))

    async def find(self, step: EffectStep) -> EffectOutcome | None:
        """Return the outcome when the task stands as wanted, or carries the comment.

        Source: GET /tasks/external:{gid}, GET /tasks/{task_gid}/stories.
        """
        if step.kind == STORY:
            return await self._find_story(step)
        task = await self._task(step.object_id, "task.find")
        return None if task is None else EffectOutcome(remote_id=str(task.get("gid")), replayed=True)

    async def retract(self, effect: StandingEffect) -> None:
        """Delete the comment, or complete the task under a name that says it was withdrawn.

        A task that somebody has completed or deleted is left as it is. Idempotent: yes.
        Source: DELETE /stories/{story_gid}, PUT /tasks/{task_gid}.
        """
        if effect.kind == STORY:
            await self._delete(f"/stories/{_gid(effect.remote_id)}", "story.retract")
            return
        async with self._connection.together(2):
            task = await self._task(effect.remote_id, "task.retract.read")
            if task is not None and not task.get("completed"):
                changed: JsonObject = {"completed": True, "name": f"{_WITHDRAWN}{task.get('name') or ''}"}
                await self._data("PUT", f"/tasks/{_gid(effect.remote_id)}", "task.retract", changed)

    async def correct(self, effect: StandingEffect, step: EffectStep) -> EffectOutcome:
        """Write the step's words and day over the task, or its words over the comment.

        Idempotent: yes.

        Raises:
            Permanent: the task or the comment is gone.

        Source: PUT /tasks/{task_gid}, PUT /stories/{story_gid}.
        """
        names = ("text",) if effect.kind == STORY else ("name", "notes", "due_on")
        kind = "stories" if effect.kind == STORY else "tasks"
        changed = {name: step.payload[name] for name in names if name in step.payload}
        await self._data("PUT", f"/{kind}/{_gid(effect.remote_id)}", f"{effect.kind}.correct", changed)
        return EffectOutcome(remote_id=effect.remote_id)

    async def _made(self, path: str, operation: str, data: Mapping[str, JsonValue]) -> str:
        made = await self._data("POST", path, operation, data)
        if not made.get("gid"):
            raise _bad_response(operation, writes=True)
        return str(made["gid"])

    async def _delete(self, path: str, operation: str) -> None:
        try:
            await self._http.request_json("DELETE", f"{_BASE}{path}", operation=operation, writes=True)
        except Permanent as error:
            if error.detail.evidence.get("status") != HTTPStatus.NOT_FOUND:
                raise

    async def _task(self, gid: str | None, operation: str) -> dict[str, JsonValue] | None:
        try:
            return await self._data("GET", f"/tasks/{_gid(gid)}", operation)
        except Permanent as error:
            if error.detail.evidence.get("status") == HTTPStatus.NOT_FOUND:
                return None
            raise

    async def _find_story(self, step: EffectStep) -> EffectOutcome | None:
        task = await self._task(step.object_id, "story.find")
        if task is None:
            return None
        marker, offset = reference(step.effect_id), None
        for _ in range(_STORY_PAGES):
            answer = await self._http.request_json(
                "GET",
                f"{_BASE}/tasks/{_gid(str(task.get('gid')))}/stories",
                operation="story.find",
                params={"limit": self.manifest.page_size, "offset": offset, "opt_fields": "text"},
            )
            listed = answer if isinstance(answer, dict) else {}
            stories, further = listed.get("data"), listed.get("next_page")
            if not isinstance(stories, list):
                raise _bad_response("story.find")
            for story in stories:
                if isinstance(story, dict) and marker in str(story.get("text") or ""):
                    return EffectOutcome(remote_id=str(story.get("gid")), replayed=True)
            if not isinstance(further, dict):
                return None
            offset = str(further.get("offset"))
        raise OutcomeUnknown(
            "look_up_exhausted",
            "The task has more comments than the look-up reads, so whether this one stands is not known.",
            action="Look at the task's newest comments in Asana before sending again.",
            system="asana",
            operation="story.find",
        )

    async def _data(
        self, method: str, path: str, operation: str, data: Mapping[str, JsonValue] | None = None
    ) -> dict[str, JsonValue]:
        """Make a request in Asana's envelope and return what its answer wraps."""
        writes = data is not None
        body: JsonValue = None if data is None else {"data": dict(data)}
        answer = await self._http.request_json(method, f"{_BASE}{path}", operation=operation, json=body, writes=writes)
        inner = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(inner, dict):
            raise _bad_response(operation, writes=writes)
        return inner


def _stands(task: Mapping[str, JsonValue], wanted: Mapping[str, JsonValue]) -> bool:
    """Whether the wedding's task is as told now, or later."""
    known, told = (_told_at(one.get("external")) for one in (task, wanted))
    if known is None or told is None or known < told:
        return False
    return known > told or task.get("due_on") == wanted.get("due_on")


def _told_at(external: JsonValue) -> datetime | None:
    data = external.get("data") if isinstance(external, dict) else None
    try:
        return datetime.fromisoformat(str(data))
    except ValueError:
        return None


def _gid(gid: str | None) -> str:
    return quote(gid or "", safe=":")


def _bad_response(operation: str, *, writes: bool = False) -> Transient:
    kind = OutcomeUnknown if writes else Transient
    return kind(
        "vendor_bad_response",
        f"asana answered {operation} without the object it documents.",
        system="asana",
        operation=operation,
    )
