"""What the people behind the phone numbers of the emulated Twilio do: they read, reply, opt out and press keys."""

from __future__ import annotations

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from defusedxml.ElementTree import fromstring  # type: ignore[import-untyped]
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from emulators.callbacks import post_form, twilio_signature

if TYPE_CHECKING:
    from starlette.requests import Request

    from emulators.core import Emulator

_STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
_START = frozenset({"START", "YES", "UNSTOP"})
Body = dict[str, Any]


def opted_out(emulator: Emulator, number: str) -> bool:
    """Whether the person has replied STOP since they last replied START."""
    return emulator.get("optouts", number) is not None


class Recipients:
    """Handlers of what people do, under `/_emulators/twilio`.

    Args:
        emulator: the account's state.
        account_sid: the account's id.
        token: signs the webhooks.
        number: the account's own number.
    """

    def __init__(self, emulator: Emulator, account_sid: str, token: str, number: str) -> None:
        """Serve this account's recipients."""
        self._emulator = emulator
        self._account_sid = account_sid
        self._token = token
        self._number = number

    async def reply(self, given: Body, _sid: str) -> Body:
        """A person writes: `from`, `body`, and `url`, the number's webhook for messages."""
        word, sender = str(given["body"]).strip().upper(), str(given["from"])
        if word in _STOP:
            self._emulator.put("optouts", sender, {"number": sender})
        elif word in _START:
            self._emulator.delete("optouts", sender)
        sid = f"SM{uuid.uuid4().hex}"
        fields = {"MessageSid": sid, "SmsSid": sid, "From": sender, "To": self._number, "Body": str(given["body"])}
        return await self._post(given["url"], {**fields, "NumMedia": "0", "NumSegments": "1"})

    async def message_status(self, given: Body, sid: str) -> Body:
        """A message moves on: `status`, and `errorCode` where it failed; its StatusCallback is told."""
        message = self._emulator.get("messages", sid)
        if message is None:
            return {"error": "There is no such message."}
        code = given.get("errorCode")
        self._emulator.put("messages", sid, {**message, "status": given["status"], "error_code": code})
        fields = {"MessageSid": sid, "SmsSid": sid, "MessageStatus": str(given["status"]), "To": message["to"]}
        return await self._tell(sid, {**fields, "From": message["from"] or "", **_error(code)})

    async def answer(self, given: Body, sid: str) -> Body:
        """A person picks up and presses `digits`, if any: the address of the call's Gather is told of them."""
        call, form = self._emulator.get("calls", sid), self._emulator.get("forms", sid)
        if call is None or form is None or call["status"] not in {"queued", "ringing", "in-progress"}:
            return {"error": "There is no such call that could be answered."}
        self._emulator.put("calls", sid, {**call, "status": "in-progress", "answered_by": "human"})
        gather = fromstring(form["Twiml"]).find(".//Gather")
        digits = str(given.get("digits") or "")
        if gather is None or not digits or not gather.get("action"):
            return {"status": None, "body": ""}
        fields = {"CallSid": sid, "From": call["from"], "To": call["to"], "CallStatus": "in-progress"}
        return await self._post(gather.attrib["action"], {**fields, "Digits": digits, "Direction": "outbound-api"})

    async def call_status(self, given: Body, sid: str) -> Body:
        """A call moves on: `status`; its StatusCallback is told."""
        call = self._emulator.get("calls", sid)
        if call is None:
            return {"error": "There is no such call."}
        self._emulator.put("calls", sid, {**call, "status": given["status"]})
        fields = {"CallSid": sid, "CallStatus": str(given["status"]), "To": call["to"], "From": call["from"]}
        return await self._tell(sid, fields)

    async def _tell(self, sid: str, fields: dict[str, str]) -> Body:
        url = (self._emulator.get("forms", sid) or {}).get("StatusCallback")
        return await self._post(url, fields) if url else {"status": None, "body": ""}

    async def _post(self, url: str, fields: dict[str, str]) -> Body:
        whole = {**fields, "AccountSid": self._account_sid, "ApiVersion": "2010-04-01"}
        return await post_form(url, whole, {"X-Twilio-Signature": twilio_signature(self._token, url, whole)})


def control_routes(emulator: Emulator, account_sid: str, token: str, number: str) -> list[BaseRoute]:
    """The control API's further routes for this system; each answers what the webhook's receiver answered."""
    people = Recipients(emulator, account_sid, token, number)
    root = "/_emulators/twilio"
    return [
        Route(f"{root}/replies", _served(people.reply), methods=["POST"]),
        Route(f"{root}/messages/{{sid}}/status", _served(people.message_status), methods=["POST"]),
        Route(f"{root}/calls/{{sid}}/answer", _served(people.answer), methods=["POST"]),
        Route(f"{root}/calls/{{sid}}/status", _served(people.call_status), methods=["POST"]),
    ]


def _error(code: Any) -> dict[str, str]:
    return {} if code is None else {"ErrorCode": str(code)}


def _served(act: Callable[[Body, str], Awaitable[Body]]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            given = json.loads(await request.body())
            found = await act(given, request.path_params.get("sid", ""))
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": f"The request cannot be read: {type(error).__name__}."}, 400)
        return JSONResponse(found, 404 if "error" in found else 200)

    return endpoint
