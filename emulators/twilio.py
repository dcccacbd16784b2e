"""An emulated Twilio account: text messages, calls, and what recipients do with them.

From the vendor's OpenAPI description: paths, forms, the fields of messages and calls, paging, the statuses. From its
guide to test credentials: the numbers that are refused and their error codes. From its guide to opt-outs: STOP and
START. From its guide to smart encoding: what a messaging service replaces. From its security guide: the signature of
webhooks. Unconfirmed: that the body of a message shows the replacements; bodies of errors beside `code`, `message`,
`more_info` and `status`; that lists show the newest first; that a call which is over answers an update with 21220;
20404 for a call that does not exist. Messages stay queued and calls stay queued until a control request moves them.
"""

from __future__ import annotations

import base64
import uuid
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.core import Emulator, State
from emulators.faults import Fault
from emulators.twilio_recipients import control_routes, opted_out

if TYPE_CHECKING:
    from starlette.requests import Request

ACCOUNT_SID = "AC" + "5a" * 16
AUTH_TOKEN = "sandbox-twilio-auth-token"
API_KEY = ("SK" + "5a" * 16, "sandbox-twilio-api-secret")
NUMBER, SERVICE_SID = "+447700900100", "MG" + "5a" * 16
_SMART = str.maketrans({"\u2018": "'", "\u2019": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2026": "..."})
_OVER = ("completed", "busy", "failed", "no-answer", "canceled")
_MAX_BODY, _MAX_TWIML = 1_600, 4_000
_PAGE, _MAX_PAGE = 50, 1_000
_REFUSED_RECIPIENTS = {
    "+15005550001": (21211, "The 'To' number is not a valid phone number."),
    "+15005550002": (21612, "The 'To' phone number is not currently reachable via SMS."),
    "+15005550003": (21408, "Permission to send an SMS has not been enabled for the region indicated by 'To'."),
    "+15005550004": (21610, "Attempt to send to unsubscribed recipient"),
    "+15005550009": (21614, "'To' number is not a valid mobile number"),
}
_REFUSED_CALLEES = {
    "+15005550001": (21217, "Phone number does not appear to be valid."),
    "+15005550002": (21214, "'To' phone number cannot be reached."),
    "+15005550003": (21215, "Account not authorized to call the number."),
}
_REFUSED_SENDERS = {
    "+15005550001": (21212, "The 'From' number is not a valid phone number."),
    "+15005550007": (21606, "The 'From' phone number is not a valid SMS-capable number for this account."),
    "+15005550008": (21611, "This 'From' number has exceeded the maximum number of queued messages."),
}
Form = dict[str, str]


class RefusedError(Exception):
    """An error of the vendor's: its code, message and HTTP status."""

    def __init__(self, code: int, message: str, status: int = 400) -> None:
        """Keep what the body shows."""
        super().__init__(message)
        self.code, self.message, self.status = code, message, status

    def response(self) -> Response:
        """The vendor's body of this error."""
        more = f"https://www.twilio.com/docs/errors/{self.code}"
        body = {"code": self.code, "message": self.message, "more_info": more, "status": self.status}
        return JSONResponse(body, self.status)


def now_rfc2822() -> str:
    """The current time as Twilio prints it."""
    return format_datetime(datetime.now(UTC))


def _checked_sender(form: Form) -> None:
    sender = form.get("From")
    if sender in _REFUSED_SENDERS:
        raise RefusedError(*_REFUSED_SENDERS[sender])
    if form.get("MessagingServiceSid"):
        if form["MessagingServiceSid"] != SERVICE_SID:
            raise RefusedError(21701, "The messaging service does not exist.")
    elif not sender:
        raise RefusedError(21603, "A 'From' phone number is required.")
    elif sender != NUMBER:
        raise RefusedError(21606, "The 'From' phone number is not a valid SMS-capable number for this account.")


def create_message(emulator: Emulator, form: Form) -> dict[str, Any]:
    """Accept a text message, as POST /Messages.json does."""
    to, body = form.get("To", ""), form.get("Body", "")
    if not to:
        raise RefusedError(21604, "A 'To' phone number is required.")
    if not body:
        raise RefusedError(21602, "Message body is required.")
    if len(body) > _MAX_BODY:
        raise RefusedError(21617, "The concatenated message body exceeds the 1600 character limit.")
    _checked_sender(form)
    if to in _REFUSED_RECIPIENTS:
        raise RefusedError(*_REFUSED_RECIPIENTS[to])
    if opted_out(emulator, to):
        raise RefusedError(21610, "Attempt to send to unsubscribed recipient")
    sid, at, service = f"SM{uuid.uuid4().hex}", now_rfc2822(), form.get("MessagingServiceSid")
    if service and form.get("SmartEncoded") != "false":
        body = body.translate(_SMART)
    message = {
        "sid": sid, "account_sid": ACCOUNT_SID, "api_version": "2010-04-01", "to": to, "from": form.get("From"),
        "messaging_service_sid": service, "body": body, "status": "accepted" if service else "queued",
        "direction": "outbound-api", "num_segments": "0" if service else str(len(body) // 153 + 1), "num_media": "0",
        "price": None, "price_unit": "USD", "error_code": None, "error_message": None, "date_created": at,
        "date_updated": at, "date_sent": None, "uri": _uri(f"Messages/{sid}"),
        "subresource_uris": {"media": _uri(f"Messages/{sid}/Media")},
    }  # fmt: skip
    with emulator.transaction():
        emulator.put("messages", sid, message)
        emulator.put("forms", sid, dict(form))
        emulator.effect("message.created", "messages", sid, message)
    return message


def create_call(emulator: Emulator, form: Form) -> dict[str, Any]:
    """Queue a call, as POST /Calls.json does."""
    to, sender = form.get("To", ""), form.get("From", "")
    if not to or not sender:
        raise RefusedError(21201 if not to else 21213, "A 'To' and a 'From' phone number are required.")
    if not form.get("Twiml") and not form.get("Url"):
        raise RefusedError(21205, "Url parameter is required.")
    if len(form.get("Twiml", "")) > _MAX_TWIML:
        raise RefusedError(21218, "The Twiml parameter is too long.")
    if sender != NUMBER:
        raise RefusedError(21210, "'From' phone number not verified.")
    if to in _REFUSED_CALLEES:
        raise RefusedError(*_REFUSED_CALLEES[to])
    sid, at = f"CA{uuid.uuid4().hex}", now_rfc2822()
    call = {
        "sid": sid, "account_sid": ACCOUNT_SID, "api_version": "2010-04-01", "to": to, "to_formatted": to,
        "from": sender, "from_formatted": sender, "phone_number_sid": f"PN{'5a' * 16}", "status": "queued",
        "direction": "outbound-api", "date_created": at, "date_updated": at, "start_time": None, "end_time": None,
        "duration": None, "price": None, "price_unit": "USD", "answered_by": None, "forwarded_from": None,
        "caller_name": None, "group_sid": None, "parent_call_sid": None, "queue_time": "0", "trunk_sid": None,
        "uri": _uri(f"Calls/{sid}"), "subresource_uris": {"events": _uri(f"Calls/{sid}/Events")},
    }  # fmt: skip
    with emulator.transaction():
        emulator.put("calls", sid, call)
        emulator.put("forms", sid, dict(form))
        emulator.effect("call.created", "calls", sid, {**call, "twiml": form.get("Twiml")})
    return call


def update_call(emulator: Emulator, sid: str, form: Form) -> dict[str, Any]:
    """End a call, as POST /Calls/{Sid}.json does."""
    call = emulator.get("calls", sid)
    if call is None:
        raise RefusedError(20404, f"The requested resource /Calls/{sid}.json was not found", 404)
    status = form.get("Status")
    if status not in {"canceled", "completed"}:
        raise RefusedError(21218, "Invalid call status.")
    if call["status"] in _OVER or (status == "canceled" and call["status"] == "in-progress"):
        raise RefusedError(21220, "Call is not in-progress. Cannot redirect.")
    ended = "completed" if call["status"] == "in-progress" else "canceled"
    changed = {**call, "status": ended, "end_time": now_rfc2822(), "date_updated": now_rfc2822()}
    with emulator.transaction():
        emulator.put("calls", sid, changed)
        emulator.effect("call.ended", "calls", sid, changed)
    return changed


def _page(emulator: Emulator, name: str, query: Form) -> dict[str, Any]:
    size = min(int(query.get("PageSize") or _PAGE), _MAX_PAGE)
    start = int(query["PageToken"][2:]) if query.get("PageToken", "").startswith("PA") else 0
    found = emulator.find_all(name, "to", query["To"], newest_first=True) if query.get("To") else []
    if not query.get("To"):
        found = list(reversed(emulator.list(name)))
    found = [one for one in found if one["from"] == query.get("From", one["from"])]
    shown, more = found[start : start + size], found[start + size :]
    wanted = {name: value for name, value in query.items() if name not in {"Page", "PageToken"}}
    following = {**wanted, "PageSize": str(size), "Page": str(start // size + 1), "PageToken": f"PA{start + size}"}
    return {
        "page": start // size, "page_size": size, "start": start, "end": start + max(len(shown) - 1, 0),
        "uri": _uri(name.capitalize(), wanted), "first_page_uri": _uri(name.capitalize(), wanted),
        "previous_page_uri": None, "next_page_uri": _uri(name.capitalize(), following) if more else None, name: shown,
    }  # fmt: skip


def _uri(path: str, query: Form | None = None) -> str:
    return f"/2010-04-01/Accounts/{ACCOUNT_SID}/{path}.json" + (f"?{urlencode(query)}" if query else "")


def _account() -> dict[str, Any]:
    at = "Fri, 01 May 2026 12:00:00 +0000"
    return {
        "sid": ACCOUNT_SID, "owner_account_sid": ACCOUNT_SID, "friendly_name": "Sandbox", "status": "active",
        "type": "Full", "auth_token": AUTH_TOKEN, "date_created": at, "date_updated": at,
        "uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}.json", "subresource_uris": {"messages": _uri("Messages")},
    }  # fmt: skip


def _admitted(emulator: Emulator, request: Request) -> None:
    pairs = [f"{ACCOUNT_SID}:{AUTH_TOKEN}", ":".join(API_KEY)]
    allowed = {f"Basic {base64.b64encode(pair.encode()).decode()}" for pair in pairs}
    refused = emulator.fault_active("revoke_token", request) or emulator.fault_active("expire_token", request)
    if refused or request.headers.get("Authorization") not in allowed:
        raise RefusedError(20003, "Authenticate", 401)
    if request.path_params["account"] != ACCOUNT_SID:
        raise RefusedError(20404, "The requested resource was not found", 404)


def render_error(status: int, _fault: Fault | None) -> Response:
    """The vendor's body of an error."""
    code = {401: 20003, 403: 20006, 404: 20404, 429: 20429}.get(status, 20500 if status >= 500 else 20001)
    return RefusedError(code, "The request could not be carried out.", status).response()


def _routes(emulator: Emulator) -> list[BaseRoute]:
    root = "/2010-04-01/Accounts/{account}"

    async def answer(request: Request) -> Response:
        try:
            _admitted(emulator, request)
            form = dict(parse_qsl((await request.body()).decode(), keep_blank_values=True))
            name, sid = request.path_params.get("collection", ""), request.path_params.get("sid")
            emulator.name_operation(request, f"{request.method} {name or 'account'}")
            if sid:
                return JSONResponse(update_call(emulator, sid, form))
            if not name:
                return JSONResponse(_account())
            if request.method == "GET":
                return JSONResponse(_page(emulator, name.lower(), dict(request.query_params)))
            create = create_call if name == "Calls" else create_message
            return JSONResponse(create(emulator, form), 201)
        except RefusedError as refused:
            return refused.response()

    emulator.control_routes = control_routes(emulator, ACCOUNT_SID, AUTH_TOKEN, NUMBER)
    return [
        Route(f"{root}/Calls/{{sid}}.json", answer, methods=["POST"]),
        Route(f"{root}/{{collection}}.json", answer, methods=["GET", "POST"]),
        Route(f"{root}.json", answer),
    ]


def _seed(_emulator: Emulator) -> None:
    """Nobody has been written to from the start."""


def build(state: State) -> Emulator:
    """The emulated account over this state."""
    return Emulator("twilio", state, routes=_routes, seed=_seed, render_error=render_error)
