"""An emulated WhatsApp Cloud API number: messages, their templates, and what recipients do with them.

From Meta's OpenAPI description v23.0: paths, the shapes of messages and answers, buttons and their limits, webhooks.
From its list of error codes: the codes used here, and that a free text needs a message of the recipient's within 24
hours. Unconfirmed: the HTTP statuses, that a closed window is told at once and not by webhook, and that unknown fields
of a message are accepted. Meta deduplicates nothing, so every accepted message is a new effect.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.callbacks import post_meta
from emulators.core import Emulator, State
from emulators.faults import Fault

if TYPE_CHECKING:
    from starlette.requests import Request

TOKEN, APP_SECRET = "sandbox-whatsapp-token", "sandbox-whatsapp-app-secret"
NUMBER_ID, NUMBER, ACCOUNT_ID = "106540352242922", "447700900200", "419561257915477"
_TEMPLATES = {
    "wedding_update": {"language": "en_GB", "parameters": 1, "buttons": 0},
    "wedding_update_buttons": {"language": "en_GB", "parameters": 1, "buttons": 2},
    "wedding_paused": {"language": "en_GB", "parameters": 1, "buttons": 0, "paused": True},
}
_NOT_ON_WHATSAPP = "15005550001"
_WINDOW_S = 24 * 3_600
Body = dict[str, Any]


class RefusedError(Exception):
    """An error of the vendor's: its code, message and HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        """Keep what the body shows."""
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def response(self) -> Response:
        """The Graph API's body of this error."""
        error = {"message": f"(#{self.code}) {self.message}", "type": "OAuthException", "code": self.code}
        details = {"messaging_product": "whatsapp", "details": self.message}
        return JSONResponse({"error": {**error, "error_data": details, "fbtrace_id": uuid.uuid4().hex}}, self.status)


def _checked(emulator: Emulator, message: Body) -> None:
    if message.get("messaging_product") != "whatsapp" or not str(message.get("to") or "").lstrip("+").isdigit():
        raise RefusedError(100, "Invalid parameter")
    if len(str(message.get("biz_opaque_callback_data", ""))) > 512:
        raise RefusedError(100, "Invalid parameter: biz_opaque_callback_data is too long")
    kind = message.get("type", "text")
    if kind not in {"text", "interactive", "template"} or not isinstance(message.get(kind), dict):
        raise RefusedError(100, "Invalid parameter: type")
    to = str(message["to"]).lstrip("+")
    if to == _NOT_ON_WHATSAPP:
        raise RefusedError(131026, "Message undeliverable")
    if kind == "template":
        _checked_template(message["template"])
        return
    heard = emulator.get("windows", to)
    if heard is None or time.time() - heard["at"] > _WINDOW_S:
        raise RefusedError(131047, "Re-engagement message")
    if kind == "text" and not 0 < len(str(message["text"].get("body") or "")) <= 4_096:
        raise RefusedError(100, "Invalid parameter: text.body")
    if kind == "interactive":
        _checked_buttons(message["interactive"])


def _checked_template(given: Body) -> None:
    known = _TEMPLATES.get(str(given.get("name")))
    if known is None or known["language"] != (given.get("language") or {}).get("code"):
        raise RefusedError(132001, "Template name does not exist in the translation", 404)
    if known.get("paused"):
        raise RefusedError(132015, "Template is paused")
    components = given.get("components") or []
    parameters = [one for part in components if part.get("type") == "body" for one in part.get("parameters", [])]
    buttons = [part for part in components if part.get("type") == "button"]
    if len(parameters) != known["parameters"] or len(buttons) != known["buttons"]:
        raise RefusedError(132000, "Number of parameters does not match the expected number of params")
    for text in (str(one.get("text", "")) for one in parameters):
        if "\n" in text or "\t" in text or "     " in text:
            raise RefusedError(132018, "Param text cannot have new-line/tab characters or more than 4 spaces")


def _checked_buttons(given: Body) -> None:
    buttons = [one.get("reply") or {} for one in (given.get("action") or {}).get("buttons") or []]
    titles = [str(one.get("title") or "") for one in buttons]
    if given.get("type") != "button" or not 1 <= len(buttons) <= 3 or len(set(titles)) < len(titles):
        raise RefusedError(131009, "Parameter value is not valid: buttons")
    if not all(0 < len(title) <= 20 for title in titles) or any(len(str(one.get("id", ""))) > 256 for one in buttons):
        raise RefusedError(131009, "Parameter value is not valid: button")
    if not 0 < len(str((given.get("body") or {}).get("text") or "")) <= 1_024:
        raise RefusedError(131009, "Parameter value is not valid: body")


def send(emulator: Emulator, message: Body) -> Body:
    """Accept a message, as POST /messages does."""
    _checked(emulator, message)
    to = str(message["to"]).lstrip("+")
    wamid = "wamid." + base64.b64encode(f"{to}{uuid.uuid4().hex}".encode()).decode()
    held = {**message, "id": wamid, "to": to, "status": "accepted"}
    with emulator.transaction():
        emulator.put("messages", wamid, held)
        emulator.effect("message.sent", "messages", wamid, held)
    return {
        "messaging_product": "whatsapp",
        "contacts": [{"input": message["to"], "wa_id": to}],
        "messages": [{"id": wamid, "message_status": "accepted"}],
    }


def _webhook(value: Body) -> Body:
    metadata = {"display_phone_number": NUMBER, "phone_number_id": NUMBER_ID}
    whole = {"messaging_product": "whatsapp", "metadata": metadata, **value}
    return {
        "object": "whatsapp_business_account",
        "entry": [{"id": ACCOUNT_ID, "changes": [{"field": "messages", "value": whole}]}],
    }


async def _reply(emulator: Emulator, given: Body) -> Body:
    """A person writes, or presses a message's button: `from`, `url`, and `body`, or `messageId` and `button`."""
    sender, now = str(given["from"]).lstrip("+"), int(time.time())
    told: Body = {"from": sender, "id": f"wamid.{uuid.uuid4().hex}", "timestamp": str(now)}
    if "messageId" in given:
        told |= {"context": {"from": NUMBER, "id": given["messageId"]}, **_pressed(emulator, given)}
    else:
        told |= {"type": "text", "text": {"body": str(given["body"])}}
    emulator.put("windows", sender, {"at": now})
    if not given.get("url"):
        return {"status": None, "body": ""}
    contacts = [{"profile": {"name": "Sandbox Guest"}, "wa_id": sender}]
    return await post_meta(given["url"], APP_SECRET, _webhook({"contacts": contacts, "messages": [told]}))


def _pressed(emulator: Emulator, given: Body) -> Body:
    message = emulator.get("messages", str(given["messageId"])) or {}
    number = int(given.get("button", 0))
    if message.get("type") == "interactive":
        reply = message["interactive"]["action"]["buttons"][number]["reply"]
        return {"type": "interactive", "interactive": {"type": "button_reply", "button_reply": reply}}
    buttons = [part for part in message["template"]["components"] if part["type"] == "button"]
    payload = buttons[number]["parameters"][0]["payload"]
    return {"type": "button", "button": {"payload": payload, "text": f"Button {number}"}}


async def _status(emulator: Emulator, given: Body) -> Body:
    """A message moves on: `messageId`, `status`, `url`, and `errorCode` where it failed."""
    message = emulator.get("messages", str(given["messageId"]))
    if message is None:
        raise KeyError(given["messageId"])
    emulator.put("messages", message["id"], {**message, "status": given["status"]})
    told: Body = {"id": message["id"], "status": given["status"], "timestamp": str(int(time.time()))}
    told |= {"recipient_id": message["to"]}
    if "biz_opaque_callback_data" in message:
        told |= {"biz_opaque_callback_data": message["biz_opaque_callback_data"]}
    if given.get("errorCode"):
        told |= {"errors": [{"code": given["errorCode"], "title": "The message was not delivered."}]}
    return await post_meta(given["url"], APP_SECRET, _webhook({"statuses": [told]}))


def render_error(status: int, _fault: Fault | None) -> Response:
    """The Graph API's body of an error."""
    code = {401: 190, 403: 10, 404: 100, 429: 80007}.get(status, 131000 if status >= 500 else 100)
    return RefusedError(code, "The request could not be carried out.", status).response()


def _admitted(emulator: Emulator, request: Request) -> None:
    refused = emulator.fault_active("revoke_token", request) or emulator.fault_active("expire_token", request)
    if refused or request.headers.get("Authorization") != f"Bearer {TOKEN}":
        raise RefusedError(190, "Access token has expired", 401)
    if request.path_params["number"] != NUMBER_ID:
        raise RefusedError(100, "Unsupported get request. Object does not exist")


def _routes(emulator: Emulator) -> list[BaseRoute]:
    async def answer(request: Request) -> Response:
        try:
            _admitted(emulator, request)
            if request.method == "GET":
                emulator.name_operation(request, "number.read")
                known = {"id": NUMBER_ID, "display_phone_number": f"+{NUMBER}", "verified_name": "Lumen Studios"}
                return JSONResponse({**known, "quality_rating": "GREEN"})
            emulator.name_operation(request, "message.send")
            message = json.loads(await request.body())
            return JSONResponse(send(emulator, message if isinstance(message, dict) else {}))
        except RefusedError as error:
            return error.response()
        except ValueError:
            return RefusedError(100, "The body is not JSON").response()

    emulator.control_routes = [
        Route("/_emulators/whatsapp/replies", _served(emulator, _reply), methods=["POST"]),
        Route("/_emulators/whatsapp/statuses", _served(emulator, _status), methods=["POST"]),
    ]
    root = "/{version}/{number}"
    return [Route(f"{root}/messages", answer, methods=["POST"]), Route(root, answer)]


def _served(emulator: Emulator, act: Any) -> Any:
    async def endpoint(request: Request) -> Response:
        try:
            return JSONResponse(await act(emulator, json.loads(await request.body())))
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return JSONResponse({"error": f"The request cannot be read: {type(error).__name__}."}, 400)

    return endpoint


def _seed(_emulator: Emulator) -> None:
    """Nobody has written from the start, so that every service window is closed."""


def build(state: State) -> Emulator:
    """The emulated number over this state."""
    return Emulator("whatsapp", state, routes=_routes, seed=_seed, render_error=render_error)
