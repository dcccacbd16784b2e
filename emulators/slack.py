"""An emulated Slack Web API: posting, editing, reading and probing, with Slack's `ok: false` errors."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State
from emulators.faults import Fault, drifted
from emulators.slack_workspace import Arguments, SlackError, Workspace

if TYPE_CHECKING:
    from starlette.requests import Request

TOKEN = "sandbox-slack-token"
SCOPES = "chat:write,channels:read,channels:history,groups:read,reactions:read,reactions:write,team:read"
_JSON_ARGUMENTS = {
    "blocks": "invalid_blocks_format",
    "attachments": "invalid_attachments",
    "metadata": "invalid_metadata_format",
}
_CHANNELS = {"C0WEDDINGS": "weddings", "C0BOOKINGS": "bookings", "C0EMERGENCY": "emergency", "C0PRIVATE": "private"}
_CREATED = 1_700_000_000
_DRIFT = {"ts": "message_ts", "messages": "items"}


async def _arguments(request: Request) -> Arguments:
    found: Arguments = dict(request.query_params)
    kind = request.headers.get("Content-Type", "").split(";")[0].strip().lower()
    if kind == "application/json":
        try:
            given = json.loads(await request.body() or b"{}")
        except ValueError:
            raise SlackError("invalid_json") from None
        if not isinstance(given, dict):
            raise SlackError("json_not_object")
        found.update(given)
    elif kind == "multipart/form-data":
        found.update({name: value for name, value in (await request.form()).items() if isinstance(value, str)})
    else:
        found.update(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
    for name, error in _JSON_ARGUMENTS.items():
        if isinstance(found.get(name), str) and found[name]:
            try:
                found[name] = json.loads(found[name])
            except ValueError:
                raise SlackError(error) from None
    return found


def _authorise(emulator: Emulator, request: Request, arguments: Arguments) -> None:
    header = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    token = header or str(arguments.get("token") or "")
    if not token:
        raise SlackError("not_authed")
    if emulator.fault_active("expire_token", request):
        raise SlackError("token_expired")
    if emulator.fault_active("revoke_token", request):
        raise SlackError("token_revoked")
    if token != TOKEN:
        raise SlackError("invalid_auth")


def render_error(status: int, _fault: Fault | None) -> Response:
    """Slack's own body for a status."""
    error = "ratelimited" if status == 429 else "internal_error"
    return JSONResponse({"ok": False, "error": error}, status)


def _routes(emulator: Emulator) -> list[BaseRoute]:
    methods = Workspace(emulator).methods()

    async def call(request: Request) -> Response:
        name = request.path_params["method"]
        emulator.name_operation(request, name)
        try:
            arguments = await _arguments(request)
            _authorise(emulator, request, arguments)
            if name not in methods:
                raise SlackError("unknown_method")  # noqa: TRY301
            with emulator.transaction():
                answer = {"ok": True, **methods[name](arguments, request)}
        except SlackError as error:
            return JSONResponse(error.body(), headers={"X-OAuth-Scopes": SCOPES})
        except (ValueError, TypeError, AttributeError):
            return JSONResponse(SlackError("invalid_arguments").body(), headers={"X-OAuth-Scopes": SCOPES})
        if emulator.fault_active("schema_drift", request):
            answer = drifted(answer, _DRIFT)
        return JSONResponse(answer, headers={"X-OAuth-Scopes": SCOPES, "X-Slack-Req-Id": uuid.uuid4().hex})

    return [Route("/api/{method}", call, methods=["GET", "POST"])]


def _seed(emulator: Emulator) -> None:
    note = {"value": "", "creator": "", "last_set": 0}
    for channel_id, name in _CHANNELS.items():
        private = channel_id == "C0PRIVATE"
        channel = {
            "id": channel_id,
            "name": name,
            "name_normalized": name,
            "is_channel": True,
            "is_group": False,
            "is_im": False,
            "is_mpim": False,
            "is_private": private,
            "is_archived": False,
            "is_general": False,
            "is_shared": False,
            "is_org_shared": False,
            "is_ext_shared": False,
            "is_pending_ext_shared": False,
            "pending_shared": [],
            "is_member": not private,
            "created": _CREATED,
            "creator": "U0OWNER01",
            "unlinked": 0,
            "topic": note,
            "purpose": note,
            "previous_names": [],
        }
        emulator.put("channels", channel_id, channel)


def build(state: State) -> Emulator:
    """The emulated Slack workspace over this state."""
    return Emulator("slack", state, routes=_routes, seed=_seed, base_path="/api/", render_error=render_error)
